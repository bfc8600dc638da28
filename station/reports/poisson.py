"""Exact probabilities of a Poisson count, without a table: valid for counts of zero, one and a million alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_NEGLIGIBLE = 1e-17
_STEPS = 200


def at_most(count: int, mean: float) -> float:
    """Return the probability of ``count`` or fewer cases, of which ``mean`` are expected."""
    if count < 0:
        return 0.0
    if mean <= 0:
        return 1.0
    if count >= mean:
        return 1.0 - _sum_upwards(count + 1, mean)
    return _sum_downwards(count, mean)


def at_least(count: int, mean: float) -> float:
    """Return the probability of ``count`` or more cases."""
    if count <= 0:
        return 1.0
    if mean <= 0:
        return 0.0
    if count > mean:
        return _sum_upwards(count, mean)
    return 1.0 - _sum_downwards(count - 1, mean)


def interval(count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Return the exact interval of the mean of an observed count (Garwood 1936)."""
    tail = (1 - confidence) / 2
    high = count + 10 * math.sqrt(count + 1) + 10
    low = 0.0 if count == 0 else _solve(lambda mean: at_least(count, mean) < tail, 0.0, float(count))
    return low, _solve(lambda mean: at_most(count, mean) > tail, float(count), high)


def _solve(is_below: Callable[[float], bool], low: float, high: float) -> float:
    """Bisect."""
    for _ in range(_STEPS):
        middle = (low + high) / 2
        if is_below(middle):
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _term(count: int, mean: float) -> float:
    return math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))


def _sum_upwards(first: int, mean: float) -> float:
    """Sum from above the mean, where each term is smaller than the one before."""
    term = total = _term(first, mean)
    count = first
    while term > total * _NEGLIGIBLE:
        count += 1
        term *= mean / count
        total += term
    return min(1.0, total)


def _sum_downwards(last: int, mean: float) -> float:
    """Sum from below the mean down."""
    term = total = _term(last, mean)
    count = last
    while count > 0 and term > total * _NEGLIGIBLE:
        term *= count / mean
        count -= 1
        total += term
    return min(1.0, total)
