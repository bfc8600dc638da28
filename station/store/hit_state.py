"""What became of a hit, by its stages and what officers decided; in any order of arrival."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.wire.enums import DispositionAction, HitStage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from protocol.wire.records.disposition import Disposition

UNDECIDED = ("new", "acknowledged")
"""States of hits that wait for a decision."""
STATES = (*UNDECIDED, "confirmed", "rejected", "withdrawn", "expired")
RANK = {HitStage.PREVIEW: 0, HitStage.FINAL: 1, HitStage.WITHDRAWN: 2}
"""The stage of the highest rank counts."""
_STATES = {
    DispositionAction.ACKNOWLEDGED: "acknowledged",
    DispositionAction.CONFIRMED: "confirmed",
    DispositionAction.REJECTED: "rejected",
    DispositionAction.EXPIRED: "expired",
}
_FINAL = {DispositionAction.CONFIRMED, DispositionAction.REJECTED}


def state_of(stage: HitStage, decisions: Sequence[Disposition]) -> str:
    """Return one of ``STATES``; ``decisions`` are in the order in which they were made."""
    decided = [_STATES[made.action] for made in decisions if made.action in _STATES]
    if decided and decided[-1] != "acknowledged":
        return decided[-1]
    if stage is HitStage.WITHDRAWN:
        return "withdrawn"
    return decided[-1] if decided else "new"


def decision_of(decisions: Sequence[Disposition]) -> Disposition | None:
    """Return the disposition that confirmed or rejected it; None if there is none."""
    return next((made for made in reversed(decisions) if made.action in _FINAL), None)


def outcome_of(decisions: Sequence[Disposition]) -> str:
    """Return the code of the latest outcome; empty if there is none."""
    return next((made.outcome for made in reversed(decisions) if made.outcome), "")
