"""The unit as a witness: it countersigns what continues its checkpoint, and refuses anything else, over restarts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from agent.runtime.component import Tick
from agent.runtime.lamp import Condition, lamp_for
from agent.runtime.witness import DOUBT_NS, FILE, WitnessComponent, WitnessFile
from agent.witness import Witness, WitnessState, decode_state
from hw.ports import Lamp, Vitals
from protocol.merkle.checkpoint import parse_checkpoint, read_cosignature, sign_checkpoint
from protocol.merkle.tree import consistency_proof
from protocol.seal.keys import SigningKey
from protocol.wire.codec import decode, encode
from protocol.wire.control.log_checkpoint import LogCheckpoint, LogWitness
from protocol.wire.enums import WitnessAnswer
from tests.builders import make_fix
from tests.unit.merkle.test_merkle_tree import Log, entries

UNIT = "unit-07"
LOG_KEY, UNIT_KEY = SigningKey.generate(), SigningKey.generate()
NOW_S = 1_780_000_000


class Memory:
    state = WitnessState()
    fails = False

    def load(self):
        return self.state

    def save(self, state):
        if self.fails:
            raise OSError(28, "No space left on device")
        self.state = state


@pytest.fixture
def memory():
    return Memory()


def witness(memory, now_s=NOW_S):
    return Witness(UNIT, UNIT_KEY, memory, lambda: now_s)


LOG = Log(entries(64))
FORK = Log([*entries(20), b"another", *entries(64)[21:]])


def checkpoint(size, old=0, log=LOG, key=LOG_KEY, **changes):
    values = {
        "unit": UNIT,
        "public_key": key.public.raw,
        "note": sign_checkpoint(key, size, log.roots[size]).encode(),
        "old": old,
        "proof": tuple(consistency_proof(min(old, size), size, log.hashes)),
    }
    return encode(LogCheckpoint(**{**values, **changes}))


def answer(witness, payload):
    return decode(witness.take(payload), LogWitness)


def test_a_log_that_grows_is_countersigned(memory):
    """With the unit's own key and its time, over the checkpoint that came."""
    unit = witness(memory)
    for old, size in ((0, 5), (5, 6), (6, 40), (40, 64)):
        said = answer(unit, checkpoint(size, old))
        assert (said.answer, said.size, said.note) == (WitnessAnswer.SIGNED, size, b"")
        told = parse_checkpoint(sign_checkpoint(LOG_KEY, size, LOG.roots[size])).checkpoint
        found = read_cosignature(said.line.decode(), told, UNIT, [UNIT_KEY.public])
        assert found is not None
        assert found.utc_s == NOW_S
    assert (unit.size, unit.refusal, unit.counts.signed) == (64, "", 4)


def test_the_same_checkpoint_again_is_signed_again(memory):
    """The answer may have been lost."""
    unit = witness(memory)
    assert answer(unit, checkpoint(5)) == answer(unit, checkpoint(5))
    assert answer(witness(memory, None), checkpoint(5)).answer is WitnessAnswer.SIGNED


def test_a_fork_is_refused_also_after_a_restart(memory):
    answer(witness(memory), checkpoint(30))
    unit = witness(memory)
    said = answer(unit, checkpoint(40, 30, FORK))
    assert (said.answer, said.size) == (WitnessAnswer.REFUSED, 30)
    assert parse_checkpoint(said.note.decode()).is_signed_by(LOG_KEY.public)
    reason = "the station's log of 40 entries does not continue the 30 that this unit has witnessed"
    assert unit.refusal == witness(memory).refusal == reason
    assert answer(unit, checkpoint(30, 0, FORK)).answer is WitnessAnswer.REFUSED, "of the same size"
    assert answer(unit, checkpoint(40, 30)).answer is WitnessAnswer.SIGNED
    assert unit.refusal == ""
    assert "\n30\n" in memory.state.refused_note, "what was refused is kept as evidence"


def test_a_log_that_shrank_is_refused(memory):
    """An old backup, or entries that were cut off: the first answer names what the unit keeps, the second refuses."""
    unit = witness(memory)
    answer(unit, checkpoint(30))
    late = answer(unit, checkpoint(20))
    assert (late.answer, late.size, unit.refusal) == (WitnessAnswer.KEEPS, 30, "")
    assert answer(unit, checkpoint(21)).answer is WitnessAnswer.REFUSED
    assert unit.refusal == "the station's log has 21 entries, this unit has witnessed 30"


def test_replayed_checkpoints_do_not_wear_the_card(memory):
    """Each old one in turn with the newest: refused and accepted again, and written a bounded number of times."""
    unit, written = witness(memory), []
    save = memory.save
    memory.save = lambda state: (written.append(state), save(state))
    for old, size in ((0, 40), (40, 64)):
        unit.take(checkpoint(size, old))
    before = len(written)
    for turn in range(200):
        for _ in range(3):
            unit.take(checkpoint(1 + turn % 39))
        assert unit.refusal
        unit.take(checkpoint(64))
        assert not unit.refusal
    assert len(written) - before <= 20
    # What was altered is refused, and kept, all the same.
    assert answer(unit, checkpoint(64, log=FORK)).answer is WitnessAnswer.REFUSED
    assert memory.state.refusal
    assert answer(witness(memory), checkpoint(64)).answer is WitnessAnswer.SIGNED


def test_a_late_checkpoint_of_another_worker_alarms_nobody(memory):
    unit = witness(memory)
    answer(unit, checkpoint(30))
    for size in (31, 32, 33):
        answer(unit, checkpoint(20))
        assert answer(unit, checkpoint(size, size - 1)).answer is WitnessAnswer.SIGNED
        assert unit.refusal == ""


def test_a_proof_from_elsewhere_is_asked_for_anew(memory):
    """The station did not know what the unit keeps."""
    unit = witness(memory)
    answer(unit, checkpoint(30))
    said = answer(unit, checkpoint(40, 10))
    assert (said.answer, said.size, unit.refusal, unit.doubts) == (WitnessAnswer.KEEPS, 30, "", True)
    assert answer(unit, checkpoint(40, 30)).answer is WitnessAnswer.SIGNED


def test_another_key_is_another_log(memory):
    unit = witness(memory)
    answer(unit, checkpoint(30))
    assert answer(unit, checkpoint(40, 30, key=SigningKey.generate())).answer is WitnessAnswer.REFUSED
    assert unit.refusal == "the station's log has another key than the one that this unit has witnessed"


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"\x80", checkpoint(5, unit="unit-08"), checkpoint(5, note=b"\xff"), checkpoint(5, note=b"no note"),
        checkpoint(5, public_key=UNIT_KEY.public.raw), checkpoint(5, public_key=bytes(32)),
    ],
    ids=["empty", "empty map", "another unit", "no text", "no note", "another key", "no key"],
)  # fmt: skip
def test_what_the_log_did_not_sign_is_not_answered(memory, payload):
    unit = witness(memory)
    assert unit.take(payload) is None
    assert (unit.counts.invalid, memory.state) == (1, WitnessState())


def test_what_cannot_be_kept_is_not_signed(memory):
    """After a restart the unit would accept a log that had shrunk meanwhile."""
    memory.fails = True
    unit = witness(memory)
    assert WitnessComponent(unit).take(checkpoint(5)) is None
    assert (unit.size, unit.counts.signed) == (0, 0)


def test_the_state_is_a_file_and_a_damaged_one_is_kept_aside(tmp_path):
    path = tmp_path / FILE
    store = WitnessFile(path)
    assert store.load() == WitnessState()
    answer(witness(store), checkpoint(5))
    assert witness(store).size == 5
    path.write_text('{"key": "00"}')
    unit = witness(store)
    assert unit.size == 0
    answer(unit, checkpoint(6))
    assert (witness(store).size, path.with_suffix(".damaged").read_text()) == (6, '{"key": "00"}')


@given(st.binary(max_size=200) | st.sampled_from([b'{"key":1}', b"[]", b"[" * 9_000, b'{"key":"","note":"x"}']))
def test_any_file_is_a_state_or_none(data):
    assert decode_state(data) is None


def test_refusals_are_counted_logged_and_published(memory):
    unit = witness(memory)
    component = WitnessComponent(unit)
    component.take(checkpoint(30))
    assert dict(component.gauges()) == {"witness.size": 30, "witness.refuses": 0}
    component.take(checkpoint(31, 30, FORK))
    assert component.refusal
    assert dict(component.gauges()) == {"witness.size": 30, "witness.refuses": 1}
    assert component.counters()["witness.refused"] == 1
    assert dict(WitnessComponent(None).gauges()) == {"witness.size": 0, "witness.refuses": 0}


def test_a_smaller_checkpoint_is_refused_when_no_better_one_follows(memory):
    """The unit may get no second one while it drives."""
    unit = witness(memory)
    component = WitnessComponent(unit)
    component.take(checkpoint(30))
    component.take(checkpoint(20))
    vitals = Vitals(None, None, None, 10**9, 10**8, 0.1)
    for t_mono_ns in (0, DOUBT_NS - 1):
        component.watch(Tick(t_mono_ns, vitals))
        assert component.refusal == ""
    with capture_logs() as logs:
        component.watch(Tick(DOUBT_NS, vitals))
        component.watch(Tick(DOUBT_NS, vitals))
    assert component.refusal == "the station's log has 20 entries, this unit has witnessed 30"
    assert [entry["event"] for entry in logs] == ["station_log_refused"]
    component.take(checkpoint(31, 30))
    with capture_logs() as logs:
        component.watch(Tick(DOUBT_NS, vitals))
    assert [entry["event"] for entry in logs] == ["station_log_accepted_again"]


def test_the_lamp_shows_a_refused_log():
    now = Condition(
        disk_bad=False, camera_ok=True, private=False, view_clear=True, fix=make_fix(0), link_up=True,
        log_accepted=False,
    )  # fmt: skip
    assert lamp_for(now, 0) is Lamp.LOG_REFUSED
    assert lamp_for(replace(now, log_accepted=True), 0) is Lamp.RECORDING
