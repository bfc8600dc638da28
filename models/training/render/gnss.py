"""What a receiver would have sent: RMC and GGA a second or more often, with the delay and jitter of a serial port."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from agent.geotag.geodesy import Position

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

_KNOTS_PER_MPS = 1.943844


@dataclass(frozen=True, slots=True)
class Route:
    """Where the road of a drive lies: a bend of constant rate."""

    start: Position
    course_deg: float
    turn_deg_per_m: float

    def at(self, along_m: float) -> tuple[Position, float]:
        """Position and course after a distance along the road, in steps of a metre."""
        place, course = self.start, self.course_deg
        for _ in range(int(along_m)):
            place = place.moved(course, 1.0)
            course += self.turn_deg_per_m
        return place.moved(course, along_m % 1.0), course % 360


def sentences(
    rng: np.random.Generator,
    *,
    start: datetime,
    seconds: float,
    rate_hz: float,
    route: Route,
    along_m: Callable[[float], float],
    first_fix_s: float = 0.0,
) -> list[tuple[float, str]]:
    """(milliseconds, sentence) pairs; before the first fix the receiver says that it has none."""
    rows: list[tuple[float, str]] = []
    for number in range(int(seconds * rate_hz) + 1):
        t_s = number / rate_hz
        delay_ms = rng.uniform(40, 120)
        when = start + timedelta(seconds=t_s)
        if t_s < first_fix_s:
            texts = _void(when)
        else:
            place, course = route.at(along_m(t_s))
            place = Position(place.lat_deg + rng.normal(0, 6e-6), place.lon_deg + rng.normal(0, 8e-6))
            speed = (along_m(t_s + 0.1) - along_m(max(0.0, t_s - 0.1))) / (0.2 if t_s >= 0.1 else 0.1 + t_s)
            texts = _fix(when, place, speed, course, rng)
        # 75 characters of ten bits take about 78 ms at 9600 baud.
        rows += [(t_s * 1000 + delay_ms + 78 * i, text) for i, text in enumerate(texts)]
    return rows


def _fix(
    when: datetime, place: Position, speed_mps: float, course_deg: float, rng: np.random.Generator
) -> tuple[str, str]:
    where = f"{_angle(place.lat_deg, 2, 'NS')},{_angle(place.lon_deg, 3, 'EW')}"
    clock = f"{when:%H%M%S}.{when.microsecond // 10000:02d}"
    hdop, satellites = rng.uniform(0.7, 1.2), int(rng.integers(8, 13))
    rmc = f"GNRMC,{clock},A,{where},{speed_mps * _KNOTS_PER_MPS:.2f},{course_deg:.1f},{when:%d%m%y},,,A"
    gga = f"GNGGA,{clock},{where},1,{satellites:02d},{hdop:.2f},{rng.normal(212, 1):.1f},M,-30.2,M,,"
    return _framed(rmc), _framed(gga)


def _void(when: datetime) -> tuple[str, str]:
    clock = f"{when:%H%M%S}.{when.microsecond // 10000:02d}"
    return _framed(f"GNRMC,{clock},V,,,,,,,{when:%d%m%y},,,N"), _framed(f"GNGGA,{clock},,,,,0,00,99.99,,,,,,")


def _angle(degrees: float, digits: int, signs: str) -> str:
    whole, minutes = divmod(abs(degrees) * 60, 60)
    return f"{int(whole):0{digits}d}{minutes:08.5f},{signs[degrees < 0]}"


def _framed(body: str) -> str:
    check = 0
    for letter in body:
        check ^= ord(letter)
    return f"${body}*{check:02X}"


def utc(text: str) -> datetime:
    """ISO text to UTC."""
    return datetime.fromisoformat(text).astimezone(UTC)
