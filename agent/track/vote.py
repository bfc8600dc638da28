"""Many looks at one plate -> one text, from the probabilities of the characters, not from strings.

Two steps.  First every text that some look proposed is scored under all looks: a look's characters are aligned with
the text (Needleman and Wunsch 1970) and the weighted logarithms of the probabilities add up, so a missing or doubled
character costs but does not shift the rest.  Then, slot by slot of the winning text, the looks' distributions are
pooled (logarithmic opinion pool: Genest and Zidek 1986), which may change single characters to ones that no look had
in this combination.  Looks at one plate share their blur and their dirt, so n looks count as the square root of n.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from agent.records import CharRead, PlateText

if TYPE_CHECKING:
    from collections.abc import Sequence

_FLOOR = 0.004
"""Probability of a symbol that a look does not list: the model may be sure and wrong."""
_EXTRA = 0.004
"""Probability that a look missed a character altogether."""
_MOST_CANDIDATES = 6
_MOST_LOOKS = 24
"""The best looks vote; more add time, not knowledge."""
_MOST_ALTERNATIVES = 4
_LEAST_ALTERNATIVE = 0.005
_LEAST_WEIGHT = 0.02
_MOST_CONFIDENCE = 0.999
UNKNOWN_REGION = "?"

_Distribution = dict[str, float]


def vote(looks: Sequence[PlateText]) -> PlateText:
    """Vote over the looks of one track, each weighted by its confidence.

    One look is returned as it is.  Raises ValueError when there is no look.
    """
    if not looks:
        raise ValueError("a vote needs at least one look")
    if len(looks) == 1:
        return looks[0]
    best = sorted(looks, key=lambda look: -look.confidence)[:_MOST_LOOKS]
    weights = [max(_LEAST_WEIGHT, look.confidence) for look in best]
    slots = [[_distribution(char) for char in look.chars] for look in best]
    text = _best_text(best, weights, slots)
    power = math.sqrt(len(best)) / sum(weights)
    chars = _pool(text, [weight * power for weight in weights], slots)
    region, region_confidence = _vote_region(best, weights)
    return PlateText(chars, _confidence(chars, best, weights), region, region_confidence)


def _distribution(char: CharRead) -> _Distribution:
    known: _Distribution = dict(char.alternatives)
    known[char.symbol] = char.confidence
    return known


def _best_text(looks: Sequence[PlateText], weights: list[float], slots: list[list[_Distribution]]) -> str:
    proposed: Counter[str] = Counter()
    for look, weight in zip(looks, weights, strict=True):
        proposed[look.text] += weight  # type: ignore[assignment]  # a Counter of floats
    candidates = sorted(proposed, key=lambda text: (-proposed[text], text))[:_MOST_CANDIDATES]
    if len(candidates) == 1:
        return candidates[0]

    def score(text: str) -> float:
        return sum(w * _align(text, look)[0] for w, look in zip(weights, slots, strict=True))

    return max(candidates, key=score)


def _align(text: str, look: list[_Distribution]) -> tuple[float, list[int | None]]:
    """Log probability of the text under a look, and for each character the look's position it fell on."""
    rows, columns = len(text) + 1, len(look) + 1
    skip = [math.log(max(d.get("", 0.0), _EXTRA)) for d in look]
    extra = math.log(_EXTRA)
    best = [[0.0] * columns for _ in range(rows)]
    for j in range(1, columns):
        best[0][j] = best[0][j - 1] + skip[j - 1]
    for i in range(1, rows):
        best[i][0] = i * extra
        for j in range(1, columns):
            match = best[i - 1][j - 1] + math.log(max(look[j - 1].get(text[i - 1], 0.0), _FLOOR))
            best[i][j] = max(match, best[i - 1][j] + extra, best[i][j - 1] + skip[j - 1])
    places: list[int | None] = [None] * len(text)
    i, j = rows - 1, columns - 1
    while i > 0:
        if j > 0 and best[i][j] == best[i][j - 1] + skip[j - 1]:
            j -= 1
            continue
        if best[i][j] == best[i - 1][j] + extra:
            i -= 1
            continue
        places[i - 1] = j - 1
        i, j = i - 1, j - 1
    return best[-1][-1], places


def _pool(text: str, weights: list[float], slots: list[list[_Distribution]]) -> tuple[CharRead, ...]:
    placed = [[look[p] if p is not None else None for p in _align(text, look)[1]] for look in slots]
    chars: list[CharRead] = []
    for slot in range(len(text)):
        votes = [(weight, look[slot]) for weight, look in zip(weights, placed, strict=True)]
        ranked = _pool_slot(votes)
        symbol, confidence = ranked[0]
        if symbol:
            others = tuple(r for r in ranked[1 : _MOST_ALTERNATIVES + 1] if r[1] >= _LEAST_ALTERNATIVE)
            chars.append(CharRead(symbol, confidence, others))
    return tuple(chars)


def _pool_slot(votes: list[tuple[float, _Distribution | None]]) -> list[tuple[str, float]]:
    """Symbols with their pooled probabilities, best first; a look without this character votes for none."""
    symbols = {symbol for _, look in votes if look for symbol in look} | {""}
    logs: dict[str, float] = defaultdict(float)
    for weight, look in votes:
        known = look if look is not None else {"": 1.0 - _EXTRA}
        for symbol in symbols:
            logs[symbol] += weight * math.log(max(known.get(symbol, 0.0), _FLOOR))
    top = max(logs.values())
    likelihoods = {symbol: math.exp(value - top) for symbol, value in logs.items()}
    total = sum(likelihoods.values())
    return sorted(((s, v / total) for s, v in likelihoods.items()), key=lambda item: (-item[1], item[0]))


def _confidence(chars: tuple[CharRead, ...], looks: Sequence[PlateText], weights: list[float]) -> float:
    """How sure the vote is: the two surest agreeing looks, times the share of the weight that agrees.

    The looks' own confidences are calibrated, the product of pooled characters is not; a text that no look had as a
    whole rests on that product and is worth half of it at most.
    """
    text = "".join(char.symbol for char in chars)
    agreeing = sorted((look.confidence for look in looks if look.text == text), reverse=True)
    if not agreeing:
        mean = sum(weights) / len(weights)
        return min(_MOST_CONFIDENCE, 0.5 * mean * math.prod(char.confidence for char in chars)) if chars else 0.0
    share = sum(w for w, look in zip(weights, looks, strict=True) if look.text == text) / sum(weights)
    doubt = math.prod(1.0 - confidence for confidence in agreeing[:2])
    return min(_MOST_CONFIDENCE, share * (1.0 - doubt))


def _vote_region(looks: Sequence[PlateText], weights: list[float]) -> tuple[str, float]:
    """The region with the most weight; looks that name none take part, so that few sure ones can be outvoted."""
    pooled: dict[str, float] = defaultdict(float)
    for look, weight in zip(looks, weights, strict=True):
        pooled[look.region] += weight * look.region_confidence
    known = {region: value for region, value in pooled.items() if region != UNKNOWN_REGION}
    if not known:
        return UNKNOWN_REGION, 0.0
    region = max(known, key=lambda name: (known[name], name))
    # A weak "unknown" gives way to any name; a name needs the weight of a third of all looks.
    confidence = known[region] / sum(weights)
    return (region, confidence) if confidence >= 1 / 3 else (UNKNOWN_REGION, confidence)
