"""No call confirms a hit without an officer who compared everything, and the agency that confirmed the entry."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.hits import machine
from agent.hits.bodies import HitBodies
from agent.hits.errors import HitRefusedError
from agent.hits.machine import OUTCOMES, REASONS, Verification
from agent.hits.records import NOBODY, Actor, Checks, Decision, Hit, HitState
from protocol.wire.enums import DispositionAction
from tests.builders import WHEN, WHERE, make_plate
from tests.listed import make_match

HIT = Hit(bytes(16), b"r" * 16, "front", "front", 5, make_plate("7ABC123"), 2, make_match())
CHECKS = st.builds(Checks, *(st.none() | st.booleans() for _ in range(3)))
TEXTS = st.sampled_from(["", " ", "\t", "\u200b", "\0", "\u00ad \ue000", "x", "State\u200bPolice"])
NOTHING = {"", " ", "\t", "\u200b", "\0", "\u00ad \ue000"}
"""Texts of which nothing can be printed: the wire has none of them."""
ACTORS = st.sampled_from([NOBODY, Actor("1234")])


@given(CHECKS, TEXTS, TEXTS, ACTORS, st.sampled_from(HitState))
def test_confirmed_exactly_if_everything_was_done(checks, agency, reference, actor, state):
    given_ = Verification(checks, confirming_agency=agency, reference=reference)
    complete = checks.all_equal and agency not in NOTHING and reference not in NOTHING and actor.badge
    hit = replace(HIT, state=state)
    if not (complete and hit.is_open):
        with pytest.raises(HitRefusedError) as refused:
            machine.confirm(hit, given_, actor, 5)
        assert refused.value.code in {"not_verified", "already_decided"}
        return
    confirmed, decision = machine.confirm(hit, given_, actor, 5)
    assert (confirmed.state, decision.action) == (HitState.CONFIRMED, DispositionAction.CONFIRMED)
    assert HitBodies.disposition(decision, WHEN, WHERE).checks.all_equal


@given(CHECKS, TEXTS, TEXTS, ACTORS)
def test_decision_itself_cannot_be_constructed_incomplete(checks, agency, reference, actor):
    """Whoever goes round the state machine is refused, too."""
    complete = checks.all_equal and agency not in NOTHING and reference not in NOTHING and actor.badge
    told = {"confirming_agency": agency, "reference": reference}
    if complete:
        assert Decision(bytes(16), DispositionAction.CONFIRMED, 5, actor, checks, **told)
        return
    with pytest.raises(HitRefusedError) as refused:
        Decision(bytes(16), DispositionAction.CONFIRMED, 5, actor, checks, **told)
    assert refused.value.code == "not_verified"


@pytest.mark.parametrize("reason", ["", "because", "MISREAD"])
def test_rejection_needs_a_known_reason(reason):
    with pytest.raises(HitRefusedError, match="give one of the reasons misread"):
        machine.reject(HIT, Verification(Checks(), reason=reason), Actor("1234"), 5)


def test_every_reason_and_outcome_fits_on_the_wire():
    for reason in REASONS:
        hit, decision = machine.reject(HIT, Verification(Checks(), reason=reason), Actor("1234"), 5)
        assert HitBodies.disposition(decision, WHEN, WHERE).reason == reason
    for code in OUTCOMES:
        _, decision = machine.note_outcome(hit, code, Actor("1234"), 5)
        assert HitBodies.disposition(decision, WHEN, WHERE).outcome == code


@pytest.mark.parametrize(
    "act",
    [
        lambda hit: machine.reject(hit, Verification(Checks(), reason="misread"), NOBODY, 5),
        lambda hit: machine.note_outcome(replace(hit, state=HitState.CONFIRMED), "none", NOBODY, 5),
    ],
)
def test_decision_without_an_officer_is_refused(act):
    with pytest.raises(HitRefusedError) as refused:
        act(HIT)
    assert refused.value.code == "not_signed_on"


@given(st.text(max_size=500), st.text(max_size=500))
def test_any_text_of_an_officer_fits_on_the_wire(note, reference):
    given_ = Verification(
        Checks(characters=True, region=True, vehicle=True),
        confirming_agency="Agency",
        reference="R" + reference,
        note=note,
    )
    _, decision = machine.confirm(HIT, given_, Actor("1234"), 5)
    assert HitBodies.disposition(decision, WHEN, WHERE).reference.startswith("R")


@given(st.text(max_size=300), st.text(max_size=300))
def test_any_list_and_entry_fit_on_the_wire(name, reason):
    match = make_match()
    listed = replace(match.list, name=name, owner=name)
    hit = replace(
        HIT, match=replace(match, list=listed, entry=replace(match.entry, reason=reason, entry_id=reason))
    )
    body = HitBodies("patrol-lpr test", ("ocr@0",)).hit(hit, WHEN, WHERE)
    assert len(body.list_name) <= 64
    assert body.listed_text == "7ABC123"
