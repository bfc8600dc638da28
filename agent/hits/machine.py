"""What may happen to a hit: each act returns the hit after it and the decision to record, or is refused.

``new -> acknowledged -> confirmed | rejected``, with acknowledging optional; a confirmed hit may still be rejected, as
mistakes must be correctable.  Two officers: the second decision is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.hits.errors import HitRefusedError
from agent.hits.records import DECIDED, NOBODY, Actor, Checks, Decision, Hit, HitState, printed
from protocol.wire.enums import DispositionAction, HitStage

if TYPE_CHECKING:
    from agent.records import Geotag, PlateText, TimeTag

REASONS = (
    "misread", "other_region", "other_vehicle", "no_picture", "not_listed", "old_list", "duplicate", "test", "other",
)  # fmt: skip
"""Codes of reasons to reject a hit."""
OUTCOMES = (
    "stopped", "arrest", "recovered", "citation", "released", "not_located", "referred", "none", "unknown", "other",
)  # fmt: skip
"""Codes of outcomes."""
MAX_NAME, MAX_NOTE = 64, 256


@dataclass(frozen=True, slots=True)
class Verification:
    """What an officer hands in to confirm or reject a hit."""

    checks: Checks
    reason: str = ""
    confirming_agency: str = ""
    reference: str = ""
    note: str = ""


def acknowledge(hit: Hit, actor: Actor, t_mono_ns: int) -> tuple[Hit, Decision] | None:
    """Note that the hit was seen; None if it was seen before, or is decided."""
    if hit.state is not HitState.NEW:
        return None
    decision = Decision(hit.hit_id, DispositionAction.ACKNOWLEDGED, t_mono_ns, actor)
    return replace(hit, state=HitState.ACKNOWLEDGED), decision


def confirm(hit: Hit, given: Verification, actor: Actor, t_mono_ns: int) -> tuple[Hit, Decision]:
    """Confirm a hit.  Raises HitRefusedError unless the verification is complete and the hit is open."""
    _refuse_unless_open(hit)
    decision = Decision(
        hit.hit_id,
        DispositionAction.CONFIRMED,
        t_mono_ns,
        actor,
        given.checks,
        confirming_agency=printed(given.confirming_agency)[:MAX_NAME],
        reference=printed(given.reference)[:MAX_NAME],
        note=given.note[:MAX_NOTE],
    )
    return replace(hit, state=HitState.CONFIRMED, checks=given.checks, officer=actor.badge), decision


def reject(hit: Hit, given: Verification, actor: Actor, t_mono_ns: int) -> tuple[Hit, Decision]:
    """Reject a hit, open or confirmed.  Raises HitRefusedError without an officer or a known reason."""
    if hit.state is not HitState.CONFIRMED:
        _refuse_unless_open(hit)
    if given.reason not in REASONS:
        raise HitRefusedError("bad_reason", f"to reject a hit, give one of the reasons {', '.join(REASONS)}")
    _refuse_nobody(actor)
    decision = Decision(
        hit.hit_id,
        DispositionAction.REJECTED,
        t_mono_ns,
        actor,
        given.checks,
        reason=given.reason,
        note=given.note[:MAX_NOTE],
    )
    changed = replace(hit, state=HitState.REJECTED, checks=given.checks, officer=actor.badge, reason=given.reason)
    return changed, decision


def note_outcome(hit: Hit, code: str, actor: Actor, t_mono_ns: int) -> tuple[Hit, Decision]:
    """Record what became of a decided hit; a later outcome replaces it.  Raises HitRefusedError."""
    if hit.state not in DECIDED:
        raise HitRefusedError("not_decided", "confirm or reject the hit before its outcome is recorded")
    if code not in OUTCOMES:
        raise HitRefusedError("bad_outcome", f"give one of the outcomes {', '.join(OUTCOMES)}")
    _refuse_nobody(actor)
    decision = Decision(hit.hit_id, DispositionAction.OUTCOME, t_mono_ns, actor, outcome=code)
    return replace(hit, outcome=code), decision


def expire(hit: Hit, reason: str, t_mono_ns: int) -> tuple[Hit, Decision]:
    """Close a hit that nobody decided on."""
    decision = Decision(hit.hit_id, DispositionAction.EXPIRED, t_mono_ns, NOBODY, reason=reason)
    return replace(hit, state=HitState.EXPIRED, reason=reason), decision


def finish(hit: Hit, plate: PlateText, n_agreeing: int, t_mono_ns: int) -> Hit:
    """Take over the final text, which still matches."""
    return replace(hit, stage=HitStage.FINAL, plate=plate, n_agreeing=n_agreeing, t_mono_ns=t_mono_ns)


def withdraw(hit: Hit, plate: PlateText | None = None) -> Hit:
    """Note that the final text does not match, or that there is none; a decision that was made stays."""
    state = HitState.WITHDRAWN if hit.is_open else hit.state
    return replace(hit, stage=HitStage.WITHDRAWN, state=state, plate=plate or hit.plate)


def locate(hit: Hit, when: TimeTag, where: Geotag) -> Hit:
    """Note time and place."""
    return replace(hit, when=when, where=where)


def _refuse_unless_open(hit: Hit) -> None:
    if hit.is_open:
        return
    by = f" by {hit.officer}" if hit.officer else ""
    raise HitRefusedError("already_decided", f"the hit is {hit.state.value}{by}: nothing was changed")


def _refuse_nobody(actor: Actor) -> None:
    if not actor.badge:
        raise HitRefusedError("not_signed_on", "only an officer decides: sign on first")
