"""Listed plates with wildcards: ``?`` is one character, ``*`` any number of them.

A pattern has at most 12 elements; the states of a pattern are the bits of a 16-bit number (shift-and automaton:
Baeza-Yates and Gonnet 1992; a ``*`` is a loop at a state), so that thousands of patterns are compared at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from protocol.errors import HotlistError
from protocol.hotlist.packing import BASE, CODES, MAX_CHARS, normalise

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

ONE, MANY = "?", "*"
WILDCARDS = ONE + MANY
PAD = 0
_ALL = 0xFFFF


def check_pattern(text: str) -> str:
    """Return a normalised pattern; raises HotlistError for one that is too long, too open, or has no wildcard."""
    pattern = normalise(text)
    elements = pattern.replace(MANY, "")
    if not any(symbol in WILDCARDS for symbol in pattern):
        raise HotlistError(f"{text!r} has no wildcard")
    if any(symbol != ONE and symbol not in CODES for symbol in elements):
        raise HotlistError(f"{text!r} has characters other than A-Z, 0-9, ? and *")
    if len(elements) > MAX_CHARS or len(pattern) > 2 * MAX_CHARS + 1:
        raise HotlistError(f"{text!r} is longer than {MAX_CHARS} characters")
    if len(elements.replace(ONE, "")) < 2:  # noqa: PLR2004 - one known character matches a tenth of all cars
        raise HotlistError(f"{text!r} has fewer than two known characters")
    return pattern


@dataclass(frozen=True, slots=True)
class PatternTable:
    """Compiled patterns."""

    accepts: NDArray[np.uint16]
    """37 x n: bit i is set if element i accepts the symbol of the code."""
    loops: NDArray[np.uint16]
    """Bit i is set if any characters may follow the first i elements."""
    final: NDArray[np.uint16]
    required: NDArray[np.uint64]
    """Bit of each code that a text must have."""
    min_chars: NDArray[np.uint8]
    is_open: NDArray[np.bool_]
    """True if the pattern has ``*``."""

    @classmethod
    def compile(cls, patterns: Sequence[str]) -> PatternTable:
        """Compile checked patterns."""
        count = len(patterns)
        accepts = np.zeros((BASE, count), np.uint16)
        loops, final = np.zeros(count, np.uint16), np.zeros(count, np.uint16)
        required, min_chars = np.zeros(count, np.uint64), np.zeros(count, np.uint8)
        for n, pattern in enumerate(patterns):
            place, needed, loop = 0, 0, 0
            for symbol in pattern:
                if symbol == MANY:
                    loop |= 1 << place
                    continue
                bit = np.uint16(1 << place)
                if symbol == ONE:
                    accepts[1:, n] |= bit
                else:
                    accepts[CODES[symbol], n] |= bit
                    needed |= 1 << CODES[symbol]
                place += 1
            loops[n], final[n], required[n], min_chars[n] = loop, 1 << place, needed, place
        return cls(accepts, loops, final, required, min_chars, loops > 0)

    def __len__(self) -> int:
        return len(self.final)

    def possible(self, symbols: int, max_chars: int, min_chars: int) -> NDArray[np.intp]:
        """Return the patterns that a text of these lengths and symbols (bits of their codes) may match."""
        missing = self.required & np.uint64(~symbols & (2**BASE - 1))
        fits = (missing == 0) & (self.min_chars <= max_chars) & (self.is_open | (self.min_chars >= min_chars))
        return np.flatnonzero(fits)

    def matches(self, codes: NDArray[np.uint8], which: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Return texts x patterns: true where a text matches.  ``codes`` is n x 12, padded with 0."""
        accepts, loops = self.accepts[:, which], self.loops[which]
        states = np.ones((len(codes), len(which)), np.uint16)
        for place in range(codes.shape[1]):
            column = codes[:, place]
            if not column.any():
                break
            stay = np.where(np.equal(column, PAD)[:, None], np.uint16(_ALL), loops[None, :])
            states = ((states & accepts[column]) << np.uint16(1)) | (states & stay)
        # Not `!=`: the fuzzer's tracing of comparisons keeps their results.
        matched: NDArray[np.bool_] = np.not_equal(states & self.final[which], 0)
        return matched
