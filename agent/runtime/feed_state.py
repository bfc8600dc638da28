"""The agent's state for the feed, collected from the components by the main thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.runtime.feed_documents import (
    VERSION,
    camera_document,
    fix_document,
    outbox_document,
    pause_document,
    policy_document,
    stamp,
    utc_us,
)
from agent.runtime.hit_documents import hit_document, lists_document
from agent.runtime.lamp import is_fresh
from agent.runtime.stages import software

if TYPE_CHECKING:
    from agent.hits.records import Hit
    from agent.runtime.camera import CameraComponent
    from agent.runtime.committing import CommitComponent
    from agent.runtime.feed_documents import Document
    from agent.runtime.hits import HitService
    from agent.runtime.panel_controller import PanelController
    from agent.runtime.policy import RecordingGate
    from agent.runtime.power import Heat
    from agent.runtime.shifts import Shifts
    from agent.runtime.status import StatusReporter
    from agent.runtime.uplink import UplinkComponent
    from hw.ports import Lamp


@dataclass(frozen=True, slots=True)
class AgentState:
    """The components whose state is in the feed."""

    status: StatusReporter
    panel: PanelController
    cameras: tuple[CameraComponent, ...]
    commit: CommitComponent
    uplink: UplinkComponent
    hits: HitService
    unit: str
    boot_id: bytes
    models: tuple[str, ...]
    shifts: Shifts
    gate: RecordingGate
    heat: Heat

    @property
    def lamp(self) -> Lamp:
        """Pattern of the lamp."""
        return self.panel.lamp

    def has_fix(self, t_mono_ns: int) -> bool:
        """True while the latest fix is recent."""
        return is_fresh(self.commit.last_fix, t_mono_ns)

    def about(self) -> Document:
        """What is constant for the whole run."""
        return {
            "version": VERSION,
            "unit": self.unit,
            "boot_id": self.boot_id.hex(),
            "software": software(),
            "models": list(self.models),
        }

    def present(self, t_mono_ns: int) -> Document:
        """What changes."""
        return {
            **stamp(t_mono_ns),
            "utc_us": utc_us(self.commit.utc_ns(t_mono_ns)),
            "state": self.status.state.value,
            "reason": self.status.reason,
            "lamp": self.panel.lamp.value,
            "private": self.panel.pause is not None,
            "pause": pause_document(self.panel.pause),
            "policy": policy_document(self.gate.policy(t_mono_ns)),
            "cameras": [camera_document(camera) for camera in self.cameras],
            "fix": fix_document(self.commit.last_fix, t_mono_ns),
            "link": {"up": self.uplink.is_up, "metered": self.uplink.metered},
            "outbox": outbox_document(self.commit.stats()),
            "disk": {"free_bytes": self.panel.free_bytes, "low": self.panel.disk_bad},
            "heat": {"temperature_c": self.heat.temperature_c, "slow": self.heat.slow},
            "hits_open": len(self.hits.open_hits),
            "lists": lists_document(self.hits.lists, self.hits.now().utc_us, self.hits.max_list_age_s),
            "shift": self.shifts.document(),
            "shifts": self.shifts.documents(),
        }

    def hit_document(self, hit: Hit, t_mono_ns: int) -> Document:
        """One hit."""
        return hit_document(hit, self.boot_id, utc_us(self.commit.utc_ns(t_mono_ns)))
