"""Everything that is counted, in one place: what the health message, the lamp and the reports show.

``docs/counters.md`` explains every name; a test keeps the two equal.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from hw.ports import Lamp
from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Health as HealthMessage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.buffer import OutboxStats
    from agent.pipeline import CameraPipeline
    from agent.records import Fix
    from agent.runtime.stages import ReadPath
    from agent.runtime.updates import UpdateReporter
    from agent.sync.uplink import Uplink
    from agent.view import ViewState
    from agent.wear import WriteBudget
    from hw.ports import Vitals

_NS_PER_US = 1_000
_NS_PER_S = 1_000_000_000
_FIX_FRESH_S = 5.0
_OUTBOX_TOTALS = frozenset(
    {"appended", "receipted", "evicted_reads", "evicted_plates", "evicted_overviews", "unknown_receipts"}
)


@dataclass(slots=True)
class DeviceCounts:
    """What the loops around the hardware count."""

    camera_stalls: int = 0
    """Times that no frame came in time."""
    gnss_losses: int = 0
    """Times that the receiver went away."""
    queue_waits: int = 0
    """Times that a track had to wait for the committer."""
    acknowledgements: int = 0
    """Times that the acknowledge button was pressed."""
    privacy: int = 0
    """Times that the driver asked for privacy."""
    missing_cameras: set[str] = field(default_factory=set)
    """Names of those that deliver nothing at present; a gauge, no counter."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All counters and gauges at one moment."""

    counters: Mapping[str, int]
    gauges: Mapping[str, int]


@dataclass(slots=True)
class Health:
    """Collects.  The parts are read from the main thread; each is a number or a copy."""

    read_path: ReadPath
    uplink: Uplink
    devices: DeviceCounts
    writing: WriteBudget
    updates: UpdateReporter
    visions: list[CameraPipeline] = field(default_factory=list)

    @property
    def views(self) -> list[ViewState]:
        """What is wrong with the sight of each camera."""
        return [vision.view.state for vision in self.visions if vision.view is not None]

    def counters(self, outbox: OutboxStats) -> dict[str, int]:
        """Ever-growing numbers by dotted name."""
        totals: dict[str, int] = {}
        for vision in self.visions:
            _add(totals, "frames", asdict(vision.counts))
            _add(totals, "tracks", asdict(vision.track_counts))
        _add(totals, "rereads", asdict(self.read_path.rereads.counts))
        _add(totals, "nmea", asdict(self.read_path.nmea.counts))
        _add(totals, "time", asdict(self.read_path.timebase.counts))
        _add(totals, "commit", asdict(self.read_path.committer.counts))
        _add(totals, "uplink", asdict(self.uplink.counts))
        _add(totals, "update", self.updates.counters())
        _add(totals, "devices", {k: v for k, v in asdict(self.devices).items() if isinstance(v, int)})
        _add(totals, "outbox", {k: v for k, v in asdict(outbox).items() if k in _OUTBOX_TOTALS})
        return totals

    def gauges(self, outbox: OutboxStats, vitals: Vitals) -> dict[str, int]:
        """Present values by dotted name, the unit in the name; what cannot be known is left out."""
        values: dict[str, float | None] = {
            "outbox.reads_waiting": outbox.reads,
            "outbox.others_waiting": outbox.others,
            "outbox.plates_waiting": outbox.plates,
            "outbox.overviews_waiting": outbox.overviews,
            "outbox.quarantined": outbox.quarantined,
            "outbox.pictures_held": outbox.held,
            "outbox.used_bytes": outbox.used_bytes,
            "commit.waiting": self.read_path.committer.waiting,
            "uplink.up": int(self.uplink.is_up),
            "uplink.unreceipted": self.uplink.unreceipted,
            "uplink.metered": int(self.uplink.meter.metered),
            "uplink.pictures_wait_for_budget": int(self.uplink.meter.holding),
            "board.temperature_mc": None if vitals.temperature_c is None else vitals.temperature_c * 1000,
            "board.throttled": vitals.throttled,
            "board.undervoltage": vitals.undervoltage,
            "board.disk_free_bytes": vitals.disk_free_bytes,
            "board.written_bytes": vitals.written_bytes,
            "board.written_last_hour_bytes": self.writing.last_hour_bytes,
            "board.over_write_budget": int(self.writing.exceeded),
            "devices.cameras_missing": len(self.devices.missing_cameras),
            "view.blinded": sum(view.blinded for view in self.views),
            "view.dirty": sum(view.dirty for view in self.views),
            "view.moved": sum(view.moved for view in self.views),
            "board.rss_bytes": vitals.rss_bytes,
            "board.load_1min_milli": vitals.load_1min * 1000,
            **self.updates.gauges(),
        }
        return {name: round(value) for name, value in values.items() if value is not None}


def health_payload(
    snapshot: Snapshot, *, unit: str, boot_id: bytes, t_mono_ns: int, utc_ns: int | None, seq_high: int
) -> bytes:
    """Encode a snapshot."""
    return encode(
        HealthMessage(
            unit=unit,
            boot_id=boot_id,
            mono_us=t_mono_ns // _NS_PER_US,
            utc_us=None if utc_ns is None else utc_ns // _NS_PER_US,
            seq_high=seq_high,
            counters=dict(snapshot.counters),
            gauges=dict(snapshot.gauges),
        )
    )


@dataclass(frozen=True, slots=True)
class Condition:
    """What the lamp is chosen from."""

    disk_bad: bool
    """Nearly full, or it takes nothing, or reads were lately lost for want of room."""
    camera_ok: bool
    private: bool
    view_clear: bool
    fix: Fix | None
    link_up: bool


def lamp_for(now: Condition, t_mono_ns: int) -> Lamp:
    """The most important thing the driver should know."""
    if now.disk_bad:
        return Lamp.DISK
    if not now.camera_ok:
        return Lamp.NO_CAMERA
    if now.private:
        return Lamp.PRIVATE
    if not now.view_clear:
        return Lamp.VIEW
    if now.fix is None or t_mono_ns - now.fix.t_mono_ns > _FIX_FRESH_S * _NS_PER_S:
        return Lamp.NO_FIX
    return Lamp.RECORDING if now.link_up else Lamp.NO_UPLINK


def _add(totals: dict[str, int], prefix: str, values: dict[str, int]) -> None:
    for name, value in values.items():
        key = f"{prefix}.{name}"
        totals[key] = totals.get(key, 0) + value
