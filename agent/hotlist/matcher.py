"""Matches reads with the lists in force.

A read's own text and those that its character probabilities allow are looked up together (binary search), entries
with wildcards are compared with the likeliest of them.  Nothing here depends on plate formats.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np

from agent.hotlist.lattice import likely_keys, own_key
from agent.hotlist.records import Entry, ListInfo, Match, Priority, RegionMatch, Rule
from agent.hotlist.regions import compare_regions, is_reported, known_region
from agent.hotlist.terms import is_inside, is_scheduled
from protocol.hotlist.packing import pack, unpack_codes
from protocol.hotlist.patterns import MANY

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import tzinfo

    from numpy.typing import NDArray

    from agent.records import PlateText
    from protocol.hotlist.manifest import Rules, RuleTerms, Settings
    from protocol.hotlist.patterns import PatternTable

_E4 = 10_000
_MAX_SAME_PLATE = 16
"""Entries of one list with one text that are reported; the same plate is listed in several states."""
_MAX_MATCHES = 32
_PATTERN_TEXTS = 16
_MIN_PATTERN_TEXT = 0.005
_RANK = {Priority.HIGH: 0, Priority.MEDIUM: 1, Priority.LOW: 2}


class Entries(Protocol):
    """Where the entries of a list are kept."""

    def entry(self, ref: int) -> Entry:
        """Return the entry with this reference; may be called by several threads."""


@dataclass(frozen=True, slots=True)
class OpenList:
    """One list in memory."""

    info: ListInfo
    settings: Settings
    rules: Rules
    zone: tzinfo
    keys: NDArray[np.uint64]
    """Packed texts, sorted; a text that is listed twice is there twice."""
    refs: NDArray[np.uint32]
    """Reference of each row's entry."""
    entries: Entries
    patterns: PatternTable
    pattern_entries: tuple[Entry, ...] = ()

    def is_in_force(self, now_utc_us: int | None, lat_deg: float | None, lon_deg: float | None) -> bool:
        """True unless it has expired, or is not meant for this time or place.  What is unknown does not exclude."""
        expires = self.info.expires_utc_us
        if now_utc_us is not None and expires is not None and now_utc_us >= expires:
            return False
        return is_scheduled(self.settings.schedule, self.zone, now_utc_us) and is_inside(
            self.settings.area, lat_deg, lon_deg
        )


@dataclass(frozen=True, slots=True)
class _Query:
    """A read prepared for all lists."""

    own: int
    confidence: float
    region: str
    keys: NDArray[np.uint64]
    probabilities: tuple[float, ...]
    codes: NDArray[np.uint8]
    """The likeliest texts, for patterns."""
    symbols: int
    lengths: tuple[int, int]
    now_utc_us: int | None

    @classmethod
    def of(
        cls, own: int, confidence: float, region: str, texts: Sequence[tuple[int, float]], now_utc_us: int | None
    ) -> _Query:
        """Prepare the packed texts of a read."""
        keys = np.array([key for key, _ in texts], np.uint64)
        codes, symbols = unpack_codes(keys[:_PATTERN_TEXTS]), 0
        for code in set(codes.ravel().tolist()):
            symbols |= 1 << code
        counts = np.count_nonzero(codes, axis=1)
        lengths = int(counts.min()), int(counts.max())
        return cls(own, confidence, region, keys, tuple(p for _, p in texts), codes, symbols, lengths, now_utc_us)


@dataclass(frozen=True, slots=True)
class _Found:
    """What the look-up found, before the entries are checked."""

    rule: Rule
    terms: RuleTerms
    probability: float


@dataclass(slots=True)
class Matcher:
    """Matches reads with lists; immutable, so that any number of threads may use it."""

    _lists: tuple[OpenList, ...] = ()
    _infos: tuple[ListInfo, ...] = field(init=False)
    _min_probability: float = field(init=False)

    def __post_init__(self) -> None:
        self._infos = tuple(opened.info for opened in self._lists)
        thresholds = [o.rules.approximate.min_probability_e4 for o in self._lists if o.rules.approximate.enabled]
        self._min_probability = max(min(thresholds, default=_E4) / _E4, 0.001)

    @property
    def lists(self) -> tuple[ListInfo, ...]:
        """The lists, including those that have expired."""
        return self._infos

    @property
    def open_lists(self) -> tuple[OpenList, ...]:
        """The lists with their rows."""
        return self._lists

    def match(
        self,
        plate: PlateText,
        *,
        now_utc_us: int | None,
        lat_deg: float | None = None,
        lon_deg: float | None = None,
    ) -> tuple[Match, ...]:
        """Return at most 32 matches, best first: those whose region does not differ, then by probability.

        Schedule, area, expiry and minimum evidence are checked here.  ``now_utc_us`` and the position are None while
        they are unknown; then nothing is excluded by them.  Raises HotlistError or SealError if the file of a list
        that has a match is damaged.
        """
        in_force = [opened for opened in self._lists if opened.is_in_force(now_utc_us, lat_deg, lon_deg)]
        own = own_key(plate)
        if not in_force or not own:
            return ()
        with_patterns = any(opened.pattern_entries for opened in in_force)
        least = min(self._min_probability, _MIN_PATTERN_TEXT) if with_patterns else self._min_probability
        texts = likely_keys(plate, min_probability=least)
        return _match_lists(
            in_force,
            _Query.of(
                own, plate.confidence, known_region(plate.region, plate.region_confidence), texts, now_utc_us
            ),
        )

    def match_texts(
        self,
        texts: Sequence[tuple[str, float]],
        region: str,
        region_confidence: float,
        *,
        now_utc_us: int | None,
        lat_deg: float | None = None,
        lon_deg: float | None = None,
    ) -> tuple[Match, ...]:
        """As :meth:`match`, of a read of which only some texts with their probabilities are kept, its own first."""
        in_force = [opened for opened in self._lists if opened.is_in_force(now_utc_us, lat_deg, lon_deg)]
        packed = [(key, probability) for text, probability in texts if (key := pack(text)) is not None]
        if not in_force or not packed or packed[0][0] != pack(texts[0][0]):
            return ()
        own, confidence = packed[0]
        return _match_lists(
            in_force, _Query.of(own, confidence, known_region(region, region_confidence), packed, now_utc_us)
        )


def _match_lists(in_force: Iterable[OpenList], query: _Query) -> tuple[Match, ...]:
    found = [match for opened in in_force for match in _match_list(opened, query)]
    found.sort(key=_order)
    return tuple(found[:_MAX_MATCHES])


def _match_list(opened: OpenList, query: _Query) -> Iterator[Match]:
    if query.confidence * _E4 < opened.settings.min_confidence_e4:
        return
    yield from _match_rows(opened, query)
    if opened.pattern_entries:
        yield from _match_patterns(opened, query)


def _match_rows(opened: OpenList, query: _Query) -> Iterator[Match]:
    count = len(opened.keys)
    if not count:
        return
    places = np.searchsorted(opened.keys, query.keys)
    listed = np.flatnonzero(opened.keys[np.minimum(places, count - 1)] == query.keys)
    for n in listed:
        key, probability = query.keys[n], query.probabilities[n]
        is_own = int(key) == query.own
        rule, terms = (Rule.EXACT, opened.rules.exact) if is_own else (Rule.APPROXIMATE, opened.rules.approximate)
        if not _is_reported(terms, probability):
            continue
        first = int(places[n])
        rows = opened.keys[first : first + _MAX_SAME_PLATE]
        refs = opened.refs[first : first + int(np.count_nonzero(rows == key))]
        entries = (opened.entries.entry(int(ref)) for ref in refs)
        yield from _checked(opened, query, _Found(rule, terms, probability), entries)


def _match_patterns(opened: OpenList, query: _Query) -> Iterator[Match]:
    terms = opened.rules.patterns
    shortest, longest = query.lengths
    which = opened.patterns.possible(query.symbols, longest, shortest)
    if not terms.enabled or not len(which):
        return
    weights = np.array(query.probabilities[: len(query.codes)])
    probabilities = weights @ opened.patterns.matches(query.codes, which)
    for n in np.flatnonzero(probabilities * _E4 >= max(terms.min_probability_e4, 1)):
        entry = opened.pattern_entries[int(which[n])]
        rule = Rule.PARTIAL if MANY in entry.text else Rule.WILDCARD
        yield from _checked(opened, query, _Found(rule, terms, min(1.0, float(probabilities[n]))), (entry,))


def _is_reported(terms: RuleTerms, probability: float) -> bool:
    return terms.enabled and probability * _E4 >= terms.min_probability_e4


def _checked(opened: OpenList, query: _Query, found: _Found, entries: Iterable[Entry]) -> Iterator[Match]:
    """Yield the matches of entries that have not expired and whose region is one that the rule reports."""
    now = query.now_utc_us
    for entry in entries:
        if now is not None and entry.expires_utc_us is not None and now >= entry.expires_utc_us:
            continue
        region = compare_regions(query.region, entry.region)
        if is_reported(region, found.terms.regions):
            yield Match(opened.info, entry, found.rule, found.probability, region)


def _order(match: Match) -> tuple[bool, float, int, str, str]:
    return (
        match.region_match is RegionMatch.DIFFERENT,
        -match.probability,
        _RANK[match.list.priority],
        match.list.list_id,
        match.entry.entry_id,
    )
