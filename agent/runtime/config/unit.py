"""The configuration of one unit: all tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from agent.runtime.config.delivery import OutboxTable, SealTable, SyncTable
from agent.runtime.config.lists import HitTable, HotlistTable, PolicyTable
from agent.runtime.config.machine import CommandTable, FeedTable, LogTable, MetricsTable, PowerTable, UpdateTable
from agent.runtime.config.place import GeotagTable
from agent.runtime.config.shift import ShiftTable
from agent.runtime.config.table import Table
from agent.runtime.config.vision import PictureTable, RecogniseTable, RereadTable, TrackTable
from hw.config import HwConfig
from hw.paths import STATE_DIR

FORMAT = 1
"""Format of the configuration; a newer one is refused as a whole, not key by key."""


class AgentConfig(Table):
    """Configuration of one unit."""

    unit: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_-]{1,36}$", description="Id of this unit, used in its MQTT topics")
    ]
    agency: Annotated[str, Field(min_length=1, max_length=64, description="Agency that owns the reads")]
    format: int = Field(default=FORMAT, ge=1, le=FORMAT, description="Format of this file")
    state_dir: Path = Field(default=STATE_DIR, description="Folder of the outbox and other state")
    hw: HwConfig = Field(description="The hardware")
    recognise: RecogniseTable = RecogniseTable()
    track: TrackTable = TrackTable()
    reread: RereadTable = RereadTable()
    geotag: GeotagTable = GeotagTable()
    pictures: PictureTable = PictureTable()
    outbox: OutboxTable = OutboxTable()
    sync: SyncTable = SyncTable()
    seal: SealTable = SealTable()
    hotlist: HotlistTable = HotlistTable()
    policy: PolicyTable = PolicyTable()
    power: PowerTable = PowerTable()
    update: UpdateTable = UpdateTable()
    feed: FeedTable = FeedTable()
    command: CommandTable = CommandTable()
    metrics: MetricsTable = MetricsTable()
    hits: HitTable = HitTable()
    shift: ShiftTable = ShiftTable()
    log: LogTable = LogTable()
