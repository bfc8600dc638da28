"""What the reader confuses, measured by ``python -m bench.hotlist_card``: the second half of the alarm budget."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING

import numpy as np

from protocol.hotlist.packing import BASE

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The reader's mistakes, for reads of single photographs, sharp and degraded in equal parts."""

    model: str
    misread: float
    """Share of reads whose text is wrong."""
    region_unknown: float
    """Share of reads without a state."""
    region_wrong: float
    """Share of reads with a wrong state."""
    thresholds: tuple[float, ...]
    """Probabilities of an alternative text, rising."""
    confusions: NDArray[np.float64]
    """Thresholds x 2 x 37: for a read digit and a read letter, how often a character has an alternative text, at least
    as probable as the threshold, that puts the symbol of the code in its place."""
    others: tuple[float, ...]
    """For each threshold: alternative texts of any kind, for each that differs in one character."""

    def at(self, threshold: float) -> int:
        """Return the number of the highest threshold that is not above this one; 0 below the first."""
        return max(int(np.searchsorted(self.thresholds, threshold + 1e-9, side="right")) - 1, 0)


def load_behaviour() -> Behaviour:
    """Return what was measured with the shipped reader."""
    told = json.loads((files("station.lists") / "behaviour.json").read_text(encoding="utf-8"))
    return Behaviour(
        told["model"], told["misread"], told["region_unknown"], told["region_wrong"], tuple(told["thresholds"]),
        np.array(told["confusions"], np.float64).reshape(len(told["thresholds"]), 2, BASE), tuple(told["others"]),
    )  # fmt: skip
