"""From logits to probabilities that mean something: temperatures, knots, thresholds, confusions."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import torch

from models.training.ocr.decode import decode, sigmoid, softmax
from models.training.ocr.labels import folded
from models.training.ocr.net import ctc_loss
from models.training.ocr.regions import ALPHABET, UNLABELLED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from models.training.ocr.data import Texts

MISSING = "-"
_TEMPERATURES = np.arange(0.6, 2.55, 0.05)


def symbol_temperature(symbols: NDArray[np.float32], texts: Texts) -> float:
    """The temperature under which the labels are likeliest (Guo et al. 2017, on the CTC likelihood)."""
    targets, lengths, weights = (torch.from_numpy(a) for a in (texts.targets, texts.lengths, texts.weights))
    losses = [float(ctc_loss(torch.from_numpy(symbols / t), targets, lengths, weights)) for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def region_temperature(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> float:
    """The temperature under which the region labels are likeliest."""
    known = labels != UNLABELLED
    rows, truth = logits[known], labels[known]
    losses = [-np.log(softmax(rows / t)[np.arange(len(rows)), truth] + 1e-9).mean() for t in _TEMPERATURES]
    return float(_TEMPERATURES[int(np.argmin(losses))])


def region_threshold(
    logits: NDArray[np.float32], labels: NDArray[np.int64], temperature: float, precision: float = 0.9
) -> float:
    """The lowest confidence above which a named region is right at least `precision` of the time; 0.3 at least."""
    known = labels != UNLABELLED
    probability = softmax(logits[known] / temperature)
    right, confidence = probability.argmax(axis=1) == labels[known], probability.max(axis=1)
    for threshold in np.arange(0.3, 1.0, 0.02):
        above = confidence >= threshold
        if above.any() and right[above].mean() >= precision:
            return round(float(threshold), 2)
    return 0.98


def one_line_threshold(logits: NDArray[np.float32], right: NDArray[np.bool_], lost: float = 0.01) -> float:
    """The probability of "one line" under which a text is refused: it costs `lost` of the right; 0.5 at most."""
    if not right.any():
        return 0.0
    return round(float(min(0.5, np.quantile(sigmoid(logits[right]), lost, method="lower"))), 3)


def knots(raw: NDArray[np.float64], right: NDArray[np.bool_], bins: int = 16) -> tuple[list[float], list[float]]:
    """Monotone knots from raw confidence to the share of right texts: means of equal-count bins, pooled where they
    fall (pool adjacent violators, Ayer et al. 1955)."""
    order = np.argsort(raw, kind="stable")
    groups = [(raw[part].sum(), right[part].sum(), len(part)) for part in np.array_split(order, bins) if len(part)]
    pooled: list[tuple[float, float, float]] = []
    for group in groups:
        pooled.append(group)
        while len(pooled) > 1 and _share(pooled[-2]) >= _share(pooled[-1]):
            last, before = pooled.pop(), pooled.pop()
            pooled.append(tuple(a + b for a, b in zip(before, last, strict=True)))
    xs = [0.0, *(round(float(g[0] / g[2]), 4) for g in pooled), 1.0]
    ys = [0.0, *(round(float(_share(g)), 4) for g in pooled), 0.0]
    ys[-1] = ys[-2]
    keep = [i for i in range(len(xs)) if i == 0 or xs[i] > xs[i - 1] + 1e-4]
    return [xs[i] for i in keep], [ys[i] for i in keep]


def _share(group: tuple[float, float, float]) -> float:
    return group[1] / group[2]


def confusions(truths: Sequence[str], reads: Sequence[str]) -> NDArray[np.int64]:
    """Counts [37, 37] of true character (rows) against read character (columns); the last index is "missing"."""
    classes = ALPHABET + MISSING
    counts = Counter(pair for truth, read in zip(truths, reads, strict=True) for pair in aligned(truth, read))
    table = np.zeros((len(classes), len(classes)), np.int64)
    for (a, b), n in counts.items():
        table[classes.index(a), classes.index(b)] = n
    return table


def aligned(truth: str, read: str) -> list[tuple[str, str]]:
    """Character pairs of a cheapest alignment; MISSING stands where one side has none."""
    rows = [list(range(len(read) + 1))]
    for i, a in enumerate(truth, 1):
        row = [i]
        for j, b in enumerate(read, 1):
            row.append(min(rows[-1][j] + 1, row[-1] + 1, rows[-1][j - 1] + (a != b)))
        rows.append(row)
    pairs, i, j = [], len(truth), len(read)
    while i or j:
        if i and j and rows[i][j] == rows[i - 1][j - 1] + (truth[i - 1] != read[j - 1]):
            pairs.append((truth[i - 1], read[j - 1]))
            i, j = i - 1, j - 1
        elif i and rows[i][j] == rows[i - 1][j] + 1:
            pairs.append((truth[i - 1], MISSING))
            i -= 1
        else:
            pairs.append((MISSING, read[j - 1]))
            j -= 1
    return pairs[::-1]


def read_all(symbols: NDArray[np.float32], temperature: float) -> tuple[list[str], NDArray[np.float64]]:
    """Texts and raw confidences of many plates."""
    pairs = [decode(logits, temperature) for logits in symbols]
    return [text for text, _ in pairs], np.array([raw for _, raw in pairs])


def equal_texts(reads: Sequence[str], truths: Sequence[str]) -> NDArray[np.bool_]:
    """Which texts equal, O and 0 taken as one."""
    return np.array([folded(a) == folded(b) for a, b in zip(reads, truths, strict=True)], bool)
