"""Files that the last release left on disks: opened, carried on, exported and proven by the present code."""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
import zipfile

import pytest

from agent.buffer import Limits, OutboxReader, open_outbox
from agent.sync.encoder import RecordEncoder
from protocol.seal import Sealer, SigningKey, StationKey
from protocol.wire.released import released_registry
from tests.builders import BOOT, make_read
from tests.last_release.files import AGENCY, EXPECTED, HERE, UNIT, copy_of, present

OUTBOXES = ("outbox-open", "outbox-sealed")
KINDS = {"read/1": "read", "dating/1": "dating", "tomb/1": "tombstone"}
"""What the release calls them."""


@pytest.fixture
def keys(tmp_path):
    return copy_of("keys", tmp_path)


def opened(folder, keys, name):
    """By the program that an update brings: the unit has booted meanwhile."""
    sealer = Sealer(UNIT, SigningKey.load(keys / "unit.key"), StationKey.load_public(keys / "station.pub"))
    registry = released_registry()
    encoder = RecordEncoder(UNIT, AGENCY, BOOT[::-1], registry, sealer if name == "outbox-sealed" else None)
    return open_outbox(folder, encoder, limits=Limits(min_free_bytes=0, ballast_bytes=0))


@pytest.mark.parametrize("name", OUTBOXES)
def test_last_release_outbox_keeps_pending_records(tmp_path, keys, name):
    """The same records, byte by byte, for the units' signatures are over them; nothing is taken for damage."""
    told = EXPECTED[name]
    outbox, report = opened(copy_of(name, tmp_path), keys, name)
    assert (report.created, report.moved_to, report.lost_at_min) == (False, None, 0)
    stats = outbox.stats()
    assert {key: getattr(stats, key) for key in told["stats"]} == told["stats"]
    reader = OutboxReader(outbox.path)
    rows = reader.records(after_seq=0, limit=100)
    assert [
        [row.seq, KINDS[row.schema], row.record_id.hex(), hashlib.sha256(row.payload).hexdigest()] for row in rows
    ] == told["waiting"]
    assert [[row.seq, code] for row, code in reader.quarantined(limit=100)] == told["quarantined"]
    reader.close()
    outbox.close()


@pytest.mark.parametrize("name", OUTBOXES)
def test_last_release_outbox_continues(tmp_path, keys, name):
    """New reads get the numbers after the last one given out, and what was refused can be sent again."""
    told = EXPECTED[name]
    outbox, _ = opened(copy_of(name, tmp_path), keys, name)
    assert outbox.append([make_read(100), make_read(101)]) == [
        told["stats"]["next_seq"],
        told["stats"]["next_seq"] + 1,
    ]
    assert outbox.requeue() == told["stats"]["quarantined"]
    reader = OutboxReader(outbox.path)
    seqs = [row.seq for row in reader.records(after_seq=0, limit=100)]
    assert seqs == sorted([*(row[0] for row in told["waiting"]), *(row[0] for row in told["quarantined"]), 13, 14])
    reader.close()
    outbox.close()


@pytest.fixture
def station(tmp_path, keys):
    return copy_of("station", tmp_path) / "station.db"


def said(folder, *arguments):
    done = present(*arguments, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_last_release_station_reads_are_shown_and_exported(station, tmp_path):
    told = [row[:3] for row in EXPECTED["station"]["reads"]]
    shown = said(tmp_path, "station", "reads", "--db", station)
    assert [text for _, _, text in told if text not in shown] == []
    table, features = tmp_path / "reads.csv", tmp_path / "reads.geojson"
    said(tmp_path, "station", "export", "--db", station, "--csv", table, "--geojson", features)
    with table.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sorted([row["unit"], int(row["seq"]), row["plate"]] for row in rows) == told
    assert {row["pictures"] for row in rows} == {"2"}
    assert all(row["utc"] for row in rows), "the datings date the reads that had no time"
    assert len(json.loads(features.read_text(encoding="utf-8"))["features"]) == len(told)


@pytest.mark.slow
def test_last_release_station_audit_continues(station, tmp_path):
    """What was noted before stands; nothing is missing, for what never came was declared lost."""
    said(tmp_path, "station", "reads", "--db", station)
    shown = said(tmp_path, "station", "audit", "--db", station)
    assert [what for _, _, what, _ in EXPECTED["station"]["audit"] if what not in shown] == []
    assert "show" in shown
    assert "release" in said(tmp_path, "station", "units", "--db", station)


@pytest.mark.slow
def test_last_release_series_verifies(station, keys, tmp_path):
    """As the release exported it, and as the present code does from the release's file."""
    fresh = tmp_path / "fresh.lpr"
    said(tmp_path, "station", "export", "--db", station, "--evidence", fresh, "--keys", keys)
    for series in (station.with_name("series.lpr"), fresh):
        assert "complete and unaltered" in said(tmp_path, "verify", series, "--key", keys / f"unit-{UNIT}.pub")


@pytest.mark.slow
def test_altered_series_does_not_verify(station, tmp_path):
    """So that the test above can fail."""
    series = station.with_name("series.lpr")
    data = bytearray(series.read_bytes())
    data[data.rindex(b"7ABC010")] ^= 1
    series.write_bytes(data)
    assert present("verify", series, cwd=tmp_path).returncode == 1


@pytest.mark.slow
def test_last_release_station_keeps_pictures_and_offers(station, tmp_path):
    """The update that was on offer lies beside the file, and can be taken back."""
    said(tmp_path, "station", "withdraw", UNIT, "--db", station)
    con = sqlite3.connect(station)
    (pictures,) = con.execute("SELECT count(*) FROM pictures WHERE jpeg IS NOT NULL").fetchone()
    assert con.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    con.close()
    assert pictures == EXPECTED["station"]["pictures"]


def test_last_release_files_are_small():
    """They come along with every clone."""
    assert sum(path.stat().st_size for path in HERE.rglob("*") if path.is_file()) < 2**20
    assert (HERE / "release.zip").stat().st_size < 300_000
    with zipfile.ZipFile(HERE / "release.zip") as release:
        assert release.testzip() is None
