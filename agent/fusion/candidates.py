"""Alternative texts of a plate, by the probabilities of its characters."""

from __future__ import annotations

import heapq
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.records import CharRead, PlateText

_MIN_PROBABILITY = 1e-6


def alternative_texts(
    plate: PlateText, *, limit: int = 5, min_probability: float = 0.001
) -> tuple[tuple[str, float], ...]:
    """Return up to ``limit`` texts other than the plate's own with their probabilities, most likely first.

    The characters are treated as independent.  Probabilities are scaled so that the plate's own text has the plate's
    confidence; their sum never exceeds the rest.
    """
    options = [_options(char) for char in plate.chars]
    product = math.prod(char.confidence for char in plate.chars)
    if not options or product <= 0:
        return ()
    scale = plate.confidence / product
    own = plate.text
    best: dict[str, float] = {}
    for probability, text in _best_first(options, limit * 4 + 1):
        if text and text != own:
            best[text] = best.get(text, 0.0) + probability * scale
    ranked = sorted(best.items(), key=lambda item: (-item[1], item[0]))[:limit]
    total = sum(probability for _, probability in ranked)
    left = max(0.0, 1.0 - plate.confidence)
    shrink = min(1.0, left / total) if total > 0 else 1.0
    return tuple((text, p * shrink) for text, p in ranked if p * shrink >= min_probability)


def _options(char: CharRead) -> list[tuple[str, float]]:
    options = [(char.symbol, char.confidence), *char.alternatives]
    return sorted(((s, max(p, _MIN_PROBABILITY)) for s, p in options), key=lambda o: (-o[1], o[0]))


def _best_first(options: list[list[tuple[str, float]]], limit: int) -> list[tuple[float, str]]:
    """Enumerate the product of the options in descending probability (lazy k-best: Huang and Chiang 2005)."""
    start = (0,) * len(options)
    heap = [(-_probability(options, start), start)]
    seen = {start}
    found: list[tuple[float, str]] = []
    while heap and len(found) < limit:
        negative, ranks = heapq.heappop(heap)
        found.append((-negative, "".join(options[i][rank][0] for i, rank in enumerate(ranks))))
        for i, rank in enumerate(ranks):
            if rank + 1 < len(options[i]):
                following = (*ranks[:i], rank + 1, *ranks[i + 1 :])
                if following not in seen:
                    seen.add(following)
                    heapq.heappush(heap, (-_probability(options, following), following))
    return found


def _probability(options: list[list[tuple[str, float]]], ranks: tuple[int, ...]) -> float:
    return math.prod(options[i][rank][1] for i, rank in enumerate(ranks))
