"""NMEA sentences as receivers write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import reduce

from hw.ports import NmeaLine

START = datetime(2026, 5, 30, 12, 0, 0, tzinfo=UTC)
NS_PER_S = 1_000_000_000


def sentence(body: str) -> str:
    """Frame a body with its checksum."""
    return f"${body}*{reduce(lambda total, c: total ^ ord(c), body, 0):02X}"


def _position(lat_deg: float, lon_deg: float) -> str:
    lat, lon = abs(lat_deg), abs(lon_deg)
    lat_min, lon_min = round(lat % 1 * 60, 5), round(lon % 1 * 60, 5)
    return (
        f"{int(lat):02d}{min(lat_min, 59.99999):08.5f},{'S' if lat_deg < 0 else 'N'},"
        f"{int(lon):03d}{min(lon_min, 59.99999):08.5f},{'W' if lon_deg < 0 else 'E'}"
    )


def rmc(
    at: datetime = START,
    *,
    lat_deg: float = 45.0,
    lon_deg: float = -100.0,
    speed_kn: float = 20.0,
    course: str = "90.0",
    talker: str = "GN",
    status: str = "A",
    mode: str = ",A",
) -> str:
    where = _position(lat_deg, lon_deg)
    clock = at.strftime("%H%M%S.%f")[:9]
    return sentence(f"{talker}RMC,{clock},{status},{where},{speed_kn:.2f},{course},{at:%d%m%y},,{mode}")


def gga(
    at: datetime = START,
    *,
    lat_deg: float = 45.0,
    lon_deg: float = -100.0,
    quality: str = "1",
    hdop: str = "0.9",
    satellites: str = "09",
    talker: str = "GN",
) -> str:
    where = _position(lat_deg, lon_deg)
    clock = at.strftime("%H%M%S.%f")[:9]
    return sentence(f"{talker}GGA,{clock},{where},{quality},{satellites},{hdop},12.0,M,-30.0,M,,")


def epoch_lines(
    second: float, *, t_mono_ns: int | None = None, at: datetime | None = None, **where
) -> list[NmeaLine]:
    """RMC and GGA of an epoch ``second`` seconds after the start, on both clocks unless told otherwise."""
    at = at or START + timedelta(seconds=second)
    t_ns = round(second * NS_PER_S) if t_mono_ns is None else t_mono_ns
    return [NmeaLine(t_ns, rmc(at, **where)), NmeaLine(t_ns + 20_000_000, gga(at, **where))]
