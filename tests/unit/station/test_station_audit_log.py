"""The audit log end to end: checkpoints, units that witness them, export, offline verification, and who alters what."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from io import BytesIO

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from agent.runtime.witness import WitnessFile
from agent.witness import Witness
from cli.keys import make_station
from cli.main import app
from cli.station import app as station_app
from protocol.merkle.checkpoint import sign_checkpoint
from protocol.merkle.examine import examine_log
from protocol.merkle.export import LogPart, is_log, read_log
from protocol.seal import Opener, load_keyring
from protocol.seal.keys import SigningKey
from protocol.wire.codec import encode
from protocol.wire.control.log_checkpoint import LogWitness
from protocol.wire.enums import WitnessAnswer
from protocol.wire.topics import Channel, build
from station.asker import Asker
from station.audit_log.check import check_log
from station.audit_log.checkpoints import Checkpointer
from station.audit_log.witnessing import Witnessing
from station.errors import LogAlteredError
from station.housekeeping import CHECKPOINT_S, Housekeeping
from station.ingest import Ingest
from station.query import Query
from station.retention.holds import HoldDesk, hold_scope
from station.retention.purges import Purger
from station.store import open_store
from station.store.rows import PurgePlan, PurgeRule
from tests.builders import UTC_NS, make_read
from tests.unit.station.test_station_sealed import Pair

RUNNER = CliRunner()
DAY_US = 86_400_000_000
NOW_US = 1_760_000_000_000_000 + 3_600_000_000
"""An hour after the records of ``Pair`` came."""
CLERK = Asker("clerk", "theft", "26-17")
UNIT = "unit-07"


class Case:
    """A station with records, and a unit that witnesses its log."""

    def __init__(self, folder) -> None:
        self.pair = Pair(folder)
        self.folder, self.keys, self.db = folder, self.pair.keys, folder / "station.db"
        log = SigningKey.generate()
        log.save(self.keys / "log.key")
        (self.keys / "log.pub").write_bytes(log.public.pem())
        receipts = SigningKey.generate()
        receipts.save(self.keys / "receipt.key")
        self.ring = load_keyring(self.keys)
        self.state = folder / "witness.json"
        self.now_us = NOW_US
        self.pair.outbox.append([make_read(number) for number in range(1, 9)])
        self.pair.send()
        self.pair.send_pictures()
        self.pair.store.close()
        self.open()

    def open(self) -> None:
        self.store = open_store(self.db)
        self.checkpointer = Checkpointer(self.store, self.ring.log, lambda: self.now_us)
        self.witnessing = Witnessing(self.store, self.ring, self.ring.log.public)
        self.ingest = Ingest(
            self.store, "s", lambda: self.now_us, opener=Opener(self.ring), witnessing=self.witnessing
        )
        self.query = Query(self.store, CLERK, lambda: self.now_us)

    def close(self) -> None:
        self.store.close()

    def end(self) -> None:
        self.close()
        self.pair.reader.close()
        self.pair.outbox.close()

    def ask(self, times: int = 1) -> None:
        for _ in range(times):
            self.now_us += 1
            self.query.records(limit=1)

    @property
    def witness(self) -> Witness:
        """The unit, started again."""
        return Witness(UNIT, self.pair.own, WitnessFile(self.state), lambda: self.now_us // 1_000_000)

    def exchange(self, *, checkpoint: bool = True, rounds: int = 3) -> str:
        """Let station and unit talk; return what the unit refuses."""
        if checkpoint:
            self.checkpointer.make()
        unit = self.witness
        sent = set()
        for _ in range(rounds):
            self.now_us += 20_000_000
            for topic, payload in self.ingest.offers():
                assert topic == build(UNIT, Channel.LOG)
                if payload in sent:
                    continue
                sent.add(payload)
                answer = unit.take(payload)
                if answer is not None:
                    self.ingest.handle(build(UNIT, Channel.WITNESS), answer)
        if unit.doubts:
            unit.settle()
        return unit.refusal

    def purge(self, **more) -> None:
        plan = PurgePlan((PurgeRule("nonhit", 2**60),))
        Purger(self.store, CLERK, lambda: self.now_us).run(plan, "days=0", **more)

    def hold(self) -> int:
        desk = HoldDesk(self.store, CLERK, lambda: self.now_us)
        record_id = make_read(2).read_id.hex()
        return desk.place(hold_scope(ids=(record_id,)), case_number="26-17", reason="discovery").statement.number

    def alter(self, *statements: str) -> None:
        """As an administrator does, past the station."""
        self.close()
        with closing(sqlite3.connect(self.db)) as con:
            for statement in statements:
                con.executescript(statement) if ";" in statement else con.execute(statement)
            con.commit()
        self.open()

    def check(self) -> tuple[int, dict]:
        done = RUNNER.invoke(station_app, ["check", "--db", str(self.db), "--keys", str(self.keys), "--json"])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.output)

    def export(self, name="log.lpr", *words: str):
        target = self.folder / name
        done = RUNNER.invoke(
            station_app,
            ["audit", "--db", str(self.db), "--export", str(target), "--keys", str(self.keys), *words],
        )
        assert done.exit_code == 0, done.output
        return target

    def verify(self, target, *words: str) -> tuple[int, dict]:
        done = RUNNER.invoke(app, ["verify", str(target), "--json", *words])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, json.loads(done.output)


@pytest.fixture
def case(tmp_path):
    made = Case(tmp_path)
    yield made
    made.end()


def test_the_keys_of_a_station_have_one_for_its_log(tmp_path):
    make_station(tmp_path, "station")
    ring = load_keyring(tmp_path)
    assert ring.log is not None
    assert (tmp_path / "log.pub").read_bytes() == ring.log.public.pem()


@pytest.mark.slow
def test_a_log_that_grows_is_witnessed(case):
    """Station and unit agree, each knows what the other has, and nothing is sent twice."""
    for number in range(1, 4):
        case.ask(5)
        assert case.exchange() == ""
        size = case.store.log.checkpoints()[-1].size
        assert [(row.unit, row.size) for row in case.store.log.witnesses()] == [(UNIT, size)]
        assert case.witness.size == size
        assert case.witnessing.signed == number
        assert case.ingest.offers() == []
    assert case.witnessing.conflicts == set()
    state = case.query.log_state()
    assert (state.checkpoint_size, [row.unit for row in state.witnesses], state.refused_by) == (size, [UNIT], ())


@pytest.mark.slow
def test_an_auditor_needs_the_export_and_the_public_keys(case):
    """Entries, checkpoints, countersignatures, holds and certificates."""
    case.ask(30)
    case.hold()
    case.purge()
    case.exchange()
    target = case.export()
    keys = ["--key", str(case.keys / "log.pub"), "--key", str(case.keys / "unit-unit-07.pub")]
    code, told = case.verify(target, *keys)
    log = told["log"]
    assert (code, told["verified"], log["faults"], told["keys_given"]) == (0, True, [], True)
    assert log["size"] == log["entries"] == log["covered"]
    assert log["checkpoints"] == 2
    assert list(log["witnesses"]) == [UNIT]
    assert log["documents"] == {"purge": 1, "hold": 1}
    shown = RUNNER.invoke(app, ["verify", str(target)])
    assert "complete and unaltered" in shown.output
    assert "countersigned by unit-07" in shown.output
    assert "compare this fingerprint" in shown.output


@pytest.mark.slow
def test_one_entry_is_proven_alone(case):
    case.ask(40)
    code, told = case.verify(case.export("one.lpr", "--entry", "7", "--entry", "3"))
    assert (code, told["log"]["entries"], told["log"]["is_whole"], told["log"]["size"]) == (0, 2, False, 41)


@pytest.mark.slow
def test_a_certificate_is_proven_alone(case):
    case.ask(10)
    case.purge()
    target = case.folder / "purge.lpr"
    words = ["purges", "--db", str(case.db), "--export", str(target), "--number", "1", "--keys", str(case.keys)]
    assert RUNNER.invoke(station_app, words).exit_code == 0
    code, told = case.verify(target)
    assert (code, told["log"]["documents"], told["log"]["faults"]) == (0, {"purge": 1}, [])
    listed = json.loads(RUNNER.invoke(station_app, ["purges", "--db", str(case.db), "--json"]).output)
    assert [(row["records"], row["why"], row["who"]) for row in listed] == [(8, "days=0", "clerk")]
    data = target.read_bytes()
    assert b'"records":8' in data
    target.write_bytes(data.replace(b'"records":8', b'"records":7'))
    assert case.verify(target)[0] == 1


@pytest.mark.slow
@pytest.mark.parametrize("what", ["drop the newest", "drop one", "alter one", "swap"])
def test_an_altered_export_is_noticed(case, what):
    case.ask(20)
    case.exchange()
    with case.export().open("rb") as file:
        header, rows = read_log(file)
        rows = list(rows)
    place = next(n for n, row in enumerate(rows) if isinstance(row, LogPart))
    entries = list(rows[place].entries)
    match what:
        case "drop the newest":
            del entries[-3:]
        case "drop one":
            del entries[5]
        case "alter one":
            entries[5] = entries[5].replace(b"clerk", b"nobody")
        case _:
            entries[5], entries[6] = entries[6], entries[5]
    rows[place] = LogPart(first=0, entries=tuple(entries))
    assert not examine_log(header, rows).is_right
    if what == "drop the newest":
        shorter = header.model_copy(update={"size": header.size - 3})
        fault = examine_log(shorter, rows).faults[-1]
        assert fault.startswith(f"a checkpoint of {header.size} entries was signed: entries {header.size - 3} to ")


@pytest.mark.slow
def test_entries_cut_off_with_all_checkpoints_are_noticed_by_the_units(case):
    """Whoever has the database and the log's key can cut both; not what a unit keeps."""
    case.ask(20)
    case.exchange()
    kept = case.witness.size
    backup = case.folder / "witness-kept.json"
    shutil.copy(case.state, backup)
    left = kept - 5
    case.alter(
        f"DELETE FROM log_entries WHERE number >= {left}",  # noqa: S608 - a number
        f"DELETE FROM audit WHERE number > {left}",  # noqa: S608 - a number
        "DELETE FROM log_checkpoints",
        "DELETE FROM log_witnesses",
        *(f"DELETE FROM log_nodes WHERE level = {n} AND place >= {left >> n}" for n in range(8)),  # noqa: S608
    )
    target = case.export()
    assert case.verify(target)[0] == 0, "it looks right by itself"
    code, told = case.verify(target, "--checkpoint", str(backup))
    assert code == 1
    assert f"a checkpoint of {kept} entries was signed" in told["log"]["faults"][0]
    case.ask(1)
    assert f"this unit has witnessed {kept}" in case.exchange(), "the unit says so, loudly"
    assert case.witnessing.conflicts == {UNIT}
    code, found = case.check()
    assert code == 1
    assert any(f"unit {UNIT} keeps a checkpoint of {kept} entries" in fault for fault in found["log"]["faults"])
    with capture_logs() as logs:
        Housekeeping(lambda: 0.0, witnessing=(case.witnessing,)).step()
    assert [entry["event"] for entry in logs] == ["log_refused_by_unit"]
    shown = RUNNER.invoke(station_app, ["log", "--db", str(case.db)])
    assert shown.exit_code == 1
    assert "unit-07 keeps a checkpoint that this log does not continue" in " ".join(shown.output.split())


def test_a_station_restored_from_an_old_backup_is_noticed(case):
    case.ask(5)
    case.exchange()
    case.close()
    shutil.copy(case.db, case.folder / "backup.db")
    case.open()
    case.ask(10)
    case.exchange()
    kept = case.witness.size
    case.close()
    for name in ("station.db-wal", "station.db-shm"):
        (case.folder / name).unlink(missing_ok=True)
    shutil.copy(case.folder / "backup.db", case.db)
    case.open()
    case.ask(1)
    assert "this unit has witnessed" in case.exchange()
    assert [(row.unit, row.size) for row in case.store.log.conflicts()] == [(UNIT, kept)]
    case.ask(kept)
    assert "does not continue" in case.exchange(), "also once it has grown beyond"


def test_the_station_signs_nothing_that_does_not_continue_its_checkpoint(case):
    case.ask(10)
    case.checkpointer.make()
    case.alter("UPDATE log_nodes SET hash = zeroblob(32) WHERE level = 3 AND place = 0")
    case.ask(3)
    with pytest.raises(LogAlteredError, match="does not continue its checkpoint of 10 entries"):
        case.checkpointer.make()
    with capture_logs() as logs:
        keeping = Housekeeping(lambda: 0.0, checkpointer=case.checkpointer)
        keeping.step()
        keeping.step()
    assert [entry["event"] for entry in logs] == ["checkpoint_not_signed"], "once"


@pytest.mark.slow
def test_checkpoints_are_signed_now_and_then(case):
    now_s = [0.0]
    keeping = Housekeeping(lambda: now_s[0], checkpointer=case.checkpointer)
    case.ask(3)
    keeping.step()
    case.ask(1)
    keeping.step()
    assert [row.size for row in case.store.log.checkpoints()] == [3]
    now_s[0] += CHECKPOINT_S
    keeping.step()
    keeping.step()
    assert [row.size for row in case.store.log.checkpoints()] == [3, 4]


@pytest.mark.slow
def test_checkpoints_of_an_earlier_key_are_accepted_where_its_public_half_is_kept(case):
    """A new `log.key` after a restore: without the old half every earlier checkpoint is a fault."""
    case.ask(3)
    case.checkpointer.make()
    (case.keys / "log.pub").rename(case.folder / "kept.pub")
    new = SigningKey.generate()
    (case.keys / "log.key").unlink()
    new.save(case.keys / "log.key")
    code, found = case.check()
    assert (code, [fault for fault in found["log"]["faults"] if "not signed by the log's key" in fault] != []) == (
        1,
        True,
    )
    (case.folder / "kept.pub").rename(case.keys / "log-2027.pub")
    assert case.check()[0] == 0


CERTIFICATE = (
    """UPDATE purges SET certificate = CAST(replace(certificate, '"records":7', '"records":6') AS BLOB)"""
)
STATEMENT = "UPDATE holds SET statement = CAST(replace(statement, '26-17', '26-18') AS BLOB)"
ENTRY = "UPDATE log_entries SET entry = CAST(replace(entry, 'clerk', 'nobody') AS BLOB) WHERE number = 3"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("statements", "fault"),
    [
        ((ENTRY,), "the entries are not those of the checkpoint of"),
        ((ENTRY, "UPDATE audit SET who = 'nobody' WHERE number = 4"), "the stored hashes are not those of the entries"),
        (("UPDATE audit SET filter = '' WHERE number = 3",), "entry 2 was altered in the trail"),
        (("UPDATE audit SET purpose = 'other' WHERE number = 3",), "entry 2 was altered in the trail"),
        (("DELETE FROM audit WHERE number = 3",), "entry 2 is not in the trail"),
        (("DELETE FROM log_entries WHERE number = 3",), "entries 3 to 3 are missing"),
        (("INSERT INTO audit (utc_us, who, what, count) VALUES (1, 'x', 'y', 0)",), "the trail has more rows"),
        (("UPDATE log_nodes SET hash = zeroblob(32) WHERE level = 1 AND place = 0",), "the stored hashes are not"),
        (("UPDATE log_checkpoints SET note = replace(note, 'patrol', 'petrol')",), "not signed by the log's key"),
        (("UPDATE log_witnesses SET line = replace(line, 'unit-07', 'unit-08')",), "countersignature of unit-07"),
        ((CERTIFICATE,), "purge"),
        (("DELETE FROM purges",), "the document of purge in entry"),
        (("DELETE FROM purged WHERE first = 1",), "the numbers of purge 1 are not those of its certificate"),
        (("UPDATE purged SET last = last + 1",), "the numbers of purge 1 are not those of its certificate"),
        (("DELETE FROM holds",), "the document of place hold in entry"),
        ((STATEMENT,), "hold 1 is not in the log"),
        (("UPDATE records SET payload = NULL WHERE seq = 2", "DELETE FROM reads", "UPDATE evidence SET salt = NULL"),
         "the contents of unit-07 #2 were removed without a purge"),
    ],
)  # fmt: skip
def test_whatever_an_administrator_alters_by_hand_is_found(case, statements, fault):
    """In log, trail, checkpoints, countersignatures, certificates, holds and contents."""
    case.ask(6)
    case.hold()
    case.purge()
    case.exchange()
    assert case.check()[0] == 0
    case.alter(*statements)
    code, found = case.check()
    assert (code, found["verified"]) == (1, False)
    assert any(fault in told for told in found["log"]["faults"]), found["log"]["faults"]
    if fault == "the trail has more rows":
        return  # the entry of the check itself takes the place of the row
    shown = RUNNER.invoke(station_app, ["check", "--db", str(case.db), "--keys", str(case.keys)])
    assert shown.exit_code == 1
    assert fault in " ".join(shown.output.split())


@pytest.mark.slow
def test_a_release_that_was_made_by_hand_is_found(case):
    """A hold that somebody ends past the station."""
    case.hold()
    assert case.check()[0] == 0
    case.alter("UPDATE holds SET release = CAST('{}' AS BLOB)", "DELETE FROM held")
    code, found = case.check()
    assert code == 1
    assert any("release" in fault for fault in found["log"]["faults"])


def test_what_a_unit_says_without_proof_is_ignored(case):
    """Of another key, of no checkpoint, by a broker."""
    case.ask(3)
    case.checkpointer.make()
    other = Witness(UNIT, SigningKey.generate(), WitnessFile(case.folder / "other.json"), lambda: None)
    (topic, payload), = case.ingest.offers()  # fmt: skip
    answer = other.take(payload)
    case.ingest.handle(build(UNIT, Channel.WITNESS), answer)
    case.ingest.handle(build("unit-08", Channel.WITNESS), answer)
    assert topic.endswith("dn/log")
    assert case.store.log.witnesses() == []
    assert (case.witnessing.ignored, case.ingest.counts.not_authorised) == (1, 1)


def test_checkpoint_that_a_unit_keeps_counts_only_if_the_log_signed_it(case):
    """Whoever can send as a unit could otherwise raise an alarm about a log that is in order."""
    case.ask(3)
    kept = sign_checkpoint(SigningKey.generate(), 1, bytes(32))
    answer = LogWitness(unit=UNIT, answer=WitnessAnswer.KEEPS, size=1, note=kept.encode(), line=b"")
    case.ingest.handle(build(UNIT, Channel.WITNESS), encode(answer))
    assert case.witnessing.ignored == 1
    assert case.witnessing.conflicts == set()
    assert case.store.log.conflicts() == []
    assert case.store.log.witnesses() == []


def test_an_export_is_told_from_a_series(case):
    case.ask(2)
    with case.export().open("rb") as file:
        assert is_log(file)
    assert not is_log(BytesIO(b""))
    assert not is_log(BytesIO(b"\x81\xa1v\xa5abc/1"))


@pytest.mark.slow
def test_purge_shows_holds_and_signs_a_checkpoint(case):
    case.hold()
    words = ["purge", "--db", str(case.db), "--days", "0", "--trust-clock"]
    shown = RUNNER.invoke(station_app, [*words])
    assert "held" in shown.output
    assert "nothing was deleted" in shown.output
    done = RUNNER.invoke(station_app, [*words, "--yes", "--keys", str(case.keys)])
    assert "7 records and" in done.output, done.output
    assert case.store.log.checkpoints()[-1].size == case.store.log.size()
    listed = json.loads(RUNNER.invoke(station_app, ["hold", "list", "--db", str(case.db), "--json"]).output)
    assert [(row["number"], row["records"], row["case"], row["released"]) for row in listed] == [
        (1, 1, "26-17", None)
    ]
    assert UTC_NS


def test_a_check_agrees_with_a_station_that_works_meanwhile(case, monkeypatch):
    """A hold and a purge after the documents were read, and an entry after the entries were, are no faults."""
    entries = case.store.log.entries

    def later(first=0):
        case.hold()
        case.purge()
        yield from entries(first)
        case.ask()

    monkeypatch.setattr(case.store.log, "entries", later)
    assert check_log(case.store, case.ring).faults == []


@pytest.mark.slow
def test_holds_by_command(case):
    def run(*words):
        return RUNNER.invoke(station_app, ["hold", words[0], "--db", str(case.db), *words[1:]])

    why = ("--case", "26-18", "--reason", "appeal")
    placed = run("place", "--plate", "7ABC123", *why)
    assert "hold 1 placed: it keeps 8 records now" in placed.output, placed.output
    assert run("place", *why).exit_code == 1
    assert "hold 1 released" in run("release", "1", *why).output
    assert run("release", "1", *why).exit_code == 1
    shown = run("list")
    assert "plate=7ABC123" in " ".join(shown.output.split())
