"""Matching promises: a listed plate is found whatever its format, by every text that the read allows, and no other."""

from __future__ import annotations

import itertools
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.hotlist.lattice import likely_keys
from agent.hotlist.records import RegionMatch, Rule
from agent.hotlist.regions import compare_regions
from agent.records import CharRead, PlateText
from protocol.hotlist.entry import Entry
from protocol.hotlist.manifest import Rules, RuleTerms
from protocol.hotlist.packing import pack, unpack
from protocol.hotlist.patterns import PatternTable, check_pattern
from protocol.seal.keys import SigningKey
from tests.hotlist_builder import AS_OF_US, make_lists, make_package, make_settings
from tests.strategies import plates

if TYPE_CHECKING:
    from pathlib import Path

    from agent.hotlist.matcher import Matcher

KEY = SigningKey.generate()
FEW = st.text("AB80O", min_size=1, max_size=4)


def plate(text: str, region: str = "US-CA", confidence: float = 0.9, **others: str) -> PlateText:
    """A read; ``B="8"`` gives every B the alternative 8."""
    chars = tuple(
        CharRead(c, 0.8, tuple((o, 0.15 / len(others[c])) for o in others[c]) if c in others else ()) for c in text
    )
    return PlateText(chars, confidence, region, 0.9)


def matcher(folder: Path, *entries: Entry, **changes: object) -> Matcher:
    rules = changes.pop("rules", None)
    info = {} if rules is None else {"rules": rules}
    package = make_package(entries, KEY, settings=make_settings(**changes), **info)
    return make_lists(folder / "lists", package, authority=KEY).matcher


def test_every_listed_plate_is_found_whatever_its_format(tmp_path: Path) -> None:
    texts = ["1", "GOLF", "0000000", "ZZZZZZZZZZZZ", "7ABC123", "A1B2C3D4E5"]
    found = matcher(tmp_path, *(Entry(str(n), text) for n, text in enumerate(texts)))
    for text in texts:
        (match,) = found.match(plate(text), now_utc_us=None)
        assert (match.rule, match.entry.text) == (Rule.EXACT, text)


def test_o_and_0_are_one_symbol_and_the_entry_keeps_its_own(tmp_path: Path) -> None:
    (match,) = matcher(tmp_path, Entry("1", "AOO1")).match(plate("A0O1"), now_utc_us=None)
    assert match.rule is Rule.EXACT
    assert match.entry.text == "AOO1"


def test_an_approximate_match_has_the_probability_of_the_listed_text(tmp_path: Path) -> None:
    found = matcher(tmp_path, Entry("1", "A8C123"))
    (match,) = found.match(plate("ABC123", confidence=0.7, B="8"), now_utc_us=None)
    assert match.rule is Rule.APPROXIMATE
    assert match.probability == pytest.approx(0.7 * 0.15 / 0.8)


def test_an_approximate_match_below_the_threshold_is_not_reported(tmp_path: Path) -> None:
    rules = Rules(approximate=RuleTerms(min_probability_e4=2000))
    found = matcher(tmp_path, Entry("1", "A8C123"), rules=rules)
    assert found.match(plate("ABC123", confidence=0.7, B="8"), now_utc_us=None) == ()


@pytest.mark.parametrize(
    ("read", "listed", "expected"),
    [
        ("US-CA", "US-CA", RegionMatch.EQUAL),
        ("US-CA", "US-NV", RegionMatch.DIFFERENT),
        ("MX", "US-NV", RegionMatch.DIFFERENT),
        ("US-OTHER", "MX", RegionMatch.DIFFERENT),
        ("?", "US-NV", RegionMatch.UNKNOWN),
        ("US-CA", "?", RegionMatch.UNKNOWN),
        ("?", "?", RegionMatch.UNKNOWN),
        ("US-OTHER", "US-NV", RegionMatch.UNKNOWN),
        ("OTHER", "OTHER", RegionMatch.UNKNOWN),
        ("US-CA", "ZZ", RegionMatch.UNKNOWN),
    ],
)
def test_an_unknown_region_is_not_an_equal_one(read: str, listed: str, expected: RegionMatch) -> None:
    assert compare_regions(read, listed) is expected


def test_a_region_of_which_the_reader_is_not_sure_is_unknown(tmp_path: Path) -> None:
    found = matcher(tmp_path, Entry("1", "ABC123", "US-CA"))
    chars = tuple(CharRead(c, 0.9) for c in "ABC123")
    compared = [
        found.match(PlateText(chars, 0.9, "US-CA", p), now_utc_us=None)[0].region_match for p in (0.49, 0.5)
    ]
    assert compared == [RegionMatch.UNKNOWN, RegionMatch.EQUAL]


def test_the_same_plate_of_several_states_is_reported_with_the_comparison_best_first(tmp_path: Path) -> None:
    entries = [Entry("1", "ABC123", "US-NV"), Entry("2", "ABC123", "US-CA"), Entry("3", "ABC123")]
    found = matcher(tmp_path, *entries).match(plate("ABC123"), now_utc_us=None)
    assert [m.region_match for m in found] == [RegionMatch.EQUAL, RegionMatch.UNKNOWN, RegionMatch.DIFFERENT]


@pytest.mark.parametrize(("regions", "expected"), [("any", 3), ("not_different", 2), ("equal", 1)])
def test_a_tightened_rule_leaves_out_other_states(tmp_path: Path, regions: str, expected: int) -> None:
    entries = [Entry("1", "ABC123", "US-NV"), Entry("2", "ABC123", "US-CA"), Entry("3", "ABC123")]
    rules = Rules(exact=RuleTerms.model_validate({"regions": regions}))
    assert len(matcher(tmp_path, *entries, rules=rules).match(plate("ABC123"), now_utc_us=None)) == expected


def test_expiry_of_an_entry_and_of_the_list_is_checked_at_the_match(tmp_path: Path) -> None:
    entry = Entry("1", "ABC123", expires_utc_us=AS_OF_US + 10)
    package = make_package([entry, Entry("2", "ABC123")], KEY, expires_utc_us=AS_OF_US + 20)
    found = make_lists(tmp_path / "lists", package, authority=KEY).matcher
    count = [len(found.match(plate("ABC123"), now_utc_us=AS_OF_US + us)) for us in (9, 10, 19, 20)]
    assert count == [2, 1, 1, 0]
    assert len(found.match(plate("ABC123"), now_utc_us=None)) == 2  # an unknown time hides nothing


def test_schedule_and_area_are_checked_at_the_match(tmp_path: Path) -> None:
    # 2026-09-21 14:13:20 UTC is a Monday, 07:13 in Los Angeles.
    schedule = ({"days": [0], "from_minute": 1320, "to_minute": 120},)  # 22:00 to 02:00, local time
    area = (((32_000_000, -118_000_000), (32_000_000, -116_000_000), (34_000_000, -117_000_000)),)
    found = matcher(tmp_path, Entry("1", "ABC123"), schedule=schedule, area=area, timezone="America/Los_Angeles")
    hour = 3_600_000_000
    at = {h: bool(found.match(plate("ABC123"), now_utc_us=AS_OF_US + h * hour)) for h in (0, 14, 15, 18, 19, 39)}
    assert at == {0: False, 14: False, 15: True, 18: True, 19: False, 39: False}
    inside = {"lat_deg": 32.5, "lon_deg": -117.0}
    assert found.match(plate("ABC123"), now_utc_us=None, **inside)
    assert not found.match(plate("ABC123"), now_utc_us=None, lat_deg=35.0, lon_deg=-117.0)


def test_minimum_evidence_is_the_confidence_of_the_read(tmp_path: Path) -> None:
    found = matcher(tmp_path, Entry("1", "ABC123"), min_confidence_e4=6000)
    assert not found.match(plate("ABC123", confidence=0.59), now_utc_us=None)
    assert found.match(plate("ABC123", confidence=0.61), now_utc_us=None)


def test_wildcards_and_partial_plates(tmp_path: Path) -> None:
    found = matcher(tmp_path, Entry("w", "AB?123"), Entry("p", "*C12*"), Entry("n", "XY?123"))
    rules = {m.entry.entry_id: m.rule for m in found.match(plate("ABC123"), now_utc_us=None)}
    assert rules == {"w": Rule.WILDCARD, "p": Rule.PARTIAL}


def test_a_read_without_a_text_or_with_too_long_a_one_matches_nothing(tmp_path: Path) -> None:
    found = matcher(tmp_path, Entry("1", "ABC123"))
    assert found.match(PlateText((), 0.0), now_utc_us=None) == ()
    assert found.match(plate("A" * 13), now_utc_us=None) == ()


@pytest.mark.slow
@given(plates(FEW))
def test_likely_texts_are_those_of_the_whole_product(read: PlateText) -> None:
    """Brute force: every combination of the alternatives."""
    own = pack(read.text)
    if own is None:
        assert likely_keys(read) == []
        return
    ratios: dict[int, float] = {}
    options = [
        [(c.symbol, 1.0), *((s, p / max(c.confidence, 1e-6)) for s, p in c.alternatives if _is_other(s, c.symbol))]
        for c in read.chars
    ]
    for choice in itertools.product(*options):
        key = pack("".join(symbol for symbol, _ in choice))
        ratio = 1.0
        for _, other in choice:
            ratio *= other
        if key:
            ratios[key] = ratios.get(key, 0.0) + ratio
    found = dict(likely_keys(read))
    assert own in found
    assert found[own] == pytest.approx(read.confidence)
    assert sum(found.values()) <= 1 + 1e-9
    others = {key: ratio * read.confidence for key, ratio in ratios.items() if key != own}
    total = sum(p for _, p in sorted(others.items(), key=lambda o: -o[1])[:95])
    shrink = min(1.0, (1 - read.confidence) / total) if total else 1.0
    for key, p in others.items():
        if p > 0.02 and p * shrink > 0.01:
            assert found[key] == pytest.approx(p * shrink, rel=0.05), unpack(key)


def _is_other(symbol: str, own: str) -> bool:
    return symbol.replace("O", "0") != own.replace("O", "0")


@pytest.mark.slow
@given(st.lists(FEW, min_size=1, max_size=8), plates(FEW))
def test_matches_are_those_of_a_scan_over_all_entries(
    tmp_path_factory: pytest.TempPathFactory, listed: list[str], read: PlateText
) -> None:
    folder = tmp_path_factory.mktemp("lists")
    found = matcher(folder, *(Entry(str(n), text) for n, text in enumerate(listed)))
    texts = {key: p for key, p in likely_keys(read) if p * 10_000 >= 10 or key == pack(read.text)}
    expected = {str(n) for n, text in enumerate(listed) if pack(text) in texts}
    assert {m.entry.entry_id for m in found.match(read, now_utc_us=None)} == expected


PATTERNS = st.text("AB8?*", min_size=2, max_size=8).filter(
    lambda t: len(re.findall("[AB8]", t)) >= 2 and set(t) & set("?*")
)


@pytest.mark.slow
@given(st.lists(PATTERNS, min_size=1, max_size=20), st.lists(st.text("AB8", min_size=1, max_size=9), min_size=1))
def test_patterns_match_like_regular_expressions(patterns: list[str], texts: list[str]) -> None:
    import numpy as np  # noqa: PLC0415

    from protocol.hotlist.packing import unpack_codes  # noqa: PLC0415

    table = PatternTable.compile([check_pattern(pattern) for pattern in patterns])
    codes = unpack_codes(np.array([pack(text) for text in texts], np.uint64))
    found = table.matches(codes, np.arange(len(patterns)))
    for n, text in enumerate(texts):
        for m, pattern in enumerate(patterns):
            expression = pattern.replace("?", "[A-Z0-9]").replace("*", "[A-Z0-9]*")
            assert found[n, m] == bool(re.fullmatch(expression, text)), (pattern, text)
            if found[n, m]:
                symbols = 0
                for code in codes[n].tolist():
                    symbols |= 1 << code
                assert m in table.possible(symbols, len(text), len(text))


@given(st.text("ABCDEFGHIJKLMNPQRSTUVWXYZ0123456789", min_size=1, max_size=12))
def test_packing_is_reversible(text: str) -> None:
    key = pack(text)
    assert key is not None
    assert key < 2**63
    assert unpack(key) == text
