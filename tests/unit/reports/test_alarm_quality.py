"""Expected and observed false alarms: honest for small counts, and what it says of characters."""

from __future__ import annotations

import random
from typing import Any

import pytest

from station.reports.quality import ListFigures, compare, figures_text, offered_figures
from station.store.reporting import FalseAlarms, Period, TextPair

DAY_US = 86_400_000_000
MARCH = Period(100 * DAY_US, 110 * DAY_US)


def alarms(count: int, state: str = "rejected", reason: str = "misread", **other: Any) -> FalseAlarms:
    values: dict[str, Any] = {
        "list_id": "stolen", "list_name": "Stolen vehicles", "list_owner": "State", "version": 1, "rule": "exact",
        "state": state, "reason": reason, "count": count, "distinct": count,
    }  # fmt: skip
    return FalseAlarms(**{**values, **other})


def figures(rate: int, *, rule: str = "exact", version: int = 1, since_us: int = 0) -> ListFigures:
    return ListFigures("stolen", version, since_us, {rule: rate})


def only_line(found: list[FalseAlarms], told: list[ListFigures], reads: int = 100_000, **more: Any) -> Any:
    by_day = dict.fromkeys(range(10), reads // 10)
    (line,) = compare(MARCH, found, [], told, by_day, **more).lines
    return line


def test_as_many_as_expected_agree():
    line = only_line([alarms(9), alarms(4, "confirmed", "")], [figures(100)])
    assert (line.expected, line.false, line.confirmed, line.verdict) == (10.0, 9, 4, "agrees")
    assert line.low < 10 < line.high


def test_far_more_than_expected_are_a_warning():
    assert only_line([alarms(40)], [figures(100)]).verdict == "more"


def test_far_fewer_than_expected_are_a_warning_only_if_all_are_decided():
    """What nobody decided may be a false alarm: it is counted for the higher bound."""
    assert only_line([], [figures(1000)]).verdict == "fewer"
    assert only_line([alarms(100, "new", "")], [figures(1000)]).verdict == "agrees"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_small_counts_prove_nothing(count):
    """One false alarm where 0.3 were expected is no finding, and neither is none where two were."""
    assert (
        only_line([alarms(count)] if count else [], [figures(20 if not count else 3 * count)]).verdict == "agrees"
    )


def test_a_car_that_passes_every_day_is_one_cause():
    line = only_line([alarms(60, distinct=2)], [figures(100)])
    assert (line.false, line.distinct_false, line.verdict) == (60, 2, "agrees")


def test_rejections_for_other_reasons_are_open():
    line = only_line([alarms(5, reason="no_picture"), alarms(2, "withdrawn", "")], [figures(100)])
    assert (line.false, line.open) == (2, 5)


def test_each_day_has_the_version_in_force():
    """A version counts from the day of its offer; before the first there was no list."""
    told = [
        figures(100, since_us=MARCH.since_us + 5 * DAY_US - 1),
        figures(1000, version=2, since_us=MARCH.since_us + 8 * DAY_US),
    ]
    assert only_line([], told).expected == pytest.approx(4 * 10_000 * 100 / 1e6 + 2 * 10_000 * 1000 / 1e6)


def test_number_of_cars_can_be_given():
    """Where reads are purged or never kept, a person gives the number that the units counted."""
    assert only_line([], [figures(100)], cars=1_000_000).expected == pytest.approx(100)
    quality = compare(MARCH, [], [], [figures(100)], {}, cars=500_000)
    assert (quality.cars, quality.lines[0].expected) == (500_000, pytest.approx(50))


def test_without_figures_or_reads_nothing_is_said():
    assert only_line([alarms(9)], []).verdict == "unknown"
    assert compare(MARCH, [alarms(9)], [], [figures(100)], {}).lines[0].verdict == "unknown"


def test_wildcards_and_partial_plates_are_one_rule_and_manual_entries_none():
    found = [alarms(1, rule="wildcard"), alarms(2, rule="partial"), alarms(5, rule="manual")]
    (line,) = compare(MARCH, found, [], [], {0: 10}).lines
    assert (line.rule, line.hits) == ("patterns", 3)


@pytest.mark.slow
def test_right_figures_seldom_warn():
    """With true rates, 300 months of ten lists: at most the promised share has any warning."""
    draw = random.Random(5)  # noqa: S311 - not for secrets
    warned = 0
    for _ in range(300):
        found, told = [], []
        for number in range(10):
            mean = draw.choice((0.2, 2.0, 30.0))
            count = sum(draw.random() < mean / 1000 for _ in range(1000))
            told.append(ListFigures(f"list-{number}", 1, 0, {"exact": round(mean * 10)}))
            found.append(alarms(count, list_id=f"list-{number}"))
        quality = compare(MARCH, found, [], told, dict.fromkeys(range(10), 10000))
        warned += bool(quality.warnings)
    assert warned / 300 <= 0.08


def test_confusions_are_counted_by_pair_of_characters():
    pairs = [
        TextPair("8ABC123", "BABC123", "rejected", 3),
        TextPair("8ABC123", "BABC12?", "confirmed", 2),
        TextPair("0XYZ", "OXYZ1", "rejected", 1),
        TextPair("7ABC", "7A*", "confirmed", 5),
    ]
    quality = compare(MARCH, [], pairs, [], {})
    assert [(c.read, c.listed, c.confirmed, c.rejected) for c in quality.confusions] == [
        ("8", "B", 2, 3),
        ("other length", "other length", 0, 1),
    ]


def test_figures_of_an_offer_come_back_from_the_audit_trail():
    told = ListFigures("stolen", 7, 0, {"exact": 12, "approximate": 340})
    text = f"unit=unit-07 kind=hotlist release=7 {figures_text(told)}"
    assert offered_figures([(5, text), (6, "unit=unit-07 release=2"), (7, "list=x version=evil exact=1")]) == [
        ListFigures("stolen", 7, 5, {"exact": 12, "approximate": 340})
    ]
