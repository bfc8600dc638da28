"""Best-path CTC decoding with the raw confidence the agent computes, and the measures every script shares."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from models.training.ocr.regions import ALPHABET, BLANK

if TYPE_CHECKING:
    from numpy.typing import NDArray


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Softmax over the last axis."""
    exponent = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponent / exponent.sum(axis=-1, keepdims=True)


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Probability of a single logit."""
    return 1 / (1 + np.exp(-logits))


def decode(logits: NDArray[np.float32], temperature: float = 1.0) -> tuple[str, float]:
    """Text of one plate's logits [32, 37] and the product of its characters' peak probabilities."""
    probability = softmax(logits / temperature)
    best = probability.argmax(axis=1)
    edges = [0, *(i for i in range(1, len(best)) if best[i] != best[i - 1]), len(best)]
    text, product = "", 1.0
    for start, end in pairwise(edges):
        if best[start] != BLANK:
            text += ALPHABET[best[start]]
            product *= float(probability[start:end, best[start]].max())
    return text, product if text else 0.0


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (x != y))
    return row[-1]


def calibration_error(confidence: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error over equal-width bins (Guo et al. 2017)."""
    which = np.minimum((confidence * bins).astype(int), bins - 1)
    error = 0.0
    for b in range(bins):
        members = which == b
        if members.any():
            error += members.mean() * abs(confidence[members].mean() - right[members].mean())
    return float(error)
