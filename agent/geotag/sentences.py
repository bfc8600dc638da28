"""One NMEA 0183 sentence -> its strictly checked fields; anything doubtful is refused with a reason.

pynmea2 frames the sentence and names the fields; their values are checked here, because pynmea2 hands back what it
cannot convert (https://github.com/Knio/pynmea2/issues/43) and an 8-bit checksum lets one bad line in 256 through.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date
from enum import StrEnum

import pynmea2

from protocol.wire.enums import FixQuality

NS_PER_S = 1_000_000_000
_MPS_PER_KNOT = 1852 / 3600
_MAX_CHARS = 128
"""NMEA 0183 allows 82; receivers with many digits exceed it, garbage exceeds it by far."""

_SHAPE = re.compile(r"\$([A-Z0-9]{3,8})(?:,([^*$!]*))?\*([0-9A-Fa-f]{2})\s*", re.ASCII)
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d)(?:\.(\d{1,9}))?", re.ASCII)
_DATE = re.compile(r"(\d\d)(\d\d)(\d\d)", re.ASCII)
_LAT = re.compile(r"(\d\d)([0-5]\d(?:\.\d+)?)", re.ASCII)
_LON = re.compile(r"(\d\d\d)([0-5]\d(?:\.\d+)?)", re.ASCII)
_NUMBER = re.compile(r"-?\d{1,9}(?:\.\d{0,9})?", re.ASCII)

_TALKERS = frozenset({"GP", "GN", "GL", "GA", "GB", "BD", "GI", "GQ", "QZ"})
_TIMED = frozenset({"RMC", "GGA", "GLL", "GNS", "ZDA"})
_TIME_FIELD = {"GLL": 4, "GNS": 0, "ZDA": 0}
_GGA_FIELDS = 14
_RMC_FIELDS = range(11, 14)
_CENTURY_TURN = 80
"""GPS time begins in 1980: 80..99 are 19xx."""

_QUALITY = {
    "1": FixQuality.GNSS,
    "2": FixQuality.DGNSS,
    "3": FixQuality.GNSS,
    "4": FixQuality.RTK,
    "5": FixQuality.RTK,
    "6": FixQuality.ESTIMATED,
    "9": FixQuality.DGNSS,
}
_NO_POSITION = frozenset({"0", "7", "8"})
"""No fix, typed in by hand, simulator: none of them is where the vehicle is."""
_VOID_MODES = frozenset({"N", "M", "S"})


class Refusal(StrEnum):
    """Why a line or an epoch did not become (part of) a fix."""

    GARBAGE = "garbage"
    BAD_CHECKSUM = "bad_checksum"
    OTHER = "other"
    UNKNOWN_TALKER = "unknown_talker"
    BAD_FIELDS = "bad_fields"
    BAD_DATE = "bad_date"
    VOID = "void"


class RefusedError(ValueError):
    """A line that is not used; carries the reason for the count."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rmc:
    """Recommended minimum: position, speed, date; only with status A."""

    tod_ns: int
    """Time of day, UTC."""
    date: date
    lat_deg: float
    lon_deg: float
    speed_mps: float
    course_deg: float | None
    estimated: bool


@dataclass(frozen=True, slots=True)
class Gga:
    """Fix data: position and its quality; only with a quality that is a real position."""

    tod_ns: int
    lat_deg: float
    lon_deg: float
    alt_m: float | None
    hdop: float | None
    satellites: int | None
    quality: FixQuality


@dataclass(frozen=True, slots=True)
class Timed:
    """Another sentence of an epoch: it says only when the epoch began to arrive."""

    tod_ns: int


def parse_sentence(text: str) -> Rmc | Gga | Timed:
    """Parse one line.

    Raises RefusedError with the reason when the line is not a sound sentence of the kinds used here.
    """
    shape = _SHAPE.fullmatch(text) if len(text) <= _MAX_CHARS else None
    if shape is None:
        raise RefusedError(Refusal.GARBAGE)
    address = shape[1]
    body = text[1 : text.index("*")]
    if pynmea2.NMEASentence.checksum(body) != int(shape[3], 16):
        raise RefusedError(Refusal.BAD_CHECKSUM)
    # Proprietary and odd-length addresses never reach pynmea2: it raises IndexError or AttributeError on some.
    talker, kind = address[:2], address[2:]
    if address.startswith("P") or kind not in _TIMED:
        raise RefusedError(Refusal.OTHER)
    if talker not in _TALKERS:
        raise RefusedError(Refusal.UNKNOWN_TALKER)
    try:
        sentence = pynmea2.parse(text, check=True)
    except pynmea2.ParseError as error:
        raise RefusedError(Refusal.BAD_FIELDS) from error
    fields = [str(value) for value in sentence.data]
    if kind == "RMC":
        return _rmc(fields)
    if kind == "GGA":
        return _gga(fields)
    at = _TIME_FIELD[kind]
    return Timed(_time_of_day(fields[at] if len(fields) > at else ""))


def _rmc(fields: list[str]) -> Rmc:
    if len(fields) not in _RMC_FIELDS:
        raise RefusedError(Refusal.BAD_FIELDS)
    if fields[1] == "V":
        raise RefusedError(Refusal.VOID)
    mode = fields[11] if len(fields) > 11 else ""  # noqa: PLR2004 - mode came with NMEA 2.3
    if mode in _VOID_MODES:
        raise RefusedError(Refusal.VOID)
    if fields[1] != "A":
        raise RefusedError(Refusal.BAD_FIELDS)
    course = _optional(fields[7])
    if course is not None and not 0 <= course <= 360:  # noqa: PLR2004 - degrees
        raise RefusedError(Refusal.BAD_FIELDS)
    speed_kn = _number(fields[6])
    if speed_kn < 0:
        raise RefusedError(Refusal.BAD_FIELDS)
    lat_deg, lon_deg = _position(fields[2:6])
    return Rmc(
        tod_ns=_time_of_day(fields[0]),
        date=_date(fields[8]),
        lat_deg=lat_deg,
        lon_deg=lon_deg,
        speed_mps=speed_kn * _MPS_PER_KNOT,
        course_deg=None if course is None else course % 360,
        estimated=mode == "E",
    )


def _gga(fields: list[str]) -> Gga:
    if len(fields) != _GGA_FIELDS:
        raise RefusedError(Refusal.BAD_FIELDS)
    if fields[5] in _NO_POSITION:
        raise RefusedError(Refusal.VOID)
    quality = _QUALITY.get(fields[5])
    if quality is None:
        raise RefusedError(Refusal.BAD_FIELDS)
    hdop = _optional(fields[7])
    satellites = _optional(fields[6])
    if (hdop is not None and hdop < 0) or (satellites is not None and satellites < 0):
        raise RefusedError(Refusal.BAD_FIELDS)
    lat_deg, lon_deg = _position(fields[1:5])
    return Gga(
        tod_ns=_time_of_day(fields[0]),
        lat_deg=lat_deg,
        lon_deg=lon_deg,
        alt_m=_optional(fields[8]),
        # Some receivers write 0 for "not known" beside a valid position.
        hdop=hdop or None,
        satellites=None if satellites is None else int(satellites),
        quality=quality,
    )


def _position(fields: list[str]) -> tuple[float, float]:
    lat, lon = _LAT.fullmatch(fields[0]), _LON.fullmatch(fields[2])
    if lat is None or lon is None or fields[1] not in {"N", "S"} or fields[3] not in {"E", "W"}:
        raise RefusedError(Refusal.BAD_FIELDS)
    lat_deg, lon_deg = (int(m[1]) + float(m[2]) / 60 for m in (lat, lon))
    if lat_deg > 90 or lon_deg > 180:  # noqa: PLR2004 - degrees
        raise RefusedError(Refusal.BAD_FIELDS)
    return (-lat_deg if fields[1] == "S" else lat_deg), (-lon_deg if fields[3] == "W" else lon_deg)


def _time_of_day(field: str) -> int:
    match = _TIME.fullmatch(field)
    if match is None:
        # An empty time comes with an empty position: a receiver that has not found itself yet.
        raise RefusedError(Refusal.BAD_FIELDS if field else Refusal.VOID)
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
    return seconds * NS_PER_S + int((match[4] or "0").ljust(9, "0"))


def _date(field: str) -> date:
    match = _DATE.fullmatch(field)
    if match is None:
        raise RefusedError(Refusal.BAD_DATE)
    year = int(match[3])
    try:
        return date((1900 if year >= _CENTURY_TURN else 2000) + year, int(match[2]), int(match[1]))
    except ValueError as error:
        raise RefusedError(Refusal.BAD_DATE) from error


def _number(field: str) -> float:
    if _NUMBER.fullmatch(field) is None:
        raise RefusedError(Refusal.BAD_FIELDS)
    return float(field)


def _optional(field: str) -> float | None:
    return _number(field) if field else None
