"""An import finds out the form of a file and reports every row that it does not take."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import HotlistError
from protocol.hotlist.entry import Entry, decode_entry
from protocol.hotlist.packing import normalise, pack
from protocol.plate_formats import FORMATS
from station.lists.behaviour import load_behaviour
from station.lists.budget import Budget
from station.lists.draft import ListFile
from station.lists.fields import RegionTable, parse_expiry
from station.lists.importer import Importer, Previous
from station.lists.plan import Plan, load_plan
from station.lists.report import Report
from station.lists.space import build_space

if TYPE_CHECKING:
    from pathlib import Path

LIST = {"id": "stolen", "name": "Stolen", "owner": "State police", "agencies": ["*"]}
AS_OF_US = 1_790_000_000_000_000
BUDGET = Budget(build_space(FORMATS, {}), load_behaviour())
HEADER = "LIC,LIS,NIC,MKE,VMA,VMO,VCO,VYR,MIS,ORI\n"


def imported(
    folder: Path, data: bytes | str, previous: Previous | None = None, **plan: Any
) -> tuple[Report, list[Entry]]:
    """The report and the entries in the order of the file."""
    report = Report()
    raw = data.encode() if isinstance(data, str) else data
    told = Plan.model_validate({"list": LIST, **plan})
    path = folder / "draft"
    with path.open("wb") as out:
        Importer(told, BUDGET, report).run(io.BytesIO(raw), out, as_of_utc_us=AS_OF_US, previous=previous)
    with ListFile(path) as draft:
        draft.verify()
        rows = draft.rows()
        entries = [entry for block in draft.each_block(rows.starts) for entry in block]
        kept = [decode_entry(entries[ref], "") for ref in sorted(rows.refs.tolist())]
        return report, [*kept, *(decode_entry(entry, "") for entry in draft.pattern_entries())]


def test_field_codes_of_ncic_are_known_and_others_are_left_out(tmp_path: Path) -> None:
    data = "LIC,LIS,VIN,NIC,MKE,VMA,VMO,VCO,VYR,MIS,ORI\nabc-123,CA,1HG,V42,EV,TOYT,CAM,BLU,2012,armed,CA0194200\n"
    report, entries = imported(tmp_path, data)
    assert entries == [
        Entry("V42", "abc-123", "US-CA", "EV", "TOYT", "CAM", "BLU", "2012", "armed", "CA0194200", None)
    ]
    assert (report.rows, report.entries, report.bad) == (1, 1, 0)


@pytest.mark.parametrize("delimiter", list(",;\t|:"))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_delimiter_and_encoding_are_found_out(tmp_path: Path, delimiter: str, encoding: str) -> None:
    rows = [
        ["Plate", "State", "Notes"],
        ["ABC123", "CA", "Señora"],
        ["XYZ 789", "NV", "café"],
        ["QQQ111", "TX", ""],
    ]
    out = io.StringIO(newline="")
    csv.writer(out, delimiter=delimiter).writerows(rows)
    report, entries = imported(tmp_path, out.getvalue().encode(encoding))
    assert report.bad == 0
    assert [(e.text, e.region, e.note) for e in entries] == [
        ("ABC123", "US-CA", "Señora"), ("XYZ 789", "US-NV", "café"), ("QQQ111", "US-TX", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends_of_every_system(tmp_path: Path, newline: str) -> None:
    report, entries = imported(tmp_path, newline.join(["LIC,LIS", "ABC123,CA", "", "XYZ789,NV"]))
    assert [e.text for e in entries] == ["ABC123", "XYZ789"]
    assert report.blank == 1


def test_plate_and_state_alone_without_a_header(tmp_path: Path) -> None:
    _, entries = imported(tmp_path, "ABC123;CA\nXYZ789;\n", columns={"plate": 1, "region": 2})
    assert [(e.text, e.region) for e in entries] == [("ABC123", "US-CA"), ("XYZ789", "?")]


def test_fixed_width(tmp_path: Path) -> None:
    data = "ABC123    CASTOLEN\nXYZ789    NVWANTED  \n     \n"
    columns = {"plate": [1, 10], "region": [11, 12], "reason": [13, 20]}
    report, entries = imported(tmp_path, data, file={"format": "fixed"}, columns=columns)
    assert [(e.text, e.region, e.reason) for e in entries] == [
        ("ABC123", "US-CA", "STOLEN"), ("XYZ789", "US-NV", "WANTED"),
    ]  # fmt: skip
    assert report.blank == 1


def test_quoted_fields_with_delimiters_quotes_and_line_ends(tmp_path: Path) -> None:
    data = 'LIC,LIS,MIS\n"ABC123","CA","a, ""b""\nc"\n"DEF456","NV","plain"\nXYZ789,TX,x\n'
    report, entries = imported(tmp_path, data)
    assert [(e.text, e.note) for e in entries] == [("ABC123", 'a, "b" c'), ("DEF456", "plain"), ("XYZ789", "x")]
    assert report.bad == 0


def test_single_quotes_are_found_out(tmp_path: Path) -> None:
    _, entries = imported(tmp_path, "'LIC','LIS'\n'ABC123','CA'\n'XYZ789','NV'\n")
    assert [e.text for e in entries] == ["ABC123", "XYZ789"]


def test_every_bad_row_is_reported_with_its_line_and_reason(tmp_path: Path) -> None:
    rows = [
        "ABC123,CA,,20301231", ",CA,,", "ÄBC123,CA,,", "1.23E+11,CA,,", "ABCDEFGHIJKLM,CA,,", "ABC124,CA,,not a date",
        "ABC125,CA", "A*,CA,,", "ABC126,CA," + "x" * 1300 + ",", "=CMD(),CA,,",
    ]  # fmt: skip
    seen: list[tuple[int, str]] = []
    report = Report(on_bad=lambda line, reason: seen.append((line, reason)))
    data = ("LIC,LIS,MIS,EXPIRES\n" + "\n".join(rows) + "\n").encode()
    with (tmp_path / "d").open("wb") as out:
        Importer(Plan.model_validate({"list": LIST}), BUDGET, report).run(
            io.BytesIO(data), out, as_of_utc_us=AS_OF_US, previous=None
        )
    assert (report.rows, report.entries, report.bad) == (10, 1, 9)
    assert [line for line, _ in sorted(seen)] == [3, 4, 5, 6, 7, 8, 9, 10, 11]
    reasons = dict(seen)
    assert reasons[3] == "no plate"
    assert "other than A-Z and 0-9" in reasons[4]
    assert "other than A-Z and 0-9" in reasons[5]
    assert "more than 12" in reasons[6]
    assert "not a date" in reasons[7]
    assert "2 columns instead of 4" in reasons[8]
    assert "fewer than two known characters" in reasons[9]
    assert "more than 1200 bytes" in reasons[10]
    assert report.held


def test_undecodable_rows_and_open_quotes_are_reported(tmp_path: Path) -> None:
    report, entries = imported(
        tmp_path, b"LIC,LIS,MIS\nABC123,CA,\xff\nXYZ789,NV,ok\n", file={"encoding": "utf-8"}
    )
    assert [e.text for e in entries] == ["XYZ789"]
    assert report.examples["bad rows"] == ["line 2: not valid utf-8: is it another encoding?"]
    data = 'LIC,LIS,MIS\nABC123,CA,"open\n' + "XYZ789,NV,ok\n" * 20_000
    report, entries = imported(tmp_path, data)
    assert (report.rows, report.bad, report.duplicates, len(entries)) == (20_001, 1, 19_999, 1)
    assert report.examples["bad rows"][0].startswith("line 2: ")


def test_duplicates_contradictions_and_missing_states_are_counted(tmp_path: Path) -> None:
    rows = [
        "ABC123,CA,1,,TOYT,,BLU,,,", "ABC123,CA,1,,TOYT,,BLU,,,", "ABC123,CA,2,,FORD,,RED,,,", "ABC123,NV,3,,,,,,,",
        "XYZ789,,4,,,,,,,", "QQQ111,ZZ,5,,,,,,,",
    ]  # fmt: skip
    report, entries = imported(tmp_path, HEADER + "\n".join(rows))
    assert len(entries) == 5
    assert (report.duplicates, report.repeated, report.contradictions) == (1, 1, 1)
    assert report.missing_region == 1
    assert report.unknown_regions == ("ZZ",)
    assert report.examples["duplicates"] == ["line 3 is the same as line 2"]
    assert report.examples["contradictions"] == ["lines 2 and 4: one plate and state, two vehicles"]


def test_formulas_are_counted_and_stay_text(tmp_path: Path) -> None:
    report, entries = imported(tmp_path, HEADER + 'ABC123,CA,1,,,,,,"=HYPERLINK(""http://x"")",\n')
    assert report.formulas == 1
    assert report.examples["formulas"] == ["line 2"]
    assert entries[0].note == '=HYPERLINK("http://x")'


def test_controls_and_direction_marks_do_not_reach_the_unit(tmp_path: Path) -> None:
    _, entries = imported(tmp_path, HEADER + "ABC123,CA,1,,,,,,a\x1fb\x00c\u202ed,\n")
    assert entries[0].note == "a b c d"


def test_a_list_that_shrinks_or_grows_beyond_the_bound_is_held(tmp_path: Path) -> None:
    data = HEADER + "".join(f"ABC{n},CA,,,,,,,,\n" for n in range(100, 200))
    for before, held in ((100, False), (120, False), (130, True), (84, False), (80, True)):
        report, _ = imported(tmp_path, data, Previous(before, AS_OF_US))
        assert bool(report.held) is held, before
    report, _ = imported(tmp_path, data, Previous(100, AS_OF_US + 1))
    assert report.held == ("its data are older than those of the list before",)


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xff\xfe", b"LIC,LIS\n"])
def test_an_empty_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(HotlistError, match=r"empty|no rows"):
        imported(tmp_path, data)


def test_a_file_without_a_known_plate_column_says_what_it_has(tmp_path: Path) -> None:
    with pytest.raises(HotlistError, match=r"Kennzeichen, Land: set columns.plate"):
        imported(tmp_path, "Kennzeichen;Land\nABC123;CA\n", file={"header": True})
    with pytest.raises(HotlistError, match=r"columns.plate = 'Tag No': not in the file"):
        imported(tmp_path, "A;B\nABC123;CA\n", file={"header": True}, columns={"plate": "Tag No"})


def test_a_binary_file_is_held(tmp_path: Path) -> None:
    report, entries = imported(tmp_path, bytes(range(256)) * 9000, columns={"plate": 1})
    assert entries == []
    assert report.bad
    assert "no entries" in report.held


def test_constants_and_regions_of_the_plan(tmp_path: Path) -> None:
    _, entries = imported(
        tmp_path, "LIC,LIS\nABC123,Calif.\nXYZ789,\n", constants={"reason": "Stolen"}, regions={"calif.": "US-CA"},
        default_region="US-NV",
    )  # fmt: skip
    assert [(e.region, e.reason) for e in entries] == [("US-CA", "Stolen"), ("US-NV", "Stolen")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [("", b""), ("NONEXP", b""), ("20301231", b"1924992000000000"), ("12/31/2030", b"1924992000000000"),
     ("2030-12-31", b"1924992000000000"), ("2030-12-31T00:00:00Z", b"1924905600000000"),
     ("31.12.2030", b"1924992000000000"),
     ("2030-13-01", None), ("tomorrow", None), ("20301301", None), ("99991231", b"253402300800000000")],
)  # fmt: skip
def test_expiry_dates(text: str, expected: bytes | None) -> None:
    assert parse_expiry(text) == expected


def test_separators_of_word_processors_are_left_out(tmp_path: Path) -> None:
    _, entries = imported(tmp_path, "LIC,LIS\nABC\u00b7123,CA\nXYZ\u00a0789,NV\n")
    assert [normalise(entry.text) for entry in entries] == ["ABC123", "XYZ789"]


def test_ca_is_california_and_canada_is_named() -> None:
    table = RegionTable({}, "")
    assert [table[text] for text in (b"ca", b"CANADA", b"on", b"New  York", b"US-TX", b"unk", b"")] == [
        b"US-CA", b"CA", b"CA", b"US-NY", b"US-TX", b"?", b"?",
    ]  # fmt: skip


def test_a_plan_names_its_mistakes(tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text('[list]\nid = "x"\nname = "n"\nowner = "o"\nagencies = ["*"]\n[columns]\nplatte = 1\n')
    with pytest.raises(HotlistError, match="'platte' is not a field"):
        load_plan(path)
    path.write_text("[list")
    with pytest.raises(HotlistError, match="not TOML"):
        load_plan(path)


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)


@pytest.mark.slow
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=12), st.sampled_from(",;|\t"))
def test_no_row_of_a_written_csv_is_lost(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, str, str]], delimiter: str
) -> None:
    """Every row is an entry, a duplicate, or reported."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=delimiter)
    writer.writerow(["LIC", "LIS", "MIS"])
    writer.writerows(rows)
    report, entries = imported(
        tmp_path_factory.mktemp("i"), out.getvalue().encode(),
        file={"delimiter": delimiter, "header": True, "encoding": "utf-8"},
    )  # fmt: skip
    assert report.rows == len(rows)
    assert report.entries + report.duplicates + report.bad == len(rows)
    assert len(entries) == report.entries
    listed = {pack(normalise(entry.text)) for entry in entries}
    assert {pack(normalise(text)) for text, _, note in rows if len(note) < 9 and text.isalnum()} - {None} <= listed


@pytest.mark.slow
@given(st.binary(max_size=600))
def test_arbitrary_bytes_raise_only_our_errors(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    folder = tmp_path_factory.mktemp("i")
    for file in ({}, {"format": "fixed"}):
        try:
            imported(folder, data, columns={"plate": [1, 8] if file else 1}, file=file)
        except HotlistError:
            continue


def test_more_rows_than_a_unit_takes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("station.lists.importer.MAX_ROWS", 5)
    data = "LIC\n" + "".join(f"ABC{n}\n" for n in range(100, 106))
    with pytest.raises(HotlistError, match="more than 5 entries: divide the list"):
        imported(tmp_path, data)


def test_a_header_with_more_names_than_columns_is_reported(tmp_path: Path) -> None:
    report, entries = imported(tmp_path, "LIC,LIS,MIS,ORI\nABC123,CA,x\nXYZ789,NV,y\n")
    assert [(e.text, e.note, e.callback) for e in entries] == [("ABC123", "x", ""), ("XYZ789", "y", "")]
    assert report.examples["bad rows"] == ["line 1: 4 columns instead of 3"]
