"""Reports over the simulated month: every number is the simulation's own, by the database and from files alone."""

from __future__ import annotations

import io
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from cli.report_recompute import app as report_app
from cli.station import app as station_app
from protocol.seal import SigningKey, load_keyring
from protocol.seal.series import make_header, read_series, write_series
from station.asker import Asker, Scope
from station.commands import Commands
from station.query import Query
from station.reports.definition import parse_definition, shipped_definitions
from station.reports.lines import HEADER, Line, ReportError, line, read_lines, write_lines
from station.reports.make import make_report
from station.reports.periods import period_of, recent_labels
from station.reports.present import present
from station.reports.printed import printed_report
from station.reports.quality import ListFigures, make_quality
from station.reports.recompute import recompute
from station.store import open_store
from station.store.reporting import Period
from station.store.rows import PurgePlan, PurgeRule
from tests.month.draw import make_month
from tests.month.fill import fill
from tests.month.world import SMALL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from station.store import Store
    from tests.month.draw import Month

pytestmark = pytest.mark.slow
CLERK = Asker("clerk", "half-yearly report", "R-1")
LOG_KEY = SigningKey.generate()
WRONG = {"misread", "other_region", "other_vehicle"}
HOSTILE = "=cmd|' /C calc'!A0<script>alert(1)</script>"


@pytest.fixture(scope="module")
def month() -> Month:
    return make_month(SMALL)


@pytest.fixture(scope="module")
def filled(month: Month, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A station's file with the month, and its keys beside it."""
    folder = tmp_path_factory.mktemp("month")
    store = open_store(folder / "station.db")
    fill(store, month, keys=folder / "keys", purge=certified_purge)
    query = Query(store, CLERK, lambda: month.last_us)
    for _ in range(3):
        query.hits(limit=5)
    Query(store, Asker("clerk", HOSTILE, "R-2"), lambda: month.last_us).records(limit=1)
    store.close()
    return folder


def certified_purge(store: Store, before_us: int, retention: str, now_us: int) -> int:
    """As an operator purges, with a certificate."""
    plan = PurgePlan((PurgeRule(retention, before_us),))
    with store.transaction():
        return store.purge(plan).records


@pytest.fixture
def store(filled: Path) -> Iterator[Store]:
    opened = open_store(filled / "station.db")
    yield opened
    opened.close()


def whole(month: Month) -> Period:
    return Period(month.first_us, month.last_us + 1_000_000)


def values(lines: list[Line], table: str, measure: str) -> dict[str, int]:
    return {one.keys[0]: one.value for one in lines if (one.table, one.measure) == (table, measure)}


def test_hits_by_list_are_those_of_the_month(store, month):
    """Stages, decisions and outcomes put together by the database as the simulation counted them."""
    lines = list(make_report(store, CLERK, lambda: month.last_us, whole(month)).lines)
    hits = month.truth.hits
    assert values(lines, "hits", "hits") == Counter(hit.list_id for hit in hits)
    for state in ("confirmed", "rejected", "withdrawn", "expired"):
        assert values(lines, "hits", state) == Counter(hit.list_id for hit in hits if hit.state == state), state
    undecided = Counter(hit.list_id for hit in hits if hit.state in {"new", "acknowledged"})
    assert values(lines, "hits", "undecided") == undecided
    wrong = Counter(hit.list_id for hit in hits if hit.state == "rejected" and hit.reason in WRONG)
    assert values(lines, "hits", "wrong") == wrong
    assert values(lines, "owners", "hits") == Counter(hit.list_owner for hit in hits)
    outcomes = {(one.keys[0], one.keys[2]): one.value for one in lines if one.table == "outcomes"}
    assert outcomes == Counter((hit.list_id, hit.outcome) for hit in hits if hit.outcome)
    reasons = {(one.keys[0], one.keys[2]): one.value for one in lines if one.table == "reasons"}
    assert reasons == Counter((hit.list_id, hit.reason) for hit in hits if hit.reason)


def test_ages_of_lists_are_those_of_the_month(store, month):
    lines = make_report(store, CLERK, lambda: month.last_us, whole(month)).lines
    limits = [(12, "12"), (24, "24"), (48, "48"), (168, "168"), (10**9, "over")]
    ages = Counter(
        (hit.list_id, next(name for hours, name in limits if hit.list_age_s <= hours * 3600))
        for hit in month.truth.hits
    )
    assert {(one.keys[0], one.keys[1]): one.value for one in lines if one.table == "ages"} == ages


def test_reads_look_ups_and_purges_of_units_are_those_of_the_month(store, month):
    lines = list(make_report(store, CLERK, lambda: month.last_us, whole(month)).lines)
    kept = Counter(read.retention for read in month.truth.reads if not read.purged)
    assert values(lines, "reads", "kept") == kept
    assert sum(values(lines, "unit_look_ups", "entries").values()) == len(month.truth.look_ups)
    assert sum(values(lines, "unit_purges", "reads").values()) == sum(n for _, _, n in month.truth.unit_purges)
    shown = {one.keys[:2]: one.value for one in lines if one.table == "look_ups"}
    assert shown[("show hits", "half-yearly report")] == 3
    assert shown[("show records", HOSTILE)] == 1


def test_period_divides_the_month(store, month):
    """What is made before the end of a period is in it, and in no other: the parts add up."""
    middle = (month.first_us + month.last_us) // 2
    parts = [
        make_report(store, CLERK, lambda: month.last_us, period).lines
        for period in (Period(month.first_us, middle), Period(middle, month.last_us + 1_000_000))
    ]
    total = Counter[Any]()
    for lines in parts:
        for one in lines:
            if one.table in {"hits", "ages", "owners", "outcomes", "reasons"}:
                total[one.place] += one.value
    both = make_report(store, CLERK, lambda: month.last_us, whole(month)).lines
    assert total == {one.place: one.value for one in both if one.place in total}
    assert total


@pytest.fixture(scope="module")
def exported(filled: Path, month: Month, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report and the files from which it can be computed again."""
    folder = tmp_path_factory.mktemp("exported")
    store = open_store(filled / "station.db")
    report = make_report(store, CLERK, lambda: month.last_us, whole(month))
    with (folder / "report.csv").open("w", newline="", encoding="utf-8") as out:
        write_lines(report.lines, out)
    ring = replace(load_keyring(filled / "keys"), log=LOG_KEY)
    query = Query(store, CLERK, lambda: month.last_us)
    with (folder / "series.lpr").open("wb") as raw, (folder / "log.lpr").open("wb") as log:
        query.export_evidence(raw, ring)
        query.export_log(log, ring)
    store.close()
    return folder


def computed(
    folder: Path, *, report: list[Line] | None = None, series: bytes | None = None, log: bytes | None = None
) -> Any:
    lines = (
        report if report is not None else read_lines(io.StringIO((folder / "report.csv").read_text(), newline=""))
    )
    data = series if series is not None else (folder / "series.lpr").read_bytes()
    audit = log if log is not None else (folder / "log.lpr").read_bytes()
    return recompute(lines, [io.BytesIO(data)], io.BytesIO(audit))


def test_report_is_computed_again_from_files_alone(exported):
    """The other way finds the same numbers, hostile texts included, and later entries do not disturb it."""
    found = computed(exported)
    assert (found.altered, found.differences) == ([], [])
    assert found.lines > 40
    assert found.records > 1_000


def test_altered_report_is_named(exported):
    lines = read_lines(io.StringIO((exported / "report.csv").read_text(), newline=""))
    at = next(n for n, one in enumerate(lines) if one.measure == "confirmed" and one.table == "hits")
    was = lines[at]
    lines[at] = Line(was.table, was.keys, was.measure, was.value + 1)
    (difference,) = computed(exported, report=lines).differences
    assert (difference.line.place, difference.line.value, difference.computed) == (
        was.place,
        was.value + 1,
        was.value,
    )
    del lines[at]
    (difference,) = computed(exported, report=lines).differences
    assert (difference.line.value, difference.computed) == (0, was.value)


def test_record_that_was_taken_out_or_altered_is_named(exported):
    """Whoever alters the series, so that an altered report agrees, breaks its signatures or leaves a gap."""
    header, proofs = read_series(io.BytesIO((exported / "series.lpr").read_bytes()))
    kept = list(proofs)
    at = next(n for n, proof in enumerate(kept) if b"disposition/1" in (proof.record or b""))
    out = io.BytesIO()
    write_series(
        out, make_header(header.station, header.utc_us, header.keys), [p for n, p in enumerate(kept) if n != at]
    )
    found = computed(exported, series=out.getvalue())
    assert found.altered == [f"the series of {kept[at].evidence.unit}"]


def test_look_up_that_was_altered_or_taken_out_of_the_log_is_named(exported):
    """The count differs, and the log's checkpoints do not fit any more."""
    log = (exported / "log.lpr").read_bytes()
    assert log.count(b'"what":"show hits"') == 3
    found = computed(exported, log=log.replace(b'"what":"show hits"', b'"what":"shew hits"', 1))
    assert [one.line.keys[0] for one in found.differences] == ["show hits"]
    assert any(fault.startswith("the audit log") for fault in found.altered)


def test_log_without_a_key_is_counted_and_said(filled, exported, month):
    store = open_store(filled / "station.db")
    out = io.BytesIO()
    Query(store, CLERK, lambda: month.last_us).export_log(out, load_keyring(filled / "keys"))
    store.close()
    found = computed(exported, log=out.getvalue())
    assert (found.altered, found.differences, found.log_signed) == ([], [], False)


def test_strangers_files_are_refused(exported):
    good = (exported / "report.csv").read_text()
    for text in ("", "a,b\n", ",".join(HEADER) + "\nhits,a\n", good.replace("hits,stolen", "hits,stolen,x", 1)):
        with pytest.raises(ReportError):
            read_lines(io.StringIO(text, newline=""))
    with pytest.raises(ReportError, match="not a whole report"):
        computed(exported, report=[line("hits", "hits", 1)])
    for series in (b"", b"garbage", (exported / "series.lpr").read_bytes()[:-5]):
        with pytest.raises(ReportError):
            computed(exported, series=series)
    for log in (b"", b"garbage", (exported / "log.lpr").read_bytes()[:-5], (exported / "series.lpr").read_bytes()):
        with pytest.raises(ReportError):
            computed(exported, log=log)


@pytest.mark.parametrize("name", ["general", "arkansas", "virginia"])
def test_printed_report_of_each_definition(store, month, name):
    """All tables of the definition, what the law says with its source, and nothing hostile as markup."""
    definition = shipped_definitions()[name]
    page = printed_report(present(make_report(store, CLERK, lambda: month.last_us, whole(month)), definition))
    assert definition.title in page
    assert "<script" not in page
    for figure in definition.figures:
        assert figure.source.split(",")[0] in page
    assert page.count("<h2>") >= len(definition.tables)


def test_share_of_hits_from_lists_of_other_agencies(store, month):
    definition = shipped_definitions()["general"].model_copy(update={"own_lists": ("Example County",)})
    shown = present(make_report(store, CLERK, lambda: month.last_us, whole(month)), definition)
    owners = next(table for table in shown.tables if table.name == "owners")
    hits = month.truth.hits
    share = sum(hit.list_owner != "Example County" for hit in hits) / len(hits)
    assert f"other agencies: {100 * share:.1f} %" in owners.note
    assert {row[0]: row[1] for row in owners.rows} == {
        "Example County": "own", "Example State Police": "other agency",
    }  # fmt: skip


def test_alarm_quality_of_the_month(store, month):
    """Counts are the simulation's; rejected texts become pairs of characters."""
    figures = [ListFigures("stolen", 99, 0, {"exact": 10, "approximate": 1000})]
    quality = make_quality(store, CLERK, lambda: month.last_us, whole(month), more_figures=figures, cars=2_000)
    hits = month.truth.hits
    for found in quality.lines:
        of = [h for h in hits if (h.list_id, h.rule) == (found.list_id, found.rule)]
        wrong = [h for h in of if h.state == "withdrawn" or h.reason in WRONG]
        assert (found.hits, found.false) == (len(of), len(wrong))
        assert found.confirmed == sum(h.state == "confirmed" for h in of)
    pairs = Counter[tuple[str, str]]()
    for hit in hits:
        if hit.reason == "misread" and len(hit.text) == len(hit.listed_text):
            pairs.update((a, b) for a, b in zip(hit.text, hit.listed_text, strict=True) if a != b)
    assert {(one.read, one.listed): one.rejected for one in quality.confusions if one.rejected} == pairs


def test_limited_account_gets_no_report(store, month):
    """It would count what the account may not see."""
    limited = Asker("clerk", "why", "R-1", Scope(agencies=frozenset({"Example Sheriff"})))
    with pytest.raises(ReportError, match="may see them"):
        make_report(store, limited, lambda: month.last_us, whole(month))
    with pytest.raises(ReportError, match="may see them"):
        make_quality(store, limited, lambda: month.last_us, whole(month))


def test_purge_of_the_period_is_in_the_report(tmp_path, month):
    """By the certificate of the purge, at the station's own file."""
    store = open_store(tmp_path / "station.db")
    fill(store, month, keys=tmp_path / "keys", purge=None)
    now_us = month.last_us
    gone = Commands(store, CLERK, lambda: now_us).purge(0, retention="nonhit")
    report = make_report(store, CLERK, lambda: now_us, whole(month))
    assert values(list(report.lines), "purged", "records") == {"nonhit": gone.records}
    series, log = io.BytesIO(), io.BytesIO()
    ring = replace(load_keyring(tmp_path / "keys"), log=LOG_KEY)
    query = Query(store, CLERK, lambda: now_us)
    query.export_evidence(series, ring)
    query.export_log(log, ring)
    store.close()
    found = recompute(report.lines, [io.BytesIO(series.getvalue())], io.BytesIO(log.getvalue()))
    assert (found.altered, found.differences) == ([], [])


def test_commands_write_report_and_compute_it_again(filled, tmp_path):
    """`station report`, `station export`, `report recompute`; and `station alarms`."""
    run = CliRunner().invoke
    db, csv = str(filled / "station.db"), str(tmp_path / "report.csv")
    html, log, series = (str(tmp_path / name) for name in ("report.html", "log.lpr", "series.lpr"))
    keys = str(filled / "keys")
    made = run(
        station_app,
        ["--db", db, "report", "arkansas", "--period", "2027-H1", "--csv", csv, "--html", html],
    )
    assert made.exit_code == 0, made.output
    for command in (["export", "--evidence", series], ["audit", "--export", log]):
        done = run(station_app, ["--db", db, *command, "--keys", keys])
        assert done.exit_code == 0, done.output
    again = run(report_app, ["recompute", csv, "--series", series, "--log", log])
    assert "the report agrees" in again.output, again.output
    (tmp_path / "report.csv").write_text(
        (tmp_path / "report.csv").read_text().replace(",confirmed,", ",rejected,", 1)
    )
    again = run(report_app, ["recompute", csv, "--series", series, "--log", log])
    assert again.exit_code == 1
    assert "does NOT agree" in again.output
    shown = run(station_app, ["--db", db, "alarms", "--period", "2027-03"])
    assert "Characters that were confused" in shown.output, shown.output


@pytest.mark.parametrize(
    ("label", "timezone", "days"),
    [("2026", "UTC", 365), ("2026-H1", "America/Chicago", 181), ("2026-Q4", "UTC", 92), ("2028-02", "UTC", 29)],
)
def test_periods_have_their_lengths(label, timezone, days):
    """In the agency's time zone, daylight saving included: no hour is in two periods or in none."""
    period = period_of(label, timezone)
    hours = (period.until_us - period.since_us) / 3_600_000_000
    assert hours == days * 24 - (1 if (label, timezone) == ("2026-H1", "America/Chicago") else 0)


@pytest.mark.parametrize(
    "label",
    ["", "26", "2026-13", "2026-00", "2026-H3", "2026-Q0", "9999", "2026-05-01", "\uff12\uff10\uff12\uff16"],
)
def test_what_is_no_period_is_refused(label):
    with pytest.raises(ReportError):
        period_of(label, "UTC")
    with pytest.raises(ReportError, match="time zone"):
        period_of("2026", "Mars/Olympus")


def test_recent_periods_begin_with_the_one_that_goes_on():
    now_us = 1_780_000_000_000_000  # 2026-05-28
    assert recent_labels(now_us, 6, 3) == ["2026-H1", "2025-H2", "2025-H1"]
    assert recent_labels(now_us, 1, 2) == ["2026-05", "2026-04"]
    assert recent_labels(now_us, 3, 1) == ["2026-Q2"]
    assert recent_labels(now_us, 12, 1) == ["2026"]


@pytest.mark.parametrize("text", ["", "id = 1", 'id = "x"\ntitle = "t"\nperiod = "week"', "x = [",
                                  'id = "x"\ntitle = "t"\nperiod = "year"\ntables = ["secrets"]'])  # fmt: skip
def test_bad_definition_is_refused_with_its_name(text):
    with pytest.raises(ReportError, match=r"own\.toml"):
        parse_definition(text, "own.toml")
