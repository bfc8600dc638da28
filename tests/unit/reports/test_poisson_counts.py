"""Exact Poisson probabilities, compared with sums and with published intervals."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from station.reports.poisson import at_least, at_most, interval


def summed(count: int, mean: float) -> float:
    return math.fsum(math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) for k in range(count + 1))


@given(st.integers(0, 400), st.floats(0.01, 400))
def test_probabilities_are_the_sums(count, mean):
    assert at_most(count, mean) == pytest.approx(summed(count, mean), abs=1e-9)
    assert at_least(count, mean) == pytest.approx(1 - (summed(count - 1, mean) if count else 0.0), abs=1e-9)


def test_small_and_large_counts():
    """Nothing observed is no proof of anything unless much was expected; a million is not too many."""
    assert at_most(0, 3.0) == pytest.approx(math.exp(-3))
    assert at_least(1, 0.0) == 0.0
    assert at_most(0, 0.0) == 1.0
    assert at_most(1_000_000, 1_000_000.0) == pytest.approx(0.5, abs=1e-3)
    assert at_least(1_010_000, 1_000_000.0) < 1e-20


@pytest.mark.parametrize(
    ("count", "low", "high"),
    [(0, 0.0, 3.689), (1, 0.0253, 5.572), (2, 0.242, 7.225), (5, 1.623, 11.668), (10, 4.795, 18.390)],
)
def test_intervals_are_those_of_the_tables(count, low, high):
    """Garwood's 95 % intervals."""
    assert interval(count) == pytest.approx((low, high), abs=1e-3)
