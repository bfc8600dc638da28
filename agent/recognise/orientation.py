"""Detects cameras that are mounted upside down: the detector finds plates either way, OCR is more confident upright."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from agent.records import PlateText


@dataclass(frozen=True, slots=True)
class OrientationConfig:
    """Thresholds."""

    min_confidence: float = 0.85
    """Minimum confidence of a vote in the better orientation, ..."""
    margin: float = 0.02
    """... and its minimum difference to the other.  On 300 photographs of the measuring set one vote of 244 is wrong;
    with the pictures turned, one of 229."""
    region_margin: float = 0.4
    """Of texts that are confident in both orientations, such as 6N0SX9, the region decides if its probabilities differ
    by as much: on the same photographs it adds no wrong vote."""
    min_votes: int = 4
    max_votes: int = 15
    """Number of latest votes that count."""
    share: float = 0.8
    every: int = 15
    """Once decided, only every n-th text is read in both orientations."""


class OrientationVote:
    """Votes of plates that were read in both orientations.  One per camera."""

    def __init__(self, config: OrientationConfig | None = None) -> None:
        self._config = config or OrientationConfig()
        self._votes: deque[bool] = deque(maxlen=self._config.max_votes)
        self._texts = 0

    def wants_one(self) -> bool:
        """Count a text; return whether it should be read in both orientations."""
        self._texts += 1
        return not self.decided or self._texts % self._config.every == 0

    def add(self, plate: PlateText, turned: PlateText) -> None:
        """Add the two readings of one plate, as it is in the picture and turned."""
        config = self._config
        texts = (plate.confidence, turned.confidence)
        regions = (plate.region_confidence, turned.region_confidence)
        if max(texts) < config.min_confidence:
            return
        if min(texts) >= config.min_confidence and abs(regions[0] - regions[1]) >= config.region_margin:
            self._votes.append(regions[1] > regions[0])
        elif abs(texts[0] - texts[1]) >= config.margin:
            self._votes.append(texts[1] > texts[0])

    @property
    def decided(self) -> bool:
        """True if there are enough votes."""
        return len(self._votes) >= self._config.min_votes

    @property
    def upside_down(self) -> bool:
        """True if most votes are for the turned picture."""
        return self.decided and sum(self._votes) >= self._config.share * len(self._votes)
