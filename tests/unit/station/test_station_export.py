"""Exports and commands: what leaves the station is escaped, complete and noted."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from agent.records import Geotag, TimeTag
from cli.station import _address, app
from cli.station_tables import reads_table, units_table
from hw.output import OutputError
from protocol.seal import StationKey
from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Health
from protocol.wire.enums import GeotagMethod, TimeSource
from protocol.wire.record import encode_record
from station.errors import StoreError
from station.query.export import iso, write_csv, write_geojson
from station.store import open_store
from tests.builders import BOOT, make_read_record, make_record, make_time_anchor
from tests.station_files import add, each_read, stored_reads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from station.query import StoredRecord
    from station.store import Store

NOW_US = 1_780_000_500_123_456


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "station.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(path)
    yield opened
    opened.close()


def stored(store: Store, *, agency: str = "Example Sheriff", **other: Any) -> StoredRecord:
    made = make_read_record(**other)
    envelope = made.envelope.model_copy(update={"agency": agency})
    record = replace(made, envelope=envelope, payload=encode_record(envelope, made.body))
    add(store, record, now_us=NOW_US)
    return stored_reads(store)[-1]


def csv_rows(*reads: StoredRecord) -> list[dict[str, str]]:
    out = io.StringIO(newline="")
    write_csv(reads, out, "read/1")
    return list(csv.DictReader(io.StringIO(out.getvalue(), newline="")))


def test_csv_holds_a_read(store: Store) -> None:
    """Units of measure are in the names, times are ISO 8601."""
    (row,) = csv_rows(stored(store))
    assert (row["plate"], row["utc"], row["time_source"]) == ("7ABC123", "2026-05-28T20:26:41.000+00:00", "gnss")
    assert (row["lat_deg"], row["lon_deg"], row["error_m"]) == ("45.0", "-100.0", "4.5")
    assert (row["confidence"], row["single_look"], row["received"]) == (
        "0.95", "False", "2026-05-28T20:35:00.123+00:00",
    )  # fmt: skip


def test_csv_of_another_type_has_what_that_type_exports(store: Store) -> None:
    """Its own columns beside the envelope; without records the columns that every type has."""
    out = io.StringIO(newline="")
    write_csv([], out, "dating/1")
    assert out.getvalue().startswith("dating_id,unit,agency,boot_id,seq,utc,")
    add(store, make_record(make_time_anchor(5_000), seq=3), now_us=NOW_US)
    write_csv(each_read(store, "dating/1"), out, "dating/1")
    row = next(
        iter(csv.DictReader(io.StringIO("".join(out.getvalue().splitlines(keepends=True)[1:]), newline="")))
    )
    assert (row["seq"], row["mono_us"], row["time_source"], row["uncertainty_ms"]) == ("3", "5", "gnss", "150")


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "=HYPERLINK(1)"])
def test_csv_escapes_formulas(store: Store, text: str) -> None:
    """A unit cannot make a spreadsheet run a formula."""
    (row,) = csv_rows(stored(store, text=text, raw=text, camera=text))
    assert (row["plate"], row["raw"], row["camera"]) == (f"'{text}",) * 3


def test_csv_quotes_separators(store: Store) -> None:
    """Separators inside a text do not shift the columns."""
    (row,) = csv_rows(stored(store, agency='Sheriff, "East"'))
    assert row["agency"] == 'Sheriff, "East"'


def test_geojson_is_valid_and_longitude_comes_first(store: Store) -> None:
    """RFC 7946: position is longitude, latitude."""
    out = io.StringIO()
    write_geojson([stored(store)], out)
    (feature,) = json.loads(out.getvalue())["features"]
    assert feature["geometry"] == {"type": "Point", "coordinates": [-100.0, 45.0]}
    assert (feature["properties"]["plate"], feature["id"]) == ("7ABC123", feature["properties"]["read_id"])


def test_geojson_without_a_place_has_no_geometry(store: Store) -> None:
    """A read without a fix is exported as well."""
    out = io.StringIO()
    write_geojson([stored(store, where=Geotag(GeotagMethod.NONE))], out)
    assert json.loads(out.getvalue())["features"][0]["geometry"] is None


def test_empty_geojson_is_valid() -> None:
    """An empty export opens in a map."""
    out = io.StringIO()
    write_geojson([], out)
    assert json.loads(out.getvalue()) == {"type": "FeatureCollection", "features": []}


@pytest.mark.parametrize(
    ("utc_us", "expected"),
    [(None, None), (0, "1970-01-01T00:00:00.000+00:00"), (2**63 - 1, "9223372036854775807 us")],
)
def test_export_of_absurd_times(utc_us: int | None, expected: str | None) -> None:
    """Absurd times are shown as they are, and stop nothing."""
    assert iso(utc_us) == expected


def printed(table: object) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table)
    return console.export_text()


@pytest.mark.slow
def test_table_shows_markup_as_text(store: Store) -> None:
    """What looks like markup is text; reads without time or place say so."""
    text = printed(
        reads_table(
            [
                stored(
                    store,
                    text="[red]X",
                    region="[/]",
                    when=TimeTag(None, TimeSource.NONE, None),
                    where=Geotag(GeotagMethod.NONE),
                )
            ]
        )
    )
    assert all(part in text for part in ("[red]X", "[/]", "no time", "no fix"))


def test_units_table_names_the_gaps(store: Store) -> None:
    """A person sees which numbers are missing."""
    add(store, *(make_read_record(seq, seq=seq) for seq in (2, 5, 6)), now_us=NOW_US)
    with store.transaction():
        store.note_seen(["unit-07"], NOW_US)
    rows = [(row, store.gaps(row.unit)) for row in store.units()]
    text = printed(units_table(rows, {row.unit: [] for row, _ in rows}))
    assert "1, 3-4" in text


def test_export_command_writes_files_and_audit_entries(store: Store, path: Path, tmp_path: Path) -> None:
    """Both files appear, and the audit says who took how many."""
    stored(store)
    target, features = tmp_path / "reads.csv", tmp_path / "reads.geojson"
    result = CliRunner().invoke(
        app, ["export", "--db", str(path), "--csv", str(target), "--geojson", str(features)]
    )
    assert result.exit_code == 0, result.output
    assert len(target.read_text().splitlines()) == 2
    assert len(json.loads(features.read_text())["features"]) == 1
    assert [(row.what, row.count) for row in store.audit_trail()] == [
        ("export csv begins", 0),
        ("export csv", 1),
        ("export geojson begins", 0),
        ("export geojson", 1),
    ]
    assert sorted(p.name for p in tmp_path.iterdir() if p.name.startswith(".")) == []


def test_export_to_standard_output(store: Store, path: Path) -> None:
    """A pipe gets the same rows; the file may be named before the command as well."""
    stored(store)
    result = CliRunner().invoke(app, ["--db", str(path), "export", "--csv", "-"])
    assert result.exit_code == 0, result.output
    assert "7ABC123" in result.output
    assert [row.what for row in store.audit_trail()] == ["export csv begins", "export csv"]


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--csv", "--geojson", "--evidence"])
def test_export_writes_into_a_device(store: Store, path: Path, tmp_path: Path, option: str) -> None:
    """A link to one stays a link, and that it was read from the store is noted all the same."""
    stored(store)
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    StationKey.generate().save(tmp_path / "station.key")
    for target in (link, Path("/dev/null")):
        made = CliRunner().invoke(app, ["export", "--db", str(path), option, str(target), "--keys", str(tmp_path)])
        assert made.exit_code == 0, made.output
        assert target.is_char_device()
    assert link.is_symlink()
    assert len(store.audit_trail()) == 4


def test_failed_export_is_reported_and_audited(store: Store, path: Path) -> None:
    """Once the rows were read, somebody may have them: the note stays where the device refuses them."""
    stored(store)
    failed = CliRunner().invoke(app, ["export", "--db", str(path), "--csv", "/dev/full"])
    assert isinstance(failed.exception, OutputError)
    assert [row.what for row in store.audit_trail()] == ["export csv begins", "export csv"]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["station.db", "station.db-wal", "link"])
def test_export_does_not_overwrite_the_station(store: Store, path: Path, tmp_path: Path, name: str) -> None:
    """Neither the file that is exported nor what SQLite keeps beside it."""
    stored(store)
    (tmp_path / "link").symlink_to("station.db")
    failed = CliRunner().invoke(app, ["export", "--db", str(path), "--csv", str(tmp_path / name)])
    assert failed.exit_code == 2
    assert "own database" in failed.output
    assert len(stored_reads(store)) == 1


def test_export_needs_a_target(path: Path) -> None:
    """Nothing to write is a mistake of the caller."""
    assert CliRunner().invoke(app, ["export", "--db", str(path)]).exit_code == 2


@pytest.mark.slow
def test_queries_are_audited(store: Store, path: Path) -> None:
    """Showing reads leaves a trace that the audit command shows."""
    stored(store)
    assert "7ABC123" in CliRunner().invoke(app, ["reads", "--db", str(path)], env={"COLUMNS": "200"}).output
    assert "show" in CliRunner().invoke(app, ["audit", "--db", str(path)]).output


def test_units_command_shows_counters(store: Store, path: Path) -> None:
    """All that a unit counts can be looked up at the station."""
    health = Health(
        unit="unit-07",
        boot_id=BOOT,
        mono_us=1,
        utc_us=None,
        seq_high=0,
        counters={"frames_dropped": 12_345},
        gauges={"soc_mc": 51},
    )
    with store.transaction():
        store.note_health(health, encode(health), NOW_US)
    shown = CliRunner().invoke(app, ["units", "--db", str(path), "--counters", "unit-07"]).output
    assert "frames_dropped" in shown
    assert "12,345" in shown
    assert CliRunner().invoke(app, ["units", "--db", str(path), "--counters", "nobody"]).exit_code == 2


def test_purge_command_shows_first_and_deletes_only_when_told(store: Store, path: Path) -> None:
    """Without a terminal nobody can be asked: the default deletes nothing."""
    stored(store)
    purge = ["purge", "--db", str(path), "--days", "0", "--trust-clock"]
    shown = CliRunner().invoke(app, purge)
    assert shown.exit_code == 0
    assert "nonhit" in shown.output
    assert "nothing was deleted: --yes deletes" in shown.output
    assert len(stored_reads(store)) == 1
    assert "1 records and 0 pictures deleted" in CliRunner().invoke(app, [*purge, "--yes"]).output
    assert stored_reads(store) == []


@pytest.mark.parametrize(
    ("off_us", "doubt"),
    [(400 * 86_400_000_000, "newest record came 400 days ago"), (-86_400_000_000, "before the newest record")],
)
def test_purge_is_refused_while_the_clock_disagrees_with_the_records(
    store: Store, path: Path, monkeypatch: pytest.MonkeyPatch, off_us: int, doubt: str
) -> None:
    """A date that jumped must not delete everything."""
    stored(store)
    monkeypatch.setattr("cli.station_place.now_us", lambda: NOW_US + off_us)
    refused = CliRunner().invoke(app, ["purge", "--db", str(path), "--days", "30", "--yes"])
    assert isinstance(refused.exception, StoreError)
    assert doubt in str(refused.exception)
    assert len(stored_reads(store)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("host", ("host", 1883)),
        ("host:8883", ("host", 8883)),
        ("[::1]:1884", ("::1", 1884)),
        ("[::1]", ("::1", 1883)),
    ],
)
def test_broker_address(text: str, expected: tuple[str, int]) -> None:
    """The port may be left out."""
    assert _address(text) == expected


@pytest.mark.parametrize("text", ["", ":1883", "host:", "host:x", "host:0", "host:65536"])
def test_bad_broker_address_is_refused(text: str) -> None:
    """A wrong address is a usage error, not a connection that never comes."""
    assert CliRunner().invoke(app, ["--broker", text]).exit_code == 2


@pytest.mark.slow
@pytest.mark.parametrize("option", ["--csv", "--geojson"])
def test_export_to_a_pipe_does_not_grow_with_the_number_of_reads(store, path, monkeypatch, option):
    """Row by row: a year of reads does not fit into memory."""
    count = 4_000
    add(store, *(make_read_record(n, seq=n, pictures=()) for n in range(1, count + 1)), now_us=NOW_US)
    written = []

    class Pipe(io.StringIO):
        def write(self, text):
            written.append(len(text))
            return len(text)

    monkeypatch.setattr("sys.stdout", Pipe())
    tracemalloc.start()
    try:
        app(["export", "--db", str(path), option, "-"], standalone_mode=False)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(written) > count
    assert peak < 6 * 2**20, f"{sum(written)} characters took {peak} bytes"
