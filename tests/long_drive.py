"""Hours of driving, made up: where the vehicle really was, and what a receiver would have said about it."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from hw.ports import NmeaLine
from tests.nmea_lines import NS_PER_S, gga, rmc, sentence

if TYPE_CHECKING:
    from collections.abc import Iterator

M_PER_DEG = 111_195.0
_KNOTS_PER_MPS = 3600 / 1852
_STEPS = 10
"""Steps of the integration in a second."""
_NOISE_M = 2.5
_DELAY_NS = 80_000_000


@dataclass(frozen=True, slots=True)
class State:
    """Where the vehicle really is at a second."""

    lat_deg: float
    lon_deg: float
    speed_mps: float
    course_deg: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A drive; seconds since its start."""

    start: datetime
    seconds: int
    cold_s: int = 90
    """The receiver has no position until here."""
    tunnels: tuple[tuple[int, int], ...] = ()
    """From, until: the receiver sends sentences without a position."""
    mute: tuple[tuple[int, int], ...] = ()
    """From, until: nothing comes from it."""
    forgets_weeks_from_s: int | None = None
    """From here its dates are 1024 weeks behind: the week counter has run over."""


def course(plan: Plan, *, lat_deg: float = 44.0, lon_deg: float = -100.0) -> list[State]:
    """One state a second: town and motorway, stops at lights, always turning a little."""
    states = []
    for second in range(plan.seconds + 2):
        for step in range(_STEPS):
            t_s = second + step / _STEPS
            speed = max(0.0, 16 + 14 * math.sin(t_s / 310) + 6 * math.sin(t_s / 23))
            heading = (90 + 70 * math.sin(t_s / 180) + 0.02 * t_s) % 360
            if step == 0:
                states.append(State(lat_deg, lon_deg, speed, heading))
            north_m = speed / _STEPS * math.cos(math.radians(heading))
            east_m = speed / _STEPS * math.sin(math.radians(heading))
            lat_deg += north_m / M_PER_DEG
            lon_deg += east_m / (M_PER_DEG * math.cos(math.radians(lat_deg)))
    return states


def spoken(plan: Plan, states: list[State], seed: int) -> Iterator[tuple[int, list[NmeaLine]]]:
    """The sentences of each second, with noise of a few metres; what is missing is missing."""
    rng = random.Random(seed)  # noqa: S311 - noise that is the same in every run
    for second in range(plan.seconds):
        if _within(second, plan.mute):
            yield second, []
            continue
        at = plan.start + timedelta(seconds=second)
        if plan.forgets_weeks_from_s is not None and second >= plan.forgets_weeks_from_s:
            at -= timedelta(weeks=1024)
        t_ns = second * NS_PER_S + _DELAY_NS + rng.randrange(30_000_000)
        blind = second < plan.cold_s or _within(second, plan.tunnels)
        texts = _blind(at) if blind else _seeing(at, states[second], rng)
        yield second, [NmeaLine(t_ns + n * 5_000_000, text) for n, text in enumerate(texts)]


def distance_m(lat_a: float, lon_a: float, lat_b: float, lon_b: float) -> float:
    """Good to a thousandth over a few kilometres."""
    north_m = (lat_b - lat_a) * M_PER_DEG
    east_m = (lon_b - lon_a) * M_PER_DEG * math.cos(math.radians((lat_a + lat_b) / 2))
    return math.hypot(north_m, east_m)


def _within(second: int, spans: tuple[tuple[int, int], ...]) -> bool:
    return any(first <= second < last for first, last in spans)


def _blind(at: datetime) -> list[str]:
    clock = f"{at:%H%M%S}.00"
    return [
        sentence(f"GNRMC,{clock},V,,,,,,,{at:%d%m%y},,,N"),
        sentence(f"GNGGA,{clock},,,,,0,00,99.99,,,,,,"),
        sentence("GPGSV,1,1,00"),
    ]


def _seeing(at: datetime, state: State, rng: random.Random) -> list[str]:
    lat_deg = state.lat_deg + rng.gauss(0, _NOISE_M) / M_PER_DEG
    lon_deg = state.lon_deg + rng.gauss(0, _NOISE_M) / M_PER_DEG / math.cos(math.radians(state.lat_deg))
    where = {"lat_deg": lat_deg, "lon_deg": lon_deg}
    heading = f"{state.course_deg:.1f}" if state.speed_mps > 1 else ""
    return [
        rmc(at, speed_kn=state.speed_mps * _KNOTS_PER_MPS, course=heading, **where),
        gga(at, **where),
        sentence("GNGSA,A,3,01,02,03,04,,,,,,,,,1.5,0.9,1.2"),
    ]
