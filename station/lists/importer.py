"""Imports a list: rows to plates, entries and patterns, with everything that looks wrong reported.

Rows are not kept in memory: of each only its plate, its line, and checksums of its entry and vehicle.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from protocol.errors import HotlistError
from protocol.hotlist.entry import MAX_ENTRY_BYTES
from protocol.hotlist.manifest import MAX_PATTERNS, MAX_ROWS
from protocol.hotlist.packing import MAX_CHARS, normalise, pack, pack_many
from protocol.hotlist.patterns import WILDCARDS, check_pattern
from station.lists.draft import BlockWriter, DraftInfo, full_sections, spooled, write_draft
from station.lists.fields import DateTable, RegionTable
from station.lists.form import SAMPLE_BYTES, Form, find_form, known_columns, simplify
from station.lists.plan import FIELD_NAMES
from station.lists.rows import RowReader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from station.lists.budget import Budget
    from station.lists.plan import Plan
    from station.lists.report import Report
    from station.lists.rows import Chunk

_N = TypeVar("_N", bound="np.unsignedinteger[Any]")
_ORDER = (
    "plate",
    "region",
    "entry_id",
    "reason",
    "make",
    "model",
    "colour",
    "year",
    "note",
    "callback",
    "expires",
)
_VEHICLE = ("make", "model", "colour", "year")
_FORMULAS = (b"\x1f=", b"\x1f@", b"\x1f+", b"\x1f-")
_US_PER_DAY = 86_400_000_000
_MAX_PLATE_BYTES = 64
_BLOCK_ROWS = 2**17


@dataclass(frozen=True, slots=True)
class Previous:
    """The list before this one."""

    entries: int
    as_of_utc_us: int


class _Column(Generic[_N]):
    """A column that grows in blocks large enough to be given back to the system when it is joined."""

    def __init__(self, dtype: type[_N]) -> None:
        self._dtype = dtype
        self._blocks: list[NDArray[_N]] = []
        self._used = _BLOCK_ROWS

    def add(self, values: NDArray[_N]) -> None:
        """Append values."""
        while len(values):
            if self._used == _BLOCK_ROWS:
                self._blocks.append(np.empty(_BLOCK_ROWS, self._dtype))
                self._used = 0
            room = min(_BLOCK_ROWS - self._used, len(values))
            self._blocks[-1][self._used : self._used + room] = values[:room]
            self._used += room
            values = values[room:]

    def join(self) -> NDArray[_N]:
        """Return all values; the column is empty then."""
        count = len(self._blocks) * _BLOCK_ROWS - (_BLOCK_ROWS - self._used if self._blocks else 0)
        found = np.empty(count, self._dtype)
        for start in range(0, count, _BLOCK_ROWS):
            block = self._blocks.pop(0)
            found[start : start + _BLOCK_ROWS] = block[: count - start]
        self._used = _BLOCK_ROWS
        return found


class _Kept:
    """What is kept of each row."""

    def __init__(self) -> None:
        self.keys = _Column(np.uint64)
        self.marks = _Column(np.uint32)
        """Checksum of the entry."""
        self.vehicles = _Column(np.uint32)
        self.regions = _Column(np.uint16)
        self.lines = _Column(np.uint32)


@dataclass(frozen=True, slots=True)
class _Rows:
    """All rows, sorted by plate and entry, without duplicates."""

    keys: NDArray[np.uint64]
    refs: NDArray[np.uint32]
    regions: NDArray[np.uint16]


class Importer:
    """Imports one file."""

    def __init__(self, plan: Plan, budget: Budget, report: Report) -> None:
        self._plan, self._budget, self._report = plan, budget, report
        self._regions = RegionTable(plan.regions, plan.default_region)
        self._dates = DateTable()
        self._region_numbers = _Numbers()
        self._kept = _Kept()
        self._blocks = BlockWriter()
        self._patterns: list[bytes] = []
        self._count = 0

    def run(self, file: IO[bytes], out: IO[bytes], *, as_of_utc_us: int, previous: Previous | None) -> DraftInfo:
        """Read the file, write the draft; raises HotlistError if nothing can be made of it."""
        try:
            return self._run(file, out, as_of_utc_us, previous)
        finally:
            self._blocks.close()

    def _run(self, file: IO[bytes], out: IO[bytes], as_of_utc_us: int, previous: Previous | None) -> DraftInfo:
        plan, report = self._plan, self._report
        form = find_form(
            file.read(SAMPLE_BYTES), plan.file, [c for c in plan.columns.values() if isinstance(c, str)]
        )
        places, spans = self._places(form)
        report.encoding, report.delimiter = form.encoding, form.delimiter
        report.columns = {name: (form.header[n] if form.header else str(n + 1)) for name, n in places.items()}
        reader = RowReader(file, form, report.add_bad, spans)
        for chunk in reader.chunks():
            self._add(chunk, places)
        report.blank = reader.blank
        report.rows = self._count + report.bad
        rows = self._finish()
        report.entries, report.patterns = len(rows.keys) + len(self._patterns), len(self._patterns)
        if not report.entries and not report.rows:
            raise HotlistError("the file has no rows")
        rules, lines = self._budget.rules(rows.keys, self._listed_regions(rows), self._pattern_texts(), plan.rules)
        report.rules = lines
        report.held = tuple(self._held(previous, as_of_utc_us))
        report.unknown_regions = tuple(sorted(self._regions.unknown)[:20])
        expires = plan.list.expires_days
        with spooled(full_sections(rows.keys, rows.refs, self._blocks, self._patterns)) as (sections, spool):
            info = DraftInfo(
                settings=plan.settings(), rules=rules, as_of_utc_us=as_of_utc_us,
                expires_utc_us=None if expires is None else as_of_utc_us + round(expires * _US_PER_DAY),
                rows=len(rows.keys), records=self._blocks.count, patterns=len(self._patterns),
                budget_per_million=round(plan.rules.budget_per_1000 * 1000), held=report.held, sections=sections,
            )  # fmt: skip
            write_draft(out, info, spool)
        return info

    def _places(self, form: Form) -> tuple[dict[str, int], list[tuple[int, int]]]:
        """Return the number of each field's column, from 0; raises HotlistError for a mapping that does not fit."""
        told = self._plan.columns
        if self._plan.file.format == "fixed":
            spans = [ref for ref in told.values() if isinstance(ref, tuple)]
            return {name: n for n, name in enumerate(told)}, spans
        names = {simplify(name): n for n, name in reversed(list(enumerate(form.header)))}
        # A header may have more names than the rows have columns.
        places = known_columns(form.header[: form.columns])
        for name, ref in told.items():
            place = names.get(simplify(ref)) if isinstance(ref, str) else int(ref) - 1  # type: ignore[arg-type]
            if place is None or place >= form.columns:
                found = ", ".join(form.header) or f"{form.columns} columns without a header"
                raise HotlistError(f"columns.{name} = {ref!r}: not in the file, which has {found}")
            places[name] = place
        if "plate" not in places:
            found = ", ".join(form.header) or f"{form.columns} columns without a header"
            raise HotlistError(f"no column with plates is known; the file has {found}: set columns.plate")
        return {name: place for name, place in places.items() if name not in self._plan.constants}, []

    def _add(self, chunk: Chunk, places: dict[str, int]) -> None:
        count = len(chunk.lines)
        if not count:
            return
        texts = chunk.columns[places["plate"]]
        columns = {name: self._column(name, chunk, places, count) for name in FIELD_NAMES}
        keys = pack_many([text[:_MAX_PLATE_BYTES] for text in texts])
        bad = {}
        for n in np.flatnonzero(keys == 0).tolist():
            keys[n] = pack(normalise(texts[n].decode())) or 0  # with separators beyond ASCII
            if not keys[n] and (reason := self._plate_fault(texts[n])):
                bad[n] = reason
        expires = columns["expires"]
        if None in expires:
            bad |= {n: "the expiry is not a date" for n, text in enumerate(expires) if text is None}
            columns["expires"] = [text or b"" for text in expires]
        entries = list(map(b"\x1f".join, zip(*(columns[name] for name in _ORDER), strict=True)))
        if max(map(len, entries)) > MAX_ENTRY_BYTES:
            bad |= {
                n: f"the entry has more than {MAX_ENTRY_BYTES} bytes"
                for n, entry in enumerate(entries)
                if len(entry) > MAX_ENTRY_BYTES
            }
        self._find_formulas(entries, chunk)
        patterns = [n for n in np.flatnonzero(keys == 0).tolist() if n not in bad]
        for n in sorted(bad):
            self._report.add_bad(chunk.lines[n], bad[n])
        for n in patterns:
            self._add_pattern(entries[n], texts[n], chunk.lines[n])
        kept = keys > 0
        if bad:
            kept[list(bad)] = False
        self._keep(keys, kept, entries, columns, chunk.lines)

    def _column(self, name: str, chunk: Chunk, places: dict[str, int], count: int) -> Sequence[bytes | None]:
        constant = self._plan.constants.get(name)
        if constant is not None:
            found: Sequence[bytes] = [constant.encode()] * count
        elif name in places:
            found = chunk.columns[places[name]]
        elif name == "region":
            found = [b""] * count
        else:
            return [b""] * count
        if name == "region":
            return list(map(self._regions.__getitem__, found))
        if name == "expires":
            return list(map(self._dates.__getitem__, found))
        return found

    def _plate_fault(self, text: bytes) -> str:
        """Return why a text cannot be listed; empty for a pattern."""
        plate = normalise(text.decode())
        if not plate:
            return "no plate"
        if any(symbol in WILDCARDS for symbol in plate):
            try:
                check_pattern(plate)
            except HotlistError as error:
                return f"pattern{str(error).removeprefix(repr(plate))}"
            return ""
        if not all(c.isascii() and c.isalnum() for c in plate):
            return "the plate has characters other than A-Z and 0-9"
        return f"the plate has more than {MAX_CHARS} characters"

    def _add_pattern(self, entry: bytes, text: bytes, line: int) -> None:
        reason = self._budget.refuse_pattern(check_pattern(text.decode()), self._plan.rules)
        if reason:
            self._report.add_bad(line, reason)
        elif len(self._patterns) >= MAX_PATTERNS:
            self._report.add_bad(line, f"more than {MAX_PATTERNS} patterns")
        else:
            self._count += 1
            self._patterns.append(entry)

    def _find_formulas(self, entries: list[bytes], chunk: Chunk) -> None:
        text = b"\n".join(entries)
        if not any(text.count(start) for start in _FORMULAS):
            return
        for n, entry in enumerate(entries):
            if any(start in entry for start in _FORMULAS):
                self._report.formulas += 1
                self._report.note("formulas", f"line {chunk.lines[n]}")

    def _keep(
        self,
        keys: NDArray[np.uint64],
        kept: NDArray[np.bool_],
        entries: list[bytes],
        columns: dict[str, Sequence[bytes | None]],
        lines: Sequence[int],
    ) -> None:
        is_whole = bool(kept.all())
        chosen = range(len(entries)) if is_whole else np.flatnonzero(kept).tolist()
        if not is_whole:
            entries = [entries[n] for n in chosen]
        count = len(entries)
        self._count += count
        if self._blocks.count + count > MAX_ROWS:
            raise HotlistError(f"more than {MAX_ROWS:,} entries: divide the list, for example by priority")
        regions = list(map(self._region_numbers.__getitem__, columns["region"]))  # type: ignore[arg-type]
        vehicle = map(b"\x1f".join, zip(*(columns[name] for name in _VEHICLE), strict=True))
        kept_rows = self._kept
        kept_rows.keys.add(keys[kept])
        kept_rows.marks.add(np.fromiter(map(zlib.crc32, entries), np.uint32, count))
        kept_rows.vehicles.add(np.fromiter(map(zlib.crc32, vehicle), np.uint32, len(kept))[kept])
        kept_rows.regions.add(np.array(regions, np.uint16)[kept])
        kept_rows.lines.add(np.array(lines, np.uint32)[kept])
        self._report.missing_region += columns["region"].count(b"?")
        self._blocks.add(entries)

    def _finish(self) -> _Rows:
        kept = self._kept
        keys = kept.keys.join()
        marks = kept.marks.join()
        regions = kept.regions.join()
        order = np.lexsort((marks, regions, keys)).astype(np.uint32)
        keys, marks = keys[order], marks[order]
        same_plate = keys[1:] == keys[:-1]
        is_new = np.ones(len(keys), bool)
        is_new[1:] = ~(same_plate & (marks[1:] == marks[:-1]))
        lines, vehicles = kept.lines.join(), kept.vehicles.join()
        self._report.duplicates = int(np.count_nonzero(~is_new))
        for row in np.flatnonzero(~is_new)[:20].tolist():
            pair = sorted((int(lines[order[row - 1]]), int(lines[order[row]])))
            self._report.note("duplicates", f"line {pair[1]} is the same as line {pair[0]}")
        keys, order = keys[is_new], order[is_new]
        self._find_contradictions(keys, order, lines, vehicles, regions)
        return _Rows(keys, order, regions[order])

    def _find_contradictions(
        self,
        keys: NDArray[np.uint64],
        order: NDArray[np.uint32],
        lines: NDArray[np.uint32],
        vehicles: NDArray[np.uint32],
        regions: NDArray[np.uint16],
    ) -> None:
        """Compare entries of one plate and region with the one before."""
        unknown = self._region_numbers.get(b"?", -1)
        nothing = zlib.crc32(b"\x1f" * (len(_VEHICLE) - 1))
        rows = np.flatnonzero(keys[1:] == keys[:-1]) + 1
        first, second = order[rows - 1], order[rows]
        same = (regions[first] == regions[second]) & (regions[first] != unknown)
        self._report.repeated = int(np.count_nonzero(same))
        known = (vehicles[first] != nothing) & (vehicles[second] != nothing)
        wrong = np.flatnonzero(same & known & (vehicles[first] != vehicles[second]))
        self._report.contradictions = len(wrong)
        for n in wrong[:20].tolist():
            pair = sorted((int(lines[first[n]]), int(lines[second[n]])))
            self._report.note(
                "contradictions", f"lines {pair[0]} and {pair[1]}: one plate and state, two vehicles"
            )

    def _listed_regions(self, rows: _Rows) -> tuple[NDArray[np.uint16], tuple[str, ...]]:
        return rows.regions, tuple(name.decode() for name in self._region_numbers)

    def _pattern_texts(self) -> list[str]:
        return [check_pattern(entry.split(b"\x1f", 1)[0].decode()) for entry in self._patterns]

    def _held(self, previous: Previous | None, as_of_utc_us: int) -> Iterable[str]:
        report, limits = self._report, self._plan.rules
        if previous is not None and previous.entries:
            change = report.entries / previous.entries - 1
            if abs(change) > limits.max_change:
                yield (
                    f"{report.entries:,} entries after {previous.entries:,}, a change of {change:+.0%}; "
                    f"more than {limits.max_change:.0%} is held"
                )
        if previous is not None and as_of_utc_us < previous.as_of_utc_us:
            yield "its data are older than those of the list before"
        if report.rows and report.bad / report.rows > limits.max_bad:
            yield f"{report.bad:,} of {report.rows:,} rows are bad; more than {limits.max_bad:.0%} is held"
        if not report.entries:
            yield "no entries"
        for rule in report.rules:
            if rule.enabled and rule.alarms_per_1000 > limits.budget_per_1000:
                yield (
                    f"{rule.rule}: {rule.alarms_per_1000:.3g} expected false alarms per 1,000 cars, "
                    f"the budget is {limits.budget_per_1000:g}"
                )


class _Numbers(dict[bytes, int]):
    """Numbers texts in the order in which they are first seen."""

    def __missing__(self, text: bytes) -> int:
        self[text] = number = len(self)
        return number
