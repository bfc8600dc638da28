"""What every bench shares: CPU time of a call, and one line of result."""

from __future__ import annotations

import argparse
import json
import statistics
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a bench; ratios are compared, milliseconds only orient (machines differ)."""

    name: str
    value: float
    unit: str
    limit: float | None = None
    """The figure must not exceed this; None where it only orients."""
    floor: float | None = None
    """The figure must reach this."""

    @property
    def ok(self) -> bool:
        """True when the figure keeps its limit and floor."""
        too_high = self.limit is not None and self.value > self.limit
        too_low = self.floor is not None and self.value < self.floor
        return not (too_high or too_low)

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps(asdict(self))


def arguments(description: str | None) -> argparse.ArgumentParser:
    """Return the parser of a bench; ``--tiny`` runs all of its code in seconds, and its figures then mean nothing."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tiny", action="store_true", help="only to see that it runs; the figures mean nothing")
    return parser


def _nothing() -> None:
    return


def cpu_ms(call: Callable[[], object], *, rounds: int = 60, warm_up: int = 5) -> float:
    """Median CPU time of a call in milliseconds: other processes do not count."""
    for _ in range(warm_up):
        call()
    times = []
    for _ in range(rounds):
        start = time.process_time_ns()
        call()
        times.append(time.process_time_ns() - start)
    return statistics.median(times) / 1e6


def interleaved_cpu_ms(
    first: Callable[[], object],
    second: Callable[[], object],
    *,
    prepare: Callable[[], object] = _nothing,
    rounds: int = 150,
) -> tuple[float, float]:
    """Median CPU times of two calls that take turns, so that both meet the same machine.

    ``prepare`` is called before each round; its time does not count.
    """
    times: tuple[list[int], list[int]] = ([], [])
    for _ in range(rounds):
        prepare()
        for call, kept in zip((first, second), times, strict=True):
            start = time.process_time_ns()
            call()
            kept.append(time.process_time_ns() - start)
    return statistics.median(times[0][5:]) / 1e6, statistics.median(times[1][5:]) / 1e6
