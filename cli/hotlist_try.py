"""``patrol-lpr hotlist dry-run``: what a list would have raised, over drives or the station's retained reads."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from agent.hotlist.matcher import Matcher, OpenList
from agent.hotlist.records import ListInfo
from agent.hotlist.terms import load_zone
from protocol.hotlist.entry import BLOCK_ENTRIES, decode_entry
from protocol.hotlist.patterns import PatternTable, check_pattern
from protocol.wire.records.read import Read
from station.query.export import iso

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from agent.hotlist.records import Entry, Match
    from station.lists.draft import ListFile, Rows
    from station.query import StoredRecord


@dataclass(frozen=True, slots=True)
class Raised:
    """One hit that would have been raised: the best match of a read."""

    source: str
    read_id: str
    utc: str | None
    text: str
    region: str
    list_id: str
    listed_text: str
    listed_region: str
    entry_id: str
    reason: str
    rule: str
    probability: float
    region_match: str


@dataclass(slots=True)
class DryRun:
    """The result."""

    reads: int = 0
    left_out: int = 0
    """Retained reads whose policy does not allow the comparison."""
    raised: list[Raised] = field(default_factory=list)
    expected_per_1000: float = 0.0
    """False alarms that the import computed for 1,000 innocent cars."""

    @property
    def by_rule(self) -> dict[str, int]:
        """Counts by rule and comparison of the states."""
        return dict(Counter(f"{hit.rule}, state {hit.region_match}" for hit in self.raised))


@dataclass(frozen=True, slots=True)
class _Entries:
    file: ListFile
    rows: Rows

    def entry(self, ref: int) -> Entry:
        """See :class:`agent.hotlist.matcher.Entries`."""
        block, within = divmod(ref, BLOCK_ENTRIES)
        return decode_entry(self.file.block(self.rows.starts, block)[within], f"row {ref}")


def open_for_trial(file: ListFile) -> Matcher:
    """Return a matcher of a draft or a full package, as a unit has it; raises HotlistError."""
    info, rows = file.info, file.rows()
    settings, patterns = info.settings, [decode_entry(entry, "") for entry in file.pattern_entries()]
    about = ListInfo(
        settings.list_id, settings.name, settings.owner, 0 if file.manifest is None else file.manifest.version,
        info.as_of_utc_us, info.expires_utc_us, settings.priority, settings.sound, settings.lamp,
        settings.jurisdiction, info.rows + info.patterns,
    )  # fmt: skip
    opened = OpenList(
        about, settings, info.rules, load_zone(settings), rows.keys, rows.refs, _Entries(file, rows),
        PatternTable.compile([check_pattern(entry.text) for entry in patterns]), tuple(patterns),
    )  # fmt: skip
    return Matcher((opened,))


def try_drives(matcher: Matcher, folders: Sequence[Path], found: DryRun) -> None:
    """Replay drives and match every read that was committed, at the time of the drive."""
    from cli.simulate import replay_drive  # noqa: PLC0415 - loads the models' runtime
    from hw.drive_load import load_drive  # noqa: PLC0415

    for folder in folders:
        with tempfile.TemporaryDirectory() as work:
            outcome = replay_drive(load_drive(folder), Path(work))
        for read in outcome.result.reads:
            found.reads += 1
            body = read.body
            matches = matcher.match(
                read.plate, now_utc_us=body.utc_us, lat_deg=body.place.lat_deg, lon_deg=body.place.lon_deg
            )
            found.raised += _raised(folder.name, read.read_id, body.utc_us, body, matches)


def try_reads(matcher: Matcher, records: Iterable[StoredRecord], found: DryRun) -> None:
    """Match retained reads: their texts and the alternatives that they kept, without the list's expiry."""
    for record in records:
        body = record.body
        if not isinstance(body, Read) or not body.text:
            continue
        found.reads += 1
        texts = [(body.text, body.confidence_e4 / 1e4), *((text, p / 1e4) for text, p in body.alternatives)]
        matches = matcher.match_texts(
            texts,
            body.region,
            body.region_confidence_e4 / 1e4,
            now_utc_us=None,
            lat_deg=body.place.lat_deg,
            lon_deg=body.place.lon_deg,
        )
        found.raised += _raised(record.unit, record.record_id, record.utc_us, body, matches)


def _raised(
    source: str, read_id: bytes, utc_us: int | None, body: Read, matches: Sequence[Match]
) -> Iterator[Raised]:
    for match in matches[:1]:
        entry = match.entry
        yield Raised(
            source, read_id.hex(), iso(utc_us), body.text, body.region, match.list.list_id, entry.text, entry.region,
            entry.entry_id, entry.reason, match.rule.value, round(match.probability, 4), match.region_match.value,
        )  # fmt: skip
