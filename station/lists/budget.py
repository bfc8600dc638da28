"""The alarm budget: how many cars that are not listed a rule is expected to report, for each list and rule.

Expected matches of one innocent car, summed over the list instead of drawn over cars, so that a list of ten entries is
computed as exactly as one of five million.  For each listed text L:

- exact: the probability that an innocent car has the text L, from the space of plausible plates.  A car with the text
  *and* the state of the entry is the listed one and not a false alarm.
- approximate: over all texts N that differ from L in one character, the probability of N on a car, times how often the
  reader gives a read N the alternative L with at least the threshold's probability.  Alternatives that differ in more
  than one character are added in proportion.
- wildcards and partial plates: the share of plausible plates, drawn at random, that the patterns match.

A rule over its budget is tightened: exact matches of other states are left out; approximate ones need a higher
probability, then an equal state, then are refused.  An exact rule that is still over the budget holds the list.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from protocol.hotlist.manifest import RegionRule, Rules, RuleTerms
from protocol.hotlist.packing import MAX_CHARS
from protocol.hotlist.patterns import PatternTable
from station.lists.report import RuleLine
from station.lists.space import DIGITS, LETTERS, PlateSpace, is_letter, shapes_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from station.lists.behaviour import Behaviour
    from station.lists.plan import RuleTable

_E4 = 10_000
_SAMPLE = 200_000
"""Rows of a longer list that are looked at; the sum is scaled."""
_DRAWN = 100_000
_MAX_COMPARED, _MIN_DRAWN = 40_000_000, 2_000
"""Plates times patterns that are compared, unless that leaves too few plates."""
_SEED = 1
_LADDER = (RegionRule.ANY, RegionRule.NOT_DIFFERENT, RegionRule.EQUAL)
_THRESHOLDS = (0.05, 0.1, 0.2, 0.3)
_MAX_PATTERN_RATE = 0.01
"""Share of all cars that one pattern may match, whatever the budget."""


@dataclass(frozen=True, slots=True)
class ByRegion:
    """Expected matches of one innocent car, by the comparison of its state with the listed one."""

    equal: float
    unknown: float
    different: float

    def under(self, rule: RegionRule) -> float:
        """Return what a rule reports of them."""
        match rule:
            case RegionRule.EQUAL:
                return self.equal
            case RegionRule.NOT_DIFFERENT:
                return self.equal + self.unknown
            case _:
                return self.equal + self.unknown + self.different


@dataclass(frozen=True, slots=True)
class _Model:
    """What innocent cars have on their plates, and what the reader makes of it."""

    space: PlateSpace
    behaviour: Behaviour
    total: NDArray[np.float64]
    """Probability of one given text of each shape, of any region."""


class Budget:
    """Computes the expected false alarms of a list and chooses the terms of its rules."""

    def __init__(self, space: PlateSpace, behaviour: Behaviour) -> None:
        self._model = _Model(space, behaviour, space.total)
        self._drawn = space.draw(_DRAWN, _SEED)

    def rules(
        self,
        keys: NDArray[np.uint64],
        listed: tuple[NDArray[np.uint16], tuple[str, ...]],
        patterns: Sequence[str],
        told: RuleTable,
    ) -> tuple[Rules, tuple[RuleLine, ...]]:
        """Return the rules of a list within the budget, and a line about each for the report.

        ``listed`` are the numbers of the rows' regions and the regions' names.
        """
        rows = self._rows(keys, listed)
        budget = told.budget_per_1000 / 1000
        exact, exact_line = self._exact(rows, told, budget)
        approximate, approximate_line = self._approximate(rows, told, budget)
        pattern, pattern_line = self._patterns(patterns, told, budget)
        return Rules(exact=exact, approximate=approximate, patterns=pattern), (
            exact_line, approximate_line, pattern_line,
        )  # fmt: skip

    def refuse_pattern(self, pattern: str, told: RuleTable) -> str:
        """Return why a pattern is too open; empty if it is not."""
        rate = self._pattern_rate([pattern], _DRAWN // 5)
        limit = min(_MAX_PATTERN_RATE, told.budget_per_1000 / 1000)
        if rate <= limit:
            return ""
        return f"pattern too open: matches {rate * 1000:.3g} of 1,000 cars, at most {limit * 1000:g} are allowed"

    def exact_matches(
        self, keys: NDArray[np.uint64], listed: tuple[NDArray[np.uint16], tuple[str, ...]]
    ) -> ByRegion:
        """Return the expected exact matches of one innocent car."""
        return self._rows(keys, listed).exact(self._model)

    def approximate_matches(
        self,
        keys: NDArray[np.uint64],
        listed: tuple[NDArray[np.uint16], tuple[str, ...]],
        threshold: float,
    ) -> ByRegion:
        """Return the expected approximate matches of one innocent car."""
        return self._rows(keys, listed).approximate(self._model, threshold)

    def _rows(self, keys: NDArray[np.uint64], listed: tuple[NDArray[np.uint16], tuple[str, ...]]) -> _Rows:
        regions, names = listed
        scale = 1.0
        if len(keys) > _SAMPLE:
            chosen = np.random.default_rng(_SEED).choice(len(keys), _SAMPLE, replace=False)
            scale = len(keys) / _SAMPLE
            keys, regions = keys[chosen], regions[chosen]
        numbers = {name: n for n, name in enumerate(self._model.space.regions)}
        places = np.array([numbers.get(name, -1) for name in names] or [-1], np.intp)
        has_region = np.array([name != "?" for name in names] or [False])
        shapes, codes = shapes_of(keys)
        where = regions.astype(np.intp)
        return _Rows(shapes, codes, places[where], has_region[where], scale)

    def _exact(self, rows: _Rows, told: RuleTable, budget: float) -> tuple[RuleTerms, RuleLine]:
        expected = rows.exact(self._model)
        regions = told.exact_regions
        if regions is RegionRule.ANY and expected.under(regions) > budget:
            regions = RegionRule.NOT_DIFFERENT
        # A plate whose state was not read is never left out unless a person says so: over the budget, the list is held.
        tightened = "" if regions is told.exact_regions else "matches of other states are left out"
        return _terms("exact", regions, 0.0, expected.under(regions), tightened)

    def _approximate(self, rows: _Rows, told: RuleTable, budget: float) -> tuple[RuleTerms, RuleLine]:
        if not told.approximate:
            return _terms("approximate", told.approximate_regions, 1.0, 0.0, "switched off", enabled=False)
        thresholds = [told.min_probability, *(t for t in _THRESHOLDS if t > told.min_probability)]
        expected = {t: rows.approximate(self._model, t) for t in thresholds}
        for regions in _from(told.approximate_regions):
            for threshold in thresholds:
                found = expected[threshold].under(regions)
                if found <= budget:
                    is_told = regions is told.approximate_regions and threshold == told.min_probability
                    before = expected[told.min_probability].under(told.approximate_regions) * 1000
                    tightened = "" if is_told else f"{before:.3g} per 1,000 as told is over the budget"
                    return _terms("approximate", regions, threshold, found, tightened)
        found = expected[thresholds[-1]].under(RegionRule.EQUAL)
        return _terms("approximate", RegionRule.EQUAL, 1.0, found, "refused: over the budget", enabled=False)

    def _patterns(self, patterns: Sequence[str], told: RuleTable, budget: float) -> tuple[RuleTerms, RuleLine]:
        rate = self._pattern_rate(patterns)
        b = self._model.behaviour
        # A pattern has no state of its own that could be known to differ; with one, a share of the reads is left out.
        expected = ByRegion(0.0, rate * max(b.region_unknown, 0.5), rate * (1 - max(b.region_unknown, 0.5)))
        regions = next((r for r in _from(told.pattern_regions) if expected.under(r) <= budget), None)
        if regions is None or (regions is RegionRule.EQUAL and told.pattern_regions is not RegionRule.EQUAL):
            return _terms(
                "patterns", told.pattern_regions, told.pattern_probability, rate, "refused: over the budget",
                enabled=False,
            )  # fmt: skip
        tightened = "" if regions is told.pattern_regions else "other states left out"
        return _terms("patterns", regions, told.pattern_probability, expected.under(regions), tightened)

    def _pattern_rate(self, patterns: Sequence[str], count: int = _DRAWN) -> float:
        """Expected number of patterns that one plausible plate matches, over up to ``count`` plates."""
        if not patterns:
            return 0.0
        count = max(min(count, _MAX_COMPARED // len(patterns)), _MIN_DRAWN)
        table, hits = PatternTable.compile(patterns), 0
        step = max(1, 2**20 // len(patterns))
        which = np.arange(len(patterns))
        for start in range(0, count, step):
            hits += int(np.count_nonzero(table.matches(self._drawn[start : min(start + step, count)], which)))
        return hits / count


@dataclass(frozen=True, slots=True)
class _Rows:
    """The rows that are looked at."""

    shapes: NDArray[np.intp]
    codes: NDArray[np.uint8]
    places: NDArray[np.intp]
    """Number of the region in the space, -1 for one that is not in it."""
    has_region: NDArray[np.bool_]
    scale: float

    def exact(self, model: _Model) -> ByRegion:
        space, b = model.space, model.behaviour
        anyone = model.total[self.shapes]
        own = np.where(self.places >= 0, space.by_region[self.places, self.shapes], 0.0)
        others, same = anyone - own, own
        misread = b.misread
        return self._divided(
            b,
            # A car of the same state has the text only by a misread.
            unlisted=float(others[self.has_region].sum()) * self.scale,
            own_state=float(same[self.has_region].sum()) * self.scale * misread,
            stateless=float(anyone[~self.has_region].sum()) * self.scale,
        )

    def approximate(self, model: _Model, threshold: float) -> ByRegion:
        space, b = model.space, model.behaviour
        at = b.at(threshold)
        weights = b.confusions[at] * np.array([[DIGITS], [LETTERS]])
        anyone, own = np.zeros(len(self.shapes)), np.zeros(len(self.shapes))
        lengths = np.count_nonzero(self.codes, axis=1)
        for place in range(MAX_CHARS):
            rows = np.flatnonzero(lengths > place)
            if not len(rows):
                break
            symbols = self.codes[rows, place]
            bit = 1 << (lengths[rows] - 1 - place)
            for kind in (0, 1):  # the character that was read is a digit, a letter
                shapes = np.where(kind, self.shapes[rows] | bit, self.shapes[rows] & ~bit)
                # The listed symbol itself is no confusion.
                members = np.where(is_letter(symbols) == bool(kind), 1 - 1 / (LETTERS if kind else DIGITS), 1.0)
                weight = weights[kind, symbols] * members
                anyone[rows] += weight * model.total[shapes]
                own[rows] += weight * np.where(
                    self.places[rows] >= 0, space.by_region[self.places[rows], shapes], 0.0
                )
        factor = b.others[at] * self.scale
        return self._divided(
            b,
            unlisted=float((anyone - own)[self.has_region].sum()) * factor,
            own_state=float(own[self.has_region].sum()) * factor,
            stateless=float(anyone[~self.has_region].sum()) * factor,
        )

    def _divided(self, b: Behaviour, *, unlisted: float, own_state: float, stateless: float) -> ByRegion:
        """Divide by what is read as the state: matches of cars of other states, of the same, of stateless entries."""
        right = 1 - b.region_unknown - b.region_wrong
        chance = b.region_wrong / 50
        return ByRegion(
            equal=own_state * right + unlisted * chance,
            unknown=(own_state + unlisted) * b.region_unknown + stateless,
            different=unlisted * (right + b.region_wrong - chance) + own_state * b.region_wrong,
        )


def _from(first: RegionRule) -> Iterator[RegionRule]:
    yield from _LADDER[_LADDER.index(first) :]


def _terms(
    rule: str, regions: RegionRule, threshold: float, alarms: float, tightened: str, *, enabled: bool = True
) -> tuple[RuleTerms, RuleLine]:
    terms = RuleTerms(
        enabled=enabled,
        regions=regions,
        min_probability_e4=round(threshold * _E4),
        alarms_per_million=round(alarms * 1_000_000),
    )
    return terms, RuleLine(rule, enabled, regions.value, threshold, alarms * 1000, tightened)
