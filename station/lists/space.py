"""The space of plausible plates: how probable a text is on a car that nobody looks for.

Each region has serial formats (L letter, D digit), each format is equally probable in its region, and each text of a
format equally probable in it.  The probability of a text then depends on its shape alone: length, and which places
have letters.  A share of plates follows no format: half of those have four to seven letters, half any symbols.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from protocol.hotlist.packing import BASE, CODES, MAX_CHARS, unpack_codes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

LETTERS, DIGITS = 25, 10
"""Symbols of each kind; O is 0."""
_FIRST_LETTER = CODES["A"]
_SHAPES = 2 ** (MAX_CHARS + 1)
_PERSONAL = 0.05
"""Share of plates that follow no format, as in :mod:`agent.recognise.formats`."""
_PERSONAL_CHARS = range(4, 8)
_US = "US-"
_VAGUE = frozenset({"US-OTHER", "OTHER"})


@dataclass(frozen=True, slots=True)
class PlateSpace:
    """Probabilities of texts by their shape."""

    regions: tuple[str, ...]
    by_region: NDArray[np.float64]
    """Regions x shapes: probability that a car on the road is of the region and has one given text of the shape."""
    formats: tuple[tuple[str, float], ...]
    """Every format with its probability, to draw from; X is any symbol."""

    @property
    def total(self) -> NDArray[np.float64]:
        """Probability of one given text of each shape, of any region."""
        found: NDArray[np.float64] = self.by_region.sum(axis=0)
        return found

    def draw(self, count: int, seed: int) -> NDArray[np.uint8]:
        """Return codes of random plausible plates, n x 12."""
        rng = np.random.default_rng(seed)
        weights = np.array([weight for _, weight in self.formats])
        chosen = rng.choice(len(self.formats), count, p=weights / weights.sum())
        codes = np.zeros((count, MAX_CHARS), np.uint8)
        digits = rng.integers(1, DIGITS + 1, codes.shape, np.uint8)
        letters = _letter_codes()[rng.integers(0, LETTERS, codes.shape)]
        is_digit = rng.random(codes.shape) < DIGITS / (LETTERS + DIGITS)
        symbols = {"L": letters, "D": digits, "X": np.where(is_digit, digits, letters)}
        for number, (serial, _) in enumerate(self.formats):
            rows = np.flatnonzero(chosen == number)
            for place, kind in enumerate(serial):
                codes[rows, place] = symbols[kind][rows, place]
        return codes


def build_space(formats: Mapping[str, str], population: Mapping[str, float]) -> PlateSpace:
    """Return the space; ``population`` is the share of cars by region, empty for all US states alike."""
    regions = tuple(
        r for r in formats if r not in _VAGUE and (r in population if population else r.startswith(_US))
    )
    weights = np.array([population.get(region, 0.0) if population else 1.0 for region in regions])
    weights = weights / max(weights.sum(), 1e-12)
    by_region = np.zeros((len(regions), _SHAPES))
    drawn = []
    for n, region in enumerate(regions):
        serials = formats[region].split()
        for serial in serials:
            share = (1 - _PERSONAL) * weights[n] / len(serials)
            by_region[n, shape_of(serial)] += share / size_of(serial)
            drawn.append((serial, share))
        personal = _PERSONAL * weights[n] / len(_PERSONAL_CHARS) / 2
        for chars in _PERSONAL_CHARS:
            by_region[n, 2**chars : 2 ** (chars + 1)] += personal / float((LETTERS + DIGITS) ** chars)
            by_region[n, 2 ** (chars + 1) - 1] += personal / float(LETTERS**chars)
    personal = _PERSONAL / len(_PERSONAL_CHARS) / 2
    drawn += [(kind * chars, personal) for chars in _PERSONAL_CHARS for kind in "LX"]
    return PlateSpace(regions, by_region, tuple(drawn))


def shape_of(serial: str) -> int:
    """Return the number of a format's shape: a one, then a bit for each place, set for a letter."""
    shape = 1
    for kind in serial:
        shape = shape * 2 + (kind == "L")
    return shape


def size_of(serial: str) -> float:
    """Return how many texts a format has."""
    size = 1.0
    for kind in serial:
        size *= LETTERS if kind == "L" else DIGITS
    return size


def shapes_of(keys: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.uint8]]:
    """Return the shape and the codes of packed texts."""
    codes = unpack_codes(keys)
    shapes = np.ones(len(keys), np.intp)
    for place in range(MAX_CHARS):
        column = codes[:, place]
        shapes = np.where(column > 0, shapes * 2 + (column >= _FIRST_LETTER), shapes)
    return shapes, codes


def is_letter(codes: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """True for the codes of letters."""
    found: NDArray[np.bool_] = codes >= _FIRST_LETTER
    return found


def _letter_codes() -> NDArray[np.uint8]:
    return np.array([code for code in range(_FIRST_LETTER, BASE) if code in set(CODES.values())], np.uint8)
