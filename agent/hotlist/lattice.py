"""The texts that a read's character probabilities allow, with the probability of each."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from protocol.hotlist.packing import BASE, CODES, MAX_CHARS

if TYPE_CHECKING:
    from agent.records import CharRead, PlateText

MAX_TEXTS = 96
_MIN_SYMBOL = 1e-6
_MAX_OPEN = 4 * MAX_TEXTS


def likely_keys(plate: PlateText, *, min_probability: float = 0.001) -> list[tuple[int, float]]:
    """Return up to 96 packed texts with their probabilities, most likely first; the read's own text is among them.

    The characters are treated as independent, and the probabilities are scaled so that the read's own text has the
    read's calibrated confidence and all others together at most the rest.  Texts that differ only in O and 0 are one.
    Empty for a read without a text, or with one of more than 12 characters.
    """
    options = [_options(char) for char in plate.chars]
    if (
        not options
        or not 0 < len(plate.text) <= MAX_CHARS
        or any(c.symbol not in CODES for c in plate.chars if c.symbol)
    ):
        return []
    own, confidence = _own_key(plate), min(max(plate.confidence, 0.0), 1.0)
    ratios = _enumerate(options, min_probability / confidence if confidence > 0 else 1.0)
    others = sorted(
        ((key, ratio * confidence) for key, ratio in ratios.items() if key and key != own),
        key=lambda o: (-o[1], o[0]),
    )[: MAX_TEXTS - 1]
    total = sum(p for _, p in others)
    shrink = min(1.0, (1.0 - confidence) / total) if total > 0 else 1.0
    found = [(own, confidence), *((key, p * shrink) for key, p in others if p * shrink >= min_probability)]
    found.sort(key=lambda o: -o[1])
    return found


def own_key(plate: PlateText) -> int:
    """Return the packed text of the read itself; 0 if it has none that can be listed."""
    if not 0 < len(plate.text) <= MAX_CHARS or any(c.symbol not in CODES for c in plate.chars if c.symbol):
        return 0
    return _own_key(plate)


def _own_key(plate: PlateText) -> int:
    key = 0
    for symbol in plate.text:
        key = key * BASE + CODES[symbol]
    return key


def _options(char: CharRead) -> list[tuple[int, float]]:
    """Codes of a character, 0 for none, with their probabilities relative to the read's own symbol; O and 0 are one."""
    own = CODES.get(char.symbol, 0)
    scale = 1.0 / max(char.confidence, _MIN_SYMBOL)
    found: dict[int, float] = {}
    for symbol, probability in char.alternatives:
        code = CODES.get(symbol, 0)
        if code != own and (code or not symbol):
            found[code] = found.get(code, 0.0) + probability * scale
    return [(own, 1.0), *found.items()]


def _enumerate(options: list[list[tuple[int, float]]], min_ratio: float) -> dict[int, float]:
    """Extend texts character by character, leaving out what cannot reach ``min_ratio`` any more."""
    bounds = [1.0]
    for choices in reversed(options):
        bounds.append(bounds[-1] * max(ratio for _, ratio in choices))
    bounds.reverse()
    texts = [(0, 1.0, 0)]
    for choices, rest in zip(options, bounds[1:], strict=True):
        least = min_ratio / rest
        texts = [
            (key * BASE + code if code else key, ratio * other, chars + (code > 0))
            for key, ratio, chars in texts
            for code, other in choices
            if ratio * other >= least or other == 1.0 == ratio
        ]
        if len(texts) > _MAX_OPEN:
            texts.sort(key=lambda t: -t[1])
            del texts[_MAX_OPEN:]
    found: dict[int, float] = {}
    for key, ratio, chars in texts:
        if 0 < chars <= MAX_CHARS:
            found[key] = found.get(key, 0.0) + ratio
    return {key: ratio for key, ratio in found.items() if math.isfinite(ratio)}
