"""Sealed records at the station: opened, checked, kept with their proof; what cannot be opened yet is not lost."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Annotated, ClassVar

import pytest
from typer.testing import CliRunner

from agent.buffer import Limits, NewRecord, OutboxReader, open_outbox
from agent.sync.counts import UplinkCounts
from agent.sync.encoder import RecordEncoder
from agent.sync.pictures import PictureSender
from cli import main as agent_cli
from cli import station as station_cli
from cli.main import app
from protocol.seal import Opener, Sealer, SigningKey, StationKey, load_keyring
from protocol.seal.evidence import START
from protocol.wire.codec import MAX_MESSAGE_BYTES, Text64, decode, key
from protocol.wire.control.receipt import Nack, PictureStatus, Receipt
from protocol.wire.enums import NackCode
from protocol.wire.registry import RecordBody, RecordType
from protocol.wire.released import released_registry
from station.asker import Asker
from station.commands import Commands
from station.ingest import Ingest
from station.store import open_store
from tests.builders import BOOT, make_read, make_read_record, make_time_anchor
from tests.shift_builders import make_shift
from tests.station_files import each_read, stored_reads

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.wire.control.receipt import DownMessage

LIMITS = Limits(min_free_bytes=0, ballast_bytes=0)
TOPIC = "lpr/1/unit-07/up/read"
RUNNER = CliRunner()


def told(answers: list[tuple[str, bytes]]) -> list[DownMessage]:
    return [decode(payload, Receipt, Nack, PictureStatus) for _, payload in answers]


class Pair:
    """A unit with an outbox and a station with a ring, sharing a folder of keys."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.life = b""
        self.keys = folder / "keys"
        self.keys.mkdir()
        self.own, self.station_key = SigningKey.generate(), StationKey.generate()
        self.station_key.save(self.keys / "station.key")
        (self.keys / "unit-unit-07.pub").write_bytes(self.own.public.pem())
        self.outbox, _ = open_outbox(folder / "unit", self.encoder(), limits=LIMITS)
        self.reader = OutboxReader(self.outbox.path)
        opener = Opener(load_keyring(self.keys))
        self.store = open_store(folder / "station.db", open_picture=opener.picture)
        self.ingest = Ingest(self.store, "s", lambda: 1_760_000_000_000_000, opener=opener)

    def encoder(self) -> RecordEncoder:
        sealer = Sealer("unit-07", self.own, self.station_key)
        return RecordEncoder("unit-07", "Example Sheriff", BOOT, released_registry(), sealer, self.life)

    def send(self) -> list[object]:
        answers = []
        for row in self.reader.records(after_seq=0, limit=1000):
            answers += told(self.ingest.handle(TOPIC, row.payload))
        return answers

    def send_pictures(self) -> None:
        sender = PictureSender("unit-07", BOOT, self.reader, UplinkCounts(), 1000)
        now = 0
        while (chunk := sender.next_chunk(now, room_bytes=2**20)) is not None:
            sender.sent(now)
            self.ingest.handle("lpr/1/unit-07/up/pic", chunk)


@pytest.fixture
def pair(tmp_path):
    made = Pair(tmp_path)
    yield made
    made.reader.close()
    made.store.close()
    made.outbox.close()


@pytest.mark.slow
def test_sealed_reads_and_pictures_are_opened(pair):
    reads = [make_read(n) for n in (1, 2, 3)]
    pair.outbox.append([*reads, NewRecord(make_time_anchor())])
    assert all(isinstance(answer, Receipt) for answer in pair.send())
    pair.send_pictures()
    assert [row.body.text for row in stored_reads(pair.store)] == [read.body.text for read in reads]
    for picture in reads[0].pictures:
        assert pair.store.picture("unit-07", picture.sha256) == picture.jpeg
    assert stored_reads(pair.store)[0].pictures == 2


def test_unencrypted_record_is_refused_by_a_sealed_only_station(pair):
    payload = make_read_record(9, seq=9).payload
    (answer,) = told(pair.ingest.handle(TOPIC, payload))
    assert isinstance(answer, Nack)
    assert (answer.code, answer.retry) == (NackCode.NOT_AUTHORISED, False)
    assert pair.ingest.counts.unsealed == 1
    assert stored_reads(pair.store) == []


def test_missing_key_makes_the_unit_retry(pair):
    """The station's ring lacks the unit: the answer is to try again, and with the key everything is taken."""
    pair.outbox.append([make_read(1)])
    blind = Ingest(pair.store, "s", lambda: 1, opener=Opener(load_keyring_without_units(pair)))
    (row,) = pair.reader.records(after_seq=0, limit=9)
    (answer,) = told(blind.handle(TOPIC, row.payload))
    assert isinstance(answer, Nack)
    assert answer.retry
    assert blind.counts.key_unknown == 1
    assert isinstance(pair.send()[0], Receipt)


def load_keyring_without_units(pair: Pair):
    (pair.keys / "unit-unit-07.pub").unlink()
    return load_keyring(pair.keys)


def test_station_without_keys_makes_the_unit_retry(pair):
    pair.outbox.append([make_read(1)])
    plain = Ingest(pair.store, "s", lambda: 1)
    (row,) = pair.reader.records(after_seq=0, limit=9)
    (answer,) = told(plain.handle(TOPIC, row.payload))
    assert isinstance(answer, Nack)
    assert answer.retry


def test_sealed_record_with_another_header_is_refused(pair):
    """A unit that names one number outside the seal and another inside is faulty or hostile."""
    inner = make_read_record(5, seq=5).payload
    payload, _ = Sealer("unit-07", pair.own, pair.station_key).record(6, make_read(5).read_id, inner, b"")
    (answer,) = told(pair.ingest.handle(TOPIC, payload))
    assert isinstance(answer, Nack)
    assert answer.code is NackCode.MALFORMED


def test_chain_continues_after_a_restart_and_a_rolled_back_group(pair):
    pair.outbox.append([make_read(1)])
    pair.outbox.close()
    pair.outbox, _ = open_outbox(pair.folder / "unit", pair.encoder(), limits=LIMITS)
    pair.outbox.append([make_read(2)])
    with pytest.raises(AttributeError):
        pair.outbox.append([make_read(3), "no read"])
    pair.outbox.append([make_read(4), NewRecord(make_time_anchor())])
    pair.send()
    rows = list(pair.store.each_evidence("unit-07"))
    assert [row.evidence.seq for row in rows] == [1, 2, 3, 4]
    for before, after in itertools.pairwise(rows):
        assert after.evidence.prev == before.evidence.link


def run(*arguments: object):
    if not any(group.name == "station" for group in app.registered_groups):
        app.add_typer(station_cli.app, name="station")
    return RUNNER.invoke(agent_cli.app, [str(a) for a in arguments])


@pytest.mark.slow
def test_exported_series_verifies_and_detects_changes(pair, tmp_path):
    pair.outbox.append([make_read(n) for n in range(1, 6)])
    pair.send()
    file, db = tmp_path / "series.lpr", tmp_path / "station.db"
    done = run("station", "export", "--db", db, "--evidence", file, "--keys", pair.keys)
    assert done.exit_code == 0, done.output
    proven = run("verify", file)
    assert proven.exit_code == 0, proven.output
    assert "complete and unaltered" in proven.output
    assert run("verify", file, "--key", pair.keys / "unit-unit-07.pub").exit_code == 0
    damaged = bytearray(file.read_bytes())
    where = damaged.index(make_read(3).body.text.encode())
    damaged[where] = ord("Z")
    file.write_bytes(damaged)
    shown = run("verify", file)
    assert shown.exit_code == 1
    assert "changed" in shown.output
    assert "NOT verified" in shown.output


@pytest.mark.slow
def test_employees_data_leave_the_station_only_if_asked_for_with_a_purpose(pair, tmp_path, monkeypatch):
    """A series for a court proves that shifts exist, and says nothing of the officers."""
    pair.outbox.append([make_read(1), NewRecord(make_shift(badge="badge-4711")), make_read(2)])
    pair.send()
    db, series, csv = tmp_path / "station.db", tmp_path / "series.lpr", tmp_path / "shifts.csv"
    assert run("station", "export", "--db", db, "--evidence", series, "--keys", pair.keys).exit_code == 0
    assert b"badge-4711" not in series.read_bytes()
    assert "complete and unaltered" in run("verify", series).output
    given = ("--db", db, "--csv", csv, "--schema", "shift/1")
    monkeypatch.delenv("PATROL_LPR_PURPOSE")
    for purpose in ((), ("--purpose", " ")):
        refused = run("station", "export", *given, *purpose)
        assert "needs a purpose" in str(refused.exception)
        assert not csv.exists()
    purpose = ("--purpose", "complaint 26-014")
    assert run("station", "export", *given, *purpose).exit_code == 0
    assert "badge-4711" in csv.read_text(encoding="utf-8")
    assert run("station", "export", "--db", db, "--evidence", series, "--keys", pair.keys, *purpose).exit_code == 0
    assert b"badge-4711" not in series.read_bytes()
    asked = (*purpose, "--employees")
    assert run("station", "export", "--db", db, "--evidence", series, "--keys", pair.keys, *asked).exit_code == 0
    assert b"badge-4711" in series.read_bytes()
    assert "complaint 26-014" in run("station", "audit", "--db", db).output


@pytest.mark.slow
def test_series_of_a_week_verifies(pair, tmp_path):
    """Far above the size of one message, which was once the largest series that could be verified."""
    pair.outbox.append([make_read(n, pictures=()) for n in range(1, 401)])
    pair.send()
    file = tmp_path / "series.lpr"
    done = run("station", "export", "--db", tmp_path / "station.db", "--evidence", file, "--keys", pair.keys)
    assert done.exit_code == 0, done.output
    assert file.stat().st_size > 4 * MAX_MESSAGE_BYTES
    proven = run("verify", file)
    assert proven.exit_code == 0, proven.output
    assert "1-400" in proven.output
    assert "complete and unaltered" in proven.output
    whole = file.read_bytes()
    file.write_bytes(whole[:-5])
    cut = run("verify", file)
    assert cut.exit_code
    assert "in the middle of a record" in str(cut.exception)


def test_purge_keeps_the_chain_and_deletes_the_contents(pair, tmp_path):
    pair.outbox.append([make_read(n) for n in range(1, 4)])
    pair.send()
    Commands(pair.store, Asker("test"), lambda: 2**60).purge(0)
    rows = list(pair.store.each_evidence("unit-07"))
    assert [(row.salt, row.record) for row in rows] == [(None, None)] * 3
    file = tmp_path / "series.lpr"
    run("station", "export", "--db", tmp_path / "station.db", "--evidence", file, "--keys", pair.keys)
    proven = run("verify", file)
    assert proven.exit_code == 0, proven.output
    assert "deleted under" in proven.output
    assert "3 records" in proven.output
    assert make_read(1).body.text.encode() not in file.read_bytes()


class Toll(RecordBody):
    """A record type of a version to come."""

    SCHEMA: ClassVar[str] = "toll/1"

    gate: Annotated[Text64, key("gate")]


TOLL = RecordType(
    schema="toll/1", model=Toll, retention=lambda _: "tolls", export=lambda toll: {"gate": toll.gate}
)


@pytest.mark.slow
def test_sealed_record_of_an_unknown_type_is_verified_and_later_purged(pair, tmp_path):
    """An older station keeps it with its proof; after the update it is purged by its class, and the chain holds."""
    db, file, table = tmp_path / "station.db", tmp_path / "series.lpr", tmp_path / "tolls.csv"
    link = START
    for seq, body in enumerate((make_read(1).body, Toll(gate="north"), make_read(3).body), 1):
        encoded = pair.encoder().record(seq, body, link)
        link = encoded.link
        (receipt,) = told(pair.ingest.handle(TOPIC, encoded.payload))
        assert isinstance(receipt, Receipt)
    exported = ("station", "export", "--db", db, "--evidence", file, "--keys", pair.keys)
    assert run(*exported, "--csv", table, "--schema", "toll/1").exit_code == 0
    assert "toll_id" in table.read_text()
    proven = run("verify", file)
    assert proven.exit_code == 0, proven.output
    assert "not known" in proven.output
    later = open_store(db, registry=released_registry().with_type(TOLL))
    assert [record.body for record in each_read(later, "toll/1")] == [Toll(gate="north")]
    Commands(later, Asker("test"), lambda: 2**60).purge(0, retention="tolls")
    rows = list(later.each_evidence("unit-07"))
    later.close()
    assert [(row.salt is None, row.record is None) for row in rows] == [
        (False, False),
        (True, True),
        (False, False),
    ]
    assert run(*exported).exit_code == 0
    assert run("verify", file).exit_code == 0
    assert b"north" not in file.read_bytes()


def test_audit_shows_ranges_and_fails_on_missing_numbers(pair, tmp_path):
    pair.outbox.append([make_read(n) for n in range(1, 5)])
    pair.send()
    db = tmp_path / "station.db"
    whole = run("station", "audit", "--db", db)
    assert whole.exit_code == 0
    assert "1-4" in whole.output
    later = Ingest(pair.store, "s", lambda: 1)
    later.handle(TOPIC, make_read_record(9, seq=9).payload)
    holed = run("station", "audit", "--db", db)
    assert holed.exit_code == 1
    assert "5-8" in holed.output


@pytest.mark.slow
def test_keys_command(tmp_path):
    assert run("keys", "station", tmp_path).exit_code == 0
    assert run("keys", "unit", tmp_path, "unit-07").exit_code == 0
    shown = run("keys", "show", tmp_path / "station.pub", tmp_path / "unit-unit-07.pub")
    assert shown.exit_code == 0
    assert "X25519" in shown.output
    assert "Ed25519" in shown.output
    listed = json.loads(run("keys", "show", tmp_path / "unit-unit-07.pub", "--json").output)
    assert [(row["file"], row["kind"]) for row in listed] == [("unit-unit-07.pub", "signing key, Ed25519")]
    assert listed[0]["fingerprint"] in shown.output
    assert load_keyring(tmp_path).units.keys() == {"unit-07"}
    again = run("keys", "unit", tmp_path, "unit-07")
    assert again.exit_code != 0
