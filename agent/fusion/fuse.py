"""Fuses several predictions of one plate into one text, by the probabilities of the characters, not by strings.

Two steps.  First every proposed text is scored under all predictions: a prediction's characters are aligned with the
text (Needleman and Wunsch 1970) and the weighted logarithms of the probabilities add up, so a missing or doubled
character costs, but does not shift the rest.  Then, slot by slot of the winning text, the predictions' distributions
are pooled (logarithmic opinion pool: Genest and Zidek 1986); the result may be a combination of characters that no
single prediction had.  Predictions of one plate share blur and dirt, so n of them count as the square root of n.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from agent.records import UNKNOWN_REGION, CharRead, PlateText

if TYPE_CHECKING:
    from collections.abc import Sequence

_FLOOR = 0.004
"""Probability of a symbol that a prediction does not list: the model may be confident and wrong."""
_EXTRA = 0.004
"""Probability that a prediction missed a character."""
_MAX_CANDIDATES = 6
_MAX_PREDICTIONS = 24
"""Only the best predictions are used; more cost time and do not improve the result."""
_MAX_ALTERNATIVES = 4
_MIN_ALTERNATIVE = 0.005
_MIN_WEIGHT = 0.02
_MAX_CONFIDENCE = 0.999
_BEST = 3
"""Number of agreeing predictions whose confidence counts."""
_AGREED_ODDS = 1.5
"""Factor on the odds of a text that two predictions or more agree on: it is right more often than the mean of its
predictions says.  Fitted on passes of crops held out of training (docs/adr/0019)."""

_Distribution = dict[str, float]


def fuse_predictions(predictions: Sequence[PlateText]) -> PlateText:
    """Fuse the predictions of one track, each weighted by its confidence.

    A single prediction is returned unchanged.  Raises ValueError if there is none.
    """
    if not predictions:
        raise ValueError("no prediction to fuse")
    if len(predictions) == 1:
        return predictions[0]
    best = sorted(predictions, key=lambda prediction: -prediction.confidence)[:_MAX_PREDICTIONS]
    weights = [max(_MIN_WEIGHT, prediction.confidence) for prediction in best]
    slots = [[_distribution(char) for char in prediction.chars] for prediction in best]
    text = _best_text(best, weights, slots)
    power = math.sqrt(len(best)) / sum(weights)
    chars = _pool(text, [weight * power for weight in weights], slots)
    region, region_confidence = _fuse_region(best, weights)
    return PlateText(chars, _confidence(chars, best, weights), region, region_confidence)


def agreed(confidence: float) -> float:
    """Confidence of a text that two predictions or more agree on, from the mean of their own."""
    return _AGREED_ODDS * confidence / (1 - confidence + _AGREED_ODDS * confidence)


def _distribution(char: CharRead) -> _Distribution:
    known: _Distribution = dict(char.alternatives)
    known[char.symbol] = char.confidence
    return known


def _best_text(predictions: Sequence[PlateText], weights: list[float], slots: list[list[_Distribution]]) -> str:
    proposed: Counter[str] = Counter()
    for prediction, weight in zip(predictions, weights, strict=True):
        proposed[prediction.text] += weight  # type: ignore[assignment]  # a Counter of floats
    candidates = sorted(proposed, key=lambda text: (-proposed[text], text))[:_MAX_CANDIDATES]
    if len(candidates) == 1:
        return candidates[0]

    def score(text: str) -> float:
        return sum(w * _align(text, prediction)[0] for w, prediction in zip(weights, slots, strict=True))

    return max(candidates, key=score)


def _align(text: str, prediction: list[_Distribution]) -> tuple[float, list[int | None]]:
    """Log probability of the text under a prediction, and the aligned position of each character."""
    rows, columns = len(text) + 1, len(prediction) + 1
    skip = [math.log(max(d.get("", 0.0), _EXTRA)) for d in prediction]
    extra = math.log(_EXTRA)
    best = [[0.0] * columns for _ in range(rows)]
    for j in range(1, columns):
        best[0][j] = best[0][j - 1] + skip[j - 1]
    for i in range(1, rows):
        best[i][0] = i * extra
        for j in range(1, columns):
            match = best[i - 1][j - 1] + math.log(max(prediction[j - 1].get(text[i - 1], 0.0), _FLOOR))
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
    placed = [
        [prediction[p] if p is not None else None for p in _align(text, prediction)[1]] for prediction in slots
    ]
    chars: list[CharRead] = []
    for slot in range(len(text)):
        weighted = [(weight, prediction[slot]) for weight, prediction in zip(weights, placed, strict=True)]
        ranked = _pool_slot(weighted)
        symbol, confidence = ranked[0]
        if symbol:
            others = tuple(r for r in ranked[1 : _MAX_ALTERNATIVES + 1] if r[1] >= _MIN_ALTERNATIVE)
            chars.append(CharRead(symbol, confidence, others))
    return tuple(chars)


def _pool_slot(weighted: list[tuple[float, _Distribution | None]]) -> list[tuple[str, float]]:
    """Symbols with their pooled probabilities, best first; a prediction without this character gives none."""
    symbols = {symbol for _, prediction in weighted if prediction for symbol in prediction} | {""}
    logs: dict[str, float] = defaultdict(float)
    for weight, prediction in weighted:
        known = prediction if prediction is not None else {"": 1.0 - _EXTRA}
        for symbol in symbols:
            logs[symbol] += weight * math.log(max(known.get(symbol, 0.0), _FLOOR))
    top = max(logs.values())
    likelihoods = {symbol: math.exp(value - top) for symbol, value in logs.items()}
    total = sum(likelihoods.values())
    return sorted(((s, v / total) for s, v in likelihoods.items()), key=lambda item: (-item[1], item[0]))


def _confidence(chars: tuple[CharRead, ...], predictions: Sequence[PlateText], weights: list[float]) -> float:
    """Confidence of the fused text: the mean of its three best predictions, less where others disagree.

    Predictions of one plate are not independent evidence: what misleads one frame misleads the next.  Only the best
    count, as frames from afar agree with less confidence.  The cube root of the agreeing share of all weight is the
    penalty with the smallest calibration error on held-out plates.  Two that agree raise the odds.  A text that no
    single prediction had gets at most half of the product of its pooled characters.
    """
    text = "".join(char.symbol for char in chars)
    pairs = list(zip(predictions, weights, strict=True))
    agreeing = sorted((prediction.confidence for prediction, _ in pairs if prediction.text == text), reverse=True)
    if not agreeing:
        mean = sum(weights) / len(weights)
        return min(_MAX_CONFIDENCE, 0.5 * mean * math.prod(char.confidence for char in chars)) if chars else 0.0
    share = sum(weight for prediction, weight in pairs if prediction.text == text) / sum(weights)
    best = agreeing[:_BEST]
    confidence = math.cbrt(share) * sum(best) / len(best)
    return min(_MAX_CONFIDENCE, agreed(confidence) if len(agreeing) > 1 else confidence)


def _fuse_region(predictions: Sequence[PlateText], weights: list[float]) -> tuple[str, float]:
    """The region with the most weight, and its mean probability over all predictions."""
    pooled: dict[str, float] = defaultdict(float)
    for prediction, weight in zip(predictions, weights, strict=True):
        pooled[prediction.region] += weight * prediction.region_confidence
    known = {region: value for region, value in pooled.items() if region != UNKNOWN_REGION}
    if not known:
        return UNKNOWN_REGION, 0.0
    region = max(known, key=lambda name: (known[name], name))
    return region, known[region] / sum(weights)
