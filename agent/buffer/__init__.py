"""The durable outbox: what is appended stays until the station's receipt, or a counted and announced eviction."""

from agent.buffer.opening import open_outbox
from agent.buffer.outbox import Outbox
from agent.buffer.reader import OutboxReader
from agent.buffer.retention import Limits
from agent.buffer.rows import (
    Applied,
    Command,
    Encoded,
    OpenReport,
    OutboxRow,
    OutboxStats,
    PicturePriority,
    PictureQuarantined,
    PictureRow,
    PictureStored,
    Quarantined,
    Receipted,
    RowKind,
)

__all__ = [
    "Applied",
    "Command",
    "Encoded",
    "Limits",
    "OpenReport",
    "Outbox",
    "OutboxReader",
    "OutboxRow",
    "OutboxStats",
    "PicturePriority",
    "PictureQuarantined",
    "PictureRow",
    "PictureStored",
    "Quarantined",
    "Receipted",
    "RowKind",
    "open_outbox",
]
