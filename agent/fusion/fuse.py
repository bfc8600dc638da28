"""Fuses several predictions of one plate into one text, by the probabilities of the characters, not by strings.

Two steps.  First every proposed text is scored under all predictions: a prediction's characters are aligned with the
text (Needleman and Wunsch 1970) and the weighted logarithms of the probabilities add up, so a missing or doubled
character costs, but does not shift the rest.  Then, slot by slot of the winning text, the predictions' distributions
are pooled (logarithmic opinion pool: Genest and Zidek 1986); the result may be a combination of characters that no
single prediction had.  Predictions of one plate share blur and dirt, so n of them count as the square root of n.
"""

from __future__ import annotations

import itertools
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

_LOG_FLOOR, _LOG_EXTRA = math.log(_FLOOR), math.log(_EXTRA)

_Logs = dict[str, float]
"""Logarithms of the probabilities of the symbols that a prediction lists at a position, none below the floor."""
_NO_CHARACTER: _Logs = {"": math.log(1.0 - _EXTRA)}


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
    slots = [[_logs(char) for char in prediction.chars] for prediction in best]
    text = _best_text(best, weights, slots)
    power = math.sqrt(len(best)) / sum(weights)
    chars = _pool(text, [weight * power for weight in weights], slots)
    region, region_confidence = _fuse_region(best, weights)
    return PlateText(chars, _confidence(chars, best, weights), region, region_confidence)


def agreed(confidence: float) -> float:
    """Confidence of a text that two predictions or more agree on, from the mean of their own."""
    return _AGREED_ODDS * confidence / (1 - confidence + _AGREED_ODDS * confidence)


def _logs(char: CharRead) -> _Logs:
    logs = {symbol: math.log(max(probability, _FLOOR)) for symbol, probability in char.alternatives}
    logs[char.symbol] = math.log(max(char.confidence, _FLOOR))
    return logs


def _best_text(predictions: Sequence[PlateText], weights: list[float], slots: list[list[_Logs]]) -> str:
    proposed: Counter[str] = Counter()
    for prediction, weight in zip(predictions, weights, strict=True):
        proposed[prediction.text] += weight  # type: ignore[assignment]  # a Counter of floats
    candidates = sorted(proposed, key=lambda text: (-proposed[text], text))[:_MAX_CANDIDATES]
    if len(candidates) == 1:
        return candidates[0]

    def score(text: str) -> float:
        return sum(w * _align(text, prediction)[0] for w, prediction in zip(weights, slots, strict=True))

    return max(candidates, key=score)


def _align(text: str, prediction: list[_Logs]) -> tuple[float, list[int | None]]:
    """Log probability of the text under a prediction, and the aligned position of each character."""
    if len(text) == len(prediction):
        straight = sum([logs.get(char, _LOG_FLOOR) for char, logs in zip(text, prediction, strict=True)])
        # Any other alignment has a character that the prediction missed, and nothing in it adds probability.
        if straight > _LOG_EXTRA:
            return straight, list(range(len(text)))
    return _align_any(text, prediction)


def _align_any(text: str, prediction: list[_Logs]) -> tuple[float, list[int | None]]:
    rows, columns = len(text) + 1, len(prediction) + 1
    skip = [max(logs.get("", _LOG_FLOOR), _LOG_EXTRA) for logs in prediction]
    extra = _LOG_EXTRA
    best = [[0.0] * columns for _ in range(rows)]
    for j in range(1, columns):
        best[0][j] = best[0][j - 1] + skip[j - 1]
    for i in range(1, rows):
        best[i][0] = i * extra
        for j in range(1, columns):
            match = best[i - 1][j - 1] + prediction[j - 1].get(text[i - 1], _LOG_FLOOR)
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


def _pool(text: str, weights: list[float], slots: list[list[_Logs]]) -> tuple[CharRead, ...]:
    placed = [
        [_NO_CHARACTER if p is None else prediction[p] for p in _align(text, prediction)[1]]
        for prediction in slots
    ]
    chars: list[CharRead] = []
    for slot in range(len(text)):
        ranked = _pool_slot(weights, [prediction[slot] for prediction in placed])
        symbol, confidence = ranked[0]
        if symbol:
            others = tuple(r for r in ranked[1 : _MAX_ALTERNATIVES + 1] if r[1] >= _MIN_ALTERNATIVE)
            chars.append(CharRead(symbol, confidence, others))
    return tuple(chars)


def _pool_slot(weights: list[float], predictions: list[_Logs]) -> list[tuple[str, float]]:
    """Symbols with their pooled probabilities, best first; a prediction without this character gives none."""
    pooled = {
        symbol: sum([w * logs.get(symbol, _LOG_FLOOR) for w, logs in zip(weights, predictions, strict=True)])
        for symbol in {"", *itertools.chain.from_iterable(predictions)}
    }
    top = max(pooled.values())
    likelihoods = {symbol: math.exp(value - top) for symbol, value in pooled.items()}
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
