"""The audit log: one chain without forks, over restarts, power cuts at any step and disks that fail."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.audit import AuditDraft, AuditLog, ChainState, Head, bounded
from agent.buffer import Receipted, open_outbox
from agent.buffer.retention import Limits
from agent.commit import ReadCommitter
from agent.errors import OutboxDiskError
from agent.geotag.nmea import NmeaConfig, NmeaState
from agent.geotag.timebase import Timebase
from agent.runtime.audit import CHAIN_FILE, ChainFile
from protocol.wire.record import decode_record
from protocol.wire.records.audit import AUDIT_START, Audit
from protocol.wire.released import released_registry
from tests.builders import BOOT, WHEN, make_encoder, make_read

TYPES = released_registry()


class PowerCutError(Exception):
    """The machine is off."""


class Memory:
    """A store whose save can be cut, before or after it is durable."""

    def __init__(self) -> None:
        self.state: ChainState | None = None
        self.saves = 0
        self.cut_at: int | None = None
        self.durable = True

    def load(self):
        return self.state

    def save(self, state):
        self.saves += 1
        if self.saves == self.cut_at:
            if self.durable:
                self.state = state
            raise PowerCutError
        self.state = state


def add(log, number, **other):
    return log.add("4711", "look_up", f"plate {number}", when=WHEN, t_mono_ns=number, **other)


def assert_one_chain(bodies):
    before, prev = 0, AUDIT_START
    for body in bodies:
        assert (body.n, body.prev) == (before + 1, prev)
        before, prev = body.n, body.digest()


@given(st.randoms(use_true_random=False))
def test_power_cuts_at_any_step_never_fork_the_chain(rng):
    """Entries that did not arrive are gone; those that did are one chain."""
    store, arrived, number = Memory(), [], 0
    for _ in range(6):
        store.saves, store.cut_at, store.durable = 0, rng.choice([None, 1, 2, 3]), rng.random() < 0.5
        held = {entry.record_id for entry in arrived}
        log = AuditLog(store, held.__contains__, appended=len(arrived))
        try:
            for _ in range(rng.randint(1, 3)):
                group = [add(log, number := number + 1) for _ in range(rng.randint(1, 3))]
                log.before_append()
                if rng.random() < 0.2:
                    break
                arrived += group
                log.note_appended()
                log.store_head()
        except PowerCutError:
            continue
    assert_one_chain([entry.body for entry in arrived])


def test_state_that_is_lost_does_not_reuse_numbers():
    """The chain begins anew, which whoever verifies it notices."""
    log = AuditLog(Memory(), lambda _: False, appended=7)
    assert log.lost_state
    assert (log.head, add(log, 1).body.n) == (Head(7), 8)


def test_first_start_has_lost_nothing():
    log = AuditLog(Memory(), lambda _: False)
    assert not log.lost_state
    assert log.head == Head()


def test_texts_are_shortened_visibly_and_made_printable():
    entry = AuditLog(Memory(), lambda _: False).add(
        "", "x\n\x1b", "o" * 500, when=WHEN, t_mono_ns=0, purpose="ü" * 129, case_number="c", outcome="\ud800"
    )
    body = entry.body
    assert (body.who, body.action, body.obj[-4:], len(body.obj)) == ("unit", "x  ", "o...", 128)
    assert (len(body.purpose), body.outcome) == (128, " ")


@given(st.text(max_size=200), st.integers(4, 128))
def test_any_text_is_accepted_by_the_wire(text, limit):
    assert len(bounded(text, limit)) <= limit
    AuditLog(Memory(), lambda _: False).add(text, text, text, when=WHEN, t_mono_ns=0, outcome=text)


@pytest.mark.parametrize(
    "content", [b"", b"null", b"{}", b'{"head": 1}', b"\xff", b'{"head":{"n":-1,"digest":""},"pending":[]}']
)
def test_damaged_file_is_no_state(tmp_path, content):
    file = ChainFile(tmp_path / CHAIN_FILE)
    file.path.write_bytes(content)
    assert file.load() is None


def test_file_keeps_the_state(tmp_path):
    file = ChainFile(tmp_path / CHAIN_FILE)
    log = AuditLog(file, lambda _: False)
    add(log, 1)
    add(log, 2)
    log.before_append()
    state = file.load()
    assert [pending.head.n for pending in state.pending] == [1, 2]
    log.note_appended()
    log.store_head()
    assert file.load() == ChainState(log.head)
    assert log.head.n == 2


def test_unwritable_file_says_so(tmp_path):
    with pytest.raises(OutboxDiskError, match="audit log cannot go on"):
        ChainFile(tmp_path / "none" / CHAIN_FILE).save(ChainState())


class Ready:
    waiting = 0

    def __init__(self) -> None:
        self.reads = []

    def tick(self, _):
        reads, self.reads = self.reads, []
        return reads

    flush = tick


class Unit:
    """Outbox, chain file and committer of one unit, which can be started again."""

    def __init__(self, folder) -> None:
        self.folder, self.ready = folder, Ready()
        self.start()

    def start(self) -> None:
        limits = Limits(min_free_bytes=0, ballast_bytes=0)
        self.outbox, _ = open_outbox(self.folder, make_encoder(), limits=limits)
        counts = self.outbox.stats().types.get("audit/1")
        self.audit = AuditLog(
            ChainFile(self.folder / CHAIN_FILE),
            self.outbox.holds,
            appended=0 if counts is None else counts.appended,
        )
        self.committer = ReadCommitter(
            NmeaState(NmeaConfig()), self.ready, Timebase(BOOT), self.outbox, audit=self.audit
        )

    def restart(self) -> None:
        self.outbox.close()
        self.start()

    def bodies(self):
        rows = self.outbox._con.execute("SELECT payload FROM records ORDER BY seq").fetchall()
        found = [decode_record(payload, TYPES) for (payload,) in rows]
        return [record.body for record in found if isinstance(record.body, Audit)]


def draft(number: int) -> AuditDraft:
    return AuditDraft("4711", "look_up", f"plate {number}", purpose="test", case_number="7", t_mono_ns=number)


def test_entries_are_records_and_the_chain_goes_on_after_a_restart(tmp_path):
    unit = Unit(tmp_path)
    unit.committer.add_audit(draft(1))
    unit.ready.reads = [make_read(1)]
    unit.committer.commit_ready(1)
    unit.restart()
    unit.committer.add_audit(draft(2))
    unit.committer.commit_ready(2)
    assert_one_chain(unit.bodies())
    assert unit.outbox.stats().reads == 1
    unit.outbox.close()


def test_chain_goes_on_although_the_entries_were_sent(tmp_path):
    """The outbox is empty then; only the small file knows the head."""
    unit = Unit(tmp_path)
    unit.committer.add_audit(draft(1))
    unit.committer.commit_ready(1)
    first = unit.bodies()
    seq, record_id = unit.outbox._con.execute("SELECT seq, id FROM records").fetchone()
    unit.committer.add_command(Receipted(((seq, record_id),)))
    unit.committer.commit_ready(2)
    assert not unit.bodies()
    unit.restart()
    unit.committer.add_audit(draft(2))
    unit.committer.commit_ready(3)
    assert_one_chain([*first, *unit.bodies()])
    unit.outbox.close()


@pytest.mark.parametrize("step", ["before", "after"])
def test_power_cut_around_the_append(tmp_path, step, monkeypatch):
    """Before: the entry is gone and its number is used again; after: it is there, and the chain goes on behind it."""
    unit = Unit(tmp_path)
    unit.committer.add_audit(draft(1))
    unit.committer.commit_ready(1)
    unit.committer.add_audit(draft(2))
    name = "append" if step == "before" else "stats"

    def cut(*_):
        raise PowerCutError

    with monkeypatch.context() as patch:
        if step == "before":
            patch.setattr(unit.outbox, name, cut)
        else:
            patch.setattr(unit.audit, "note_appended", cut)
        with pytest.raises(PowerCutError):
            unit.committer.commit_ready(2)
    unit.restart()
    unit.committer.add_audit(draft(3))
    unit.committer.commit_ready(3)
    told = [body.obj for body in unit.bodies()]
    assert told == (["plate 1", "plate 3"] if step == "before" else ["plate 1", "plate 2", "plate 3"])
    assert_one_chain(unit.bodies())
    unit.outbox.close()


def test_full_disk_keeps_the_entries(tmp_path, monkeypatch):
    unit = Unit(tmp_path)

    def full(*_):
        raise OutboxDiskError("EIO")

    with monkeypatch.context() as patch:
        patch.setattr(unit.outbox, "append", full)
        unit.committer.add_audit(draft(1))
        assert unit.committer.commit_ready(1).stuck
        unit.committer.add_audit(draft(2))
        assert unit.committer.commit_ready(2).stuck
        assert unit.committer.waiting == 2
    assert not unit.committer.commit_ready(3).stuck
    assert [body.n for body in unit.bodies()] == [1, 2]
    assert_one_chain(unit.bodies())
    unit.outbox.close()


def test_head_that_could_not_be_stored_is_stored_later(tmp_path, monkeypatch):
    """The entries are in the outbox already: they are not appended again."""
    unit = Unit(tmp_path)
    saved = ChainFile.save
    fails = [False, True, True]

    def flaky(file, state):
        if fails and fails.pop(0):
            raise OutboxDiskError("EIO")
        saved(file, state)

    monkeypatch.setattr(ChainFile, "save", flaky)
    unit.committer.add_audit(draft(1))
    assert unit.committer.commit_ready(1).stuck
    assert unit.committer.commit_ready(2).stuck
    assert not unit.committer.commit_ready(3).stuck
    assert [body.n for body in unit.bodies()] == [1]
    assert ChainFile(tmp_path / CHAIN_FILE).load() == ChainState(unit.audit.head)
    unit.outbox.close()
