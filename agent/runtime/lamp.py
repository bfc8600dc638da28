"""Chooses the lamp's pattern: the most important state for the driver."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hw.ports import Lamp

if TYPE_CHECKING:
    from agent.records import Fix

_NS_PER_S = 1_000_000_000
_FIX_FRESH_S = 5.0


@dataclass(frozen=True, slots=True)
class Condition:
    """The state from which the pattern is chosen."""

    disk_bad: bool
    """The disk is nearly full or not writable, or reads were recently evicted."""
    camera_ok: bool
    private: bool
    view_clear: bool
    fix: Fix | None
    link_up: bool
    delivering: bool = True
    """False if nothing was receipted for minutes while records wait."""
    log_accepted: bool = True
    """False while the station's audit log does not continue what this unit has witnessed."""


def is_fresh(fix: Fix | None, t_mono_ns: int) -> bool:
    """True when there is a fix and it is no older than five seconds."""
    return fix is not None and t_mono_ns - fix.t_mono_ns <= _FIX_FRESH_S * _NS_PER_S


def lamp_for(now: Condition, t_mono_ns: int) -> Lamp:
    """Return the pattern of the most important state."""
    shown = (
        (now.disk_bad, Lamp.DISK),
        (not now.camera_ok, Lamp.NO_CAMERA),
        (now.private, Lamp.PRIVATE),
        (not now.view_clear, Lamp.VIEW),
        (not is_fresh(now.fix, t_mono_ns), Lamp.NO_FIX),
        (not now.link_up, Lamp.NO_UPLINK),
        (not now.delivering, Lamp.NOT_DELIVERED),
        (not now.log_accepted, Lamp.LOG_REFUSED),
    )
    return next((lamp for holds, lamp in shown if holds), Lamp.RECORDING)
