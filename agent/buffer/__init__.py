"""The durable outbox: a record stays until the station's receipt, or until it is evicted, counted and announced."""

from agent.buffer.life import life_of
from agent.buffer.opening import open_outbox
from agent.buffer.outbox import Outbox
from agent.buffer.reader import OutboxReader
from agent.buffer.retention import Limits
from agent.buffer.rows import (
    Appendable,
    Applied,
    Command,
    Encoded,
    Expired,
    NewRecord,
    OpenReport,
    OutboxRow,
    OutboxStats,
    PicturePriority,
    PictureQuarantined,
    PictureRow,
    PictureStored,
    PurgeNote,
    Quarantined,
    Receipted,
    TypeCounts,
)

__all__ = [
    "Appendable",
    "Applied",
    "Command",
    "Encoded",
    "Expired",
    "Limits",
    "NewRecord",
    "OpenReport",
    "Outbox",
    "OutboxReader",
    "OutboxRow",
    "OutboxStats",
    "PicturePriority",
    "PictureQuarantined",
    "PictureRow",
    "PictureStored",
    "PurgeNote",
    "Quarantined",
    "Receipted",
    "TypeCounts",
    "life_of",
    "open_outbox",
]
