"""Faults of a receiver's sentences, for tests and replays."""

from __future__ import annotations

import math

_M_PER_DEG = 111_320.0
"""Metres in a degree of latitude (sphere of the WGS-84 equator radius): accurate enough for an artificial error."""
_LAT_FIELD = {"RMC": 3, "GGA": 2, "GLL": 1}
_MINUTES = 60


def corrupted(text: str) -> str:
    """Flip one bit in the middle, so that the checksum no longer fits."""
    if not text:
        return text
    middle = len(text) // 2
    return text[:middle] + chr(ord(text[middle]) ^ 1) + text[middle + 1 :]


def jumped(text: str, *, north_m: float, east_m: float) -> str:
    """Shift the position in RMC, GGA and GLL and correct the checksum (IEC 61162-1).

    Other sentences, and those without a position, are returned unchanged.
    """
    fields = text.partition("*")[0].split(",")
    at = _LAT_FIELD.get(fields[0][3:6]) if text.startswith("$") else None
    if at is None or len(fields) < at + 4:
        return text
    try:
        lat_deg = _degrees(fields[at], fields[at + 1])
        lon_deg = _degrees(fields[at + 2], fields[at + 3])
    except ValueError:
        return text
    lon_deg += east_m / (_M_PER_DEG * max(0.01, math.cos(math.radians(lat_deg))))
    lat_deg += north_m / _M_PER_DEG
    fields[at : at + 4] = [*_written(lat_deg, 2, "NS"), *_written(lon_deg, 3, "EW")]
    body = ",".join(fields)[1:]
    return f"${body}*{checksum(body):02X}"


def checksum(body: str) -> int:
    """XOR of the characters between ``$`` and ``*``, 0..255."""
    value = 0
    for character in body:
        value ^= ord(character) & 0xFF
    return value


def _degrees(value: str, hemisphere: str) -> float:
    """``4807.038``, ``N`` -> 48.1173; raises ValueError."""
    number = float(value)
    degrees, minutes = divmod(number, 100)
    return (degrees + minutes / _MINUTES) * (-1 if hemisphere in {"S", "W"} else 1)


def _written(degrees: float, width: int, hemispheres: str) -> tuple[str, str]:
    """48.1173, 2, ``NS`` -> ``4807.03800``, ``N``."""
    total = round(abs(degrees) * _MINUTES * 100_000)
    whole, rest = divmod(total, _MINUTES * 100_000)
    return f"{whole:0{width}d}{rest / 100_000:08.5f}", hemispheres[0 if degrees >= 0 else 1]
