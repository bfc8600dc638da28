"""Regions and dates as lists write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

UNKNOWN = b"?"
_MAX_KNOWN = 200_000
_STATES = {
    "AL": "ALABAMA", "AK": "ALASKA", "AZ": "ARIZONA", "AR": "ARKANSAS", "CA": "CALIFORNIA", "CO": "COLORADO",
    "CT": "CONNECTICUT", "DE": "DELAWARE", "DC": "DISTRICT OF COLUMBIA", "FL": "FLORIDA", "GA": "GEORGIA",
    "HI": "HAWAII", "ID": "IDAHO", "IL": "ILLINOIS", "IN": "INDIANA", "IA": "IOWA", "KS": "KANSAS",
    "KY": "KENTUCKY", "LA": "LOUISIANA", "ME": "MAINE", "MD": "MARYLAND", "MA": "MASSACHUSETTS",
    "MI": "MICHIGAN", "MN": "MINNESOTA", "MS": "MISSISSIPPI", "MO": "MISSOURI", "MT": "MONTANA",
    "NE": "NEBRASKA", "NV": "NEVADA", "NH": "NEW HAMPSHIRE", "NJ": "NEW JERSEY", "NM": "NEW MEXICO",
    "NY": "NEW YORK", "NC": "NORTH CAROLINA", "ND": "NORTH DAKOTA", "OH": "OHIO", "OK": "OKLAHOMA",
    "OR": "OREGON", "PA": "PENNSYLVANIA", "RI": "RHODE ISLAND", "SC": "SOUTH CAROLINA", "SD": "SOUTH DAKOTA",
    "TN": "TENNESSEE", "TX": "TEXAS", "UT": "UTAH", "VT": "VERMONT", "VA": "VIRGINIA", "WA": "WASHINGTON",
    "WV": "WEST VIRGINIA", "WI": "WISCONSIN", "WY": "WYOMING",
}  # fmt: skip
_PROVINCES = ("AB", "BC", "MB", "NB", "NF", "NL", "NS", "NT", "NU", "ON", "PE", "PQ", "QC", "SK", "YT", "YK")
_MEXICO = ("MX", "MEX", "MEXICO", "MM")
REGIONS: dict[str, str] = {
    **{code: f"US-{code}" for code in _STATES},
    **{f"US-{code}": f"US-{code}" for code in _STATES},
    **{name: f"US-{code}" for code, name in _STATES.items()},
    **dict.fromkeys(_PROVINCES, "CA"),
    **dict.fromkeys(("CANADA", "CAN", "CA-CANADA"), "CA"),
    **dict.fromkeys(_MEXICO, "MX"),
    "EU": "EU",
    "BR": "BR",
}
"""Two-letter codes are US states first: ``CA`` is California, as in every US list; Canada is ``CANADA``."""
_EMPTY = frozenset({"", "?", "-", "--", "UNK", "UNKNOWN", "NONE", "N/A", "XX"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORMATS = (
    (re.compile(r"\d{8}"), "%Y%m%d"),
    (re.compile(r"\d{1,2}/\d{1,2}/\d{4}"), "%m/%d/%Y"),
    (re.compile(r"\d{1,2}/\d{1,2}/\d{4} \d{1,2}:\d{2}"), "%m/%d/%Y %H:%M"),
    (re.compile(r"\d{1,2}\.\d{1,2}\.\d{4}"), "%d.%m.%Y"),
)
_NEVER = frozenset({"", "NEVER", "NONE", "NONEXP", "INDEFINITE", "00000000", "99999999"})
_DAY_US = 86_400_000_000


class RegionTable(dict[bytes, bytes]):
    """Text in the file -> region; what is not known is kept as it is, and counted."""

    def __init__(self, told: dict[str, str], default: str) -> None:
        super().__init__()
        self._told = {name.strip().upper(): region for name, region in told.items()}
        self._default = default.encode() or UNKNOWN
        self.unknown: set[str] = set()

    def __missing__(self, text: bytes) -> bytes:
        name = " ".join(text.decode().split()).upper()
        if name in _EMPTY:
            region = self._default
        else:
            known = self._told.get(name) or REGIONS.get(name)
            if known is None:
                self.unknown.add(name[:20])
            region = (known or name[:20]).encode()
        if len(self) < _MAX_KNOWN:
            self[text] = region
        return region


class DateTable(dict[bytes, "bytes | None"]):
    """Text in the file -> microseconds UTC as text; empty for never, None for what is no date."""

    def __missing__(self, text: bytes) -> bytes | None:
        found = parse_expiry(text.decode())
        if len(self) < _MAX_KNOWN:
            self[text] = found
        return found


def parse_expiry(text: str) -> bytes | None:
    """Return microseconds UTC as text, empty for no expiry; None for anything else.

    A date without a time is valid to its end, in UTC.
    """
    text = text.strip()
    if text.upper() in _NEVER:
        return b""
    when, is_day = None, True
    for shape, form in _FORMATS:
        if shape.fullmatch(text):
            try:
                when = datetime.strptime(text, form).replace(tzinfo=UTC)
            except ValueError:
                return None
            is_day = "%H" not in form
    if when is None:
        try:
            when = datetime.fromisoformat(text)
        except ValueError:
            return None
        is_day = len(text) == len("2026-01-01")
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
    try:
        us = (when - _EPOCH) // timedelta(microseconds=1) + (_DAY_US if is_day else 0)
    except OverflowError:
        return None
    return str(us).encode() if us > 0 else None
