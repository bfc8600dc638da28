"""Parses one NMEA 0183 sentence strictly; anything doubtful is refused with a reason.

A sentence is found wherever it starts: it may follow binary messages, TAG blocks and spaces.  The values are checked
here and not by pynmea2, which returns what it cannot convert as it is (https://github.com/Knio/pynmea2/issues/43); an
8-bit checksum misses one bad line in 256.  A sentence may have more or fewer fields than in its edition of the
standard, as long as every field that is used is present.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import pynmea2

from protocol.wire.enums import FixQuality

if TYPE_CHECKING:
    from collections.abc import Callable

NS_PER_S = 1_000_000_000
_MPS_PER_KNOT = 1852 / 3600
_MPS_PER_KMH = 1 / 3.6
_MAX_CHARS = 128
"""NMEA 0183 allows 82; some receivers exceed it by a few digits, garbage by far."""

_SENTENCE = re.compile(
    r"(?:\$|(?=!))(!?[A-Z0-9]{3,8})(?:,([^*$!\r\n]*))?\*([0-9A-Fa-f]{2})(?![0-9A-Za-z])", re.ASCII
)
_UNCHECKED = re.compile(r"\$[A-Z]{2}(RMC|GGA|GNS|GLL|ZDA|VTG)((?:,[^,*$!]*)+)$", re.ASCII)
"""NMEA 0183 had no checksum before version 1.5, and some receivers let it be switched off."""
_WHOLE = {"RMC": 11, "GGA": 14, "GNS": 12, "GLL": 6, "ZDA": 6, "VTG": 8}
"""Fields of a whole sentence: one that is cut off has no checksum, either."""
_TIME = re.compile(r"([01]\d|2[0-3])([0-5]\d)([0-5]\d|60)(?:\.(\d{0,12}))?", re.ASCII)
_LEAP_SECOND, _LAST_MINUTE = "60", ("23", "59")
"""A leap second is the last of a day, UTC; it has the same number as the first of the next one."""
_DATE = re.compile(r"(\d\d)(\d\d)(\d\d)", re.ASCII)
_DAY_MONTH = re.compile(r"\d{1,2}", re.ASCII)
_YEAR = re.compile(r"\d{4}", re.ASCII)
_LAT = re.compile(r"(\d{1,2})([0-5]\d(?:\.\d*)?)", re.ASCII)
_LON = re.compile(r"(\d{1,3})([0-5]\d(?:\.\d*)?)", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d{1,9}(?:\.\d{0,12})?|\.\d{1,12})", re.ASCII)
_CENTURY_TURN = 80
"""GPS time begins in 1980: 80..99 are 19xx."""

_RMC_MIN, _GGA_MIN, _GNS_MIN, _GLL_MIN, _ZDA_MIN, _VTG_MIN = 9, 10, 9, 6, 4, 8
"""Number of fields up to the last required one."""
_VTG_OLD = 4
"""Editions before 2.0 have no units between the numbers."""

_QUALITY: Final = {
    "1": FixQuality.GNSS,
    "2": FixQuality.DGNSS,
    "3": FixQuality.GNSS,
    "4": FixQuality.RTK,
    "5": FixQuality.RTK,
    "6": FixQuality.ESTIMATED,
    "9": FixQuality.DGNSS,
}
_MIN_SATELLITES = 3
"""With fewer satellites than a 2D fix needs, the receiver extrapolates."""
_NO_POSITION = frozenset({"0", "7", "8"})
"""No fix, manual input, simulator: not the vehicle's position."""
_MODE: Final = {
    "": FixQuality.GNSS,
    "A": FixQuality.GNSS,
    "P": FixQuality.GNSS,
    "C": FixQuality.GNSS,
    "U": FixQuality.GNSS,
    "D": FixQuality.DGNSS,
    "F": FixQuality.RTK,
    "R": FixQuality.RTK,
    "E": FixQuality.ESTIMATED,
}
"""Mode indicators of NMEA 2.3 and later; Quectel's C and U (caution, unsafe) are positions, too."""
_VOID_MODES = frozenset({"N", "M", "S"})
_BEST_FIRST = (FixQuality.RTK, FixQuality.DGNSS, FixQuality.GNSS, FixQuality.ESTIMATED)


class Refusal(StrEnum):
    """Why a line is not used."""

    GARBAGE = "garbage"
    BAD_CHECKSUM = "bad_checksum"
    NO_CHECKSUM = "no_checksum"
    OTHER = "other"
    BAD_FIELDS = "bad_fields"
    VOID = "void"


class RefusedError(ValueError):
    """A line that is not used, with the reason under which it is counted."""

    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason.value)
        self.reason = reason


class Kind(StrEnum):
    """The sentence types with position or time."""

    RMC = "RMC"
    GGA = "GGA"
    GNS = "GNS"
    GLL = "GLL"
    ZDA = "ZDA"
    VTG = "VTG"


@dataclass(frozen=True, slots=True)
class Sentence:
    """The fields of one sentence; None where it has none."""

    kind: Kind
    tod_ns: int | None = None
    """Time of day, UTC; VTG has none."""
    day: date | None = None
    bad_date: bool = False
    """True if the date is invalid; the position may still be valid."""
    void: bool = False
    """True if the receiver marked it as having no position."""
    place_deg: tuple[float, float] | None = None
    """Latitude and longitude, WGS 84."""
    speed_mps: float | None = None
    course_deg: float | None = None
    alt_m: float | None = None
    hdop: float | None = None
    satellites: int | None = None
    quality: FixQuality | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A sentence with a valid checksum inside a line."""

    address: str
    """Talker and kind; a leading ``!`` marks encapsulated data (AIS)."""
    fields: tuple[str, ...]
    before: int
    """Number of characters between it and the sentence before it in the line."""


def find_sentences(text: str) -> list[Found]:
    """Return all sentences with a valid checksum, wherever they start."""
    found, end = [], 0
    for match in _SENTENCE.finditer(text):
        if _is_sound(match):
            fields = tuple((match[2] or "").split(","))
            found.append(Found(match[1], fields, match.start() - end))
            end = match.end()
    return found


def refusal_of(text: str) -> Refusal:
    """Return why there is no sentence in a line: a wrong checksum, none, or no sentence at all."""
    if any(len(match[0]) <= _MAX_CHARS for match in _SENTENCE.finditer(text)):
        return Refusal.BAD_CHECKSUM
    match = _UNCHECKED.search(text)
    is_whole = match is not None and match[2].count(",") >= _WHOLE[match[1]]
    return Refusal.NO_CHECKSUM if is_whole else Refusal.GARBAGE


def parse_sentence(text: str) -> Sentence:
    """Parse the last sentence of a line.

    Raises RefusedError with the reason if there is none of a type that is used.
    """
    found = find_sentences(text)
    if not found:
        raise RefusedError(refusal_of(text))
    return parse_fields(found[-1])


def parse_fields(found: Found) -> Sentence:
    """Parse the fields of a sentence.  Raises RefusedError with the reason."""
    # Any talker: there are many of them (GP, GN, GB, BD, GQ, GI, IN, II, SN ...).
    parse = _PARSERS.get(found.address[2:])
    if parse is None or found.address.startswith(("P", "!")):
        raise RefusedError(Refusal.OTHER)
    return parse([field.strip() for field in found.fields])


def _is_sound(match: re.Match[str]) -> bool:
    body = match[0][1:].partition("*")[0]
    return len(match[0]) <= _MAX_CHARS and pynmea2.NMEASentence.checksum(body) == int(match[3], 16)


def _rmc(fields: list[str]) -> Sentence:
    _need(fields, _RMC_MIN)
    # The mode was added in NMEA 2.3; in the navigational status after it (4.1) many receivers always send V.
    mode = fields[11] if len(fields) > 11 else ""  # noqa: PLR2004 - as above
    day, bad = _date(fields[8])
    said = Sentence(Kind.RMC, _time_of_day(fields[0]), day, bad)
    if fields[1] == "V" or mode in _VOID_MODES:
        return replace(said, void=True)
    if fields[1] != "A":
        raise RefusedError(Refusal.BAD_FIELDS)
    return replace(
        said,
        place_deg=_position(fields[2:6]),
        speed_mps=_speed(fields[6], _MPS_PER_KNOT),
        course_deg=_course(fields[7]),
        quality=_quality_of(mode),
    )


def _gga(fields: list[str]) -> Sentence:
    _need(fields, _GGA_MIN)
    if fields[5] in _NO_POSITION:
        return Sentence(Kind.GGA, _time_of_day(fields[0]), void=True)
    quality = _QUALITY.get(fields[5])
    if quality is None:
        raise RefusedError(Refusal.BAD_FIELDS)
    satellites = _count(fields[6])
    if satellites is not None and satellites < _MIN_SATELLITES:
        quality = FixQuality.ESTIMATED
    return Sentence(
        Kind.GGA,
        _time_of_day(fields[0]),
        place_deg=_position(fields[1:5]),
        alt_m=_optional(fields[8]),
        hdop=_hdop(fields[7]),
        satellites=satellites,
        quality=quality,
    )


def _gns(fields: list[str]) -> Sentence:
    """One mode letter per constellation: the best of them is that of the position."""
    _need(fields, _GNS_MIN)
    tod_ns = _time_of_day(fields[0])
    modes = set(fields[5]) - _VOID_MODES
    if not modes:
        return Sentence(Kind.GNS, tod_ns, void=True)
    qualities = [_quality_of(mode) for mode in modes]
    return Sentence(
        Kind.GNS,
        tod_ns,
        place_deg=_position(fields[1:5]),
        alt_m=_optional(fields[8]),
        hdop=_hdop(fields[7]),
        satellites=_count(fields[6]),
        quality=min(qualities, key=_BEST_FIRST.index),
    )


def _gll(fields: list[str]) -> Sentence:
    """Time and status were added in NMEA 2.0; a position without them has no known time."""
    _need(fields, _GLL_MIN)
    tod_ns = _time_of_day(fields[4])
    mode = fields[6] if len(fields) > 6 else ""  # noqa: PLR2004 - the mode was added in NMEA 2.3
    if fields[5] == "V" or mode in _VOID_MODES:
        return Sentence(Kind.GLL, tod_ns, void=True)
    if fields[5] != "A":
        raise RefusedError(Refusal.BAD_FIELDS)
    return Sentence(Kind.GLL, tod_ns, place_deg=_position(fields[:4]), quality=_quality_of(mode))


def _zda(fields: list[str]) -> Sentence:
    _need(fields, _ZDA_MIN)
    said = Sentence(Kind.ZDA, _time_of_day(fields[0]))
    day, month, year = fields[1:4]
    if not (day or month or year):
        return said
    if not (_DAY_MONTH.fullmatch(day) and _DAY_MONTH.fullmatch(month) and _YEAR.fullmatch(year)):
        return replace(said, bad_date=True)
    try:
        return replace(said, day=date(int(year), int(month), int(day)))
    except ValueError:
        return replace(said, bad_date=True)


def _vtg(fields: list[str]) -> Sentence:
    if len(fields) == _VTG_OLD:
        return Sentence(Kind.VTG, speed_mps=_speed(fields[2], _MPS_PER_KNOT), course_deg=_course(fields[0]))
    _need(fields, _VTG_MIN)
    mode = fields[8] if len(fields) > 8 else ""  # noqa: PLR2004 - the mode was added in NMEA 2.3
    if mode in _VOID_MODES:
        return Sentence(Kind.VTG)
    speed_mps = _speed(fields[4], _MPS_PER_KNOT)
    if speed_mps is None:
        speed_mps = _speed(fields[6], _MPS_PER_KMH)
    return Sentence(Kind.VTG, speed_mps=speed_mps, course_deg=_course(fields[0]))


_PARSERS: Final[dict[str, Callable[[list[str]], Sentence]]] = {
    "RMC": _rmc,
    "GGA": _gga,
    "GNS": _gns,
    "GLL": _gll,
    "ZDA": _zda,
    "VTG": _vtg,
}


def _need(fields: list[str], count: int) -> None:
    if len(fields) < count:
        raise RefusedError(Refusal.BAD_FIELDS)


def _quality_of(mode: str) -> FixQuality:
    quality = _MODE.get(mode)
    if quality is None:
        raise RefusedError(Refusal.BAD_FIELDS)
    return quality


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
    if match is None or (match[3] == _LEAP_SECOND and (match[1], match[2]) != _LAST_MINUTE):
        # An empty time comes with an empty position: the receiver has no fix yet.
        raise RefusedError(Refusal.BAD_FIELDS if field else Refusal.VOID)
    seconds = int(match[1]) * 3600 + int(match[2]) * 60 + int(match[3])
    return seconds * NS_PER_S + int((match[4] or "0").ljust(9, "0")[:9])


def _date(field: str) -> tuple[date | None, bool]:
    """Return the date, and whether there was an invalid one."""
    match = _DATE.fullmatch(field)
    if match is None:
        return None, bool(field)
    year = int(match[3])
    try:
        day = date((1900 if year >= _CENTURY_TURN else 2000) + year, int(match[2]), int(match[1]))
    except ValueError:
        return None, True
    return day, False


def _speed(field: str, scale: float) -> float | None:
    value = _optional(field)
    if value is not None and value < 0:
        raise RefusedError(Refusal.BAD_FIELDS)
    return None if value is None else value * scale


def _course(field: str) -> float | None:
    course = _optional(field)
    if course is not None and not 0 <= course <= 360:  # noqa: PLR2004 - degrees
        raise RefusedError(Refusal.BAD_FIELDS)
    return None if course is None else course % 360


def _hdop(field: str) -> float | None:
    hdop = _optional(field)
    if hdop is not None and hdop < 0:
        raise RefusedError(Refusal.BAD_FIELDS)
    # Some receivers write 0 for "unknown" beside a valid position.
    return hdop or None


def _count(field: str) -> int | None:
    count = _optional(field)
    if count is not None and count < 0:
        raise RefusedError(Refusal.BAD_FIELDS)
    return None if count is None else int(count)


def _number(field: str) -> float:
    if _NUMBER.fullmatch(field) is None:
        raise RefusedError(Refusal.BAD_FIELDS)
    return float(field)


def _optional(field: str) -> float | None:
    return _number(field) if field else None
