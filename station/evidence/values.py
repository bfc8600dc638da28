"""The values of a record in plain words: which are shown, and how each is written.

``verify.js`` writes them in the same way from the signed bytes and compares: a format that is changed here is changed
there, and ``tests/browser/test_evidence_page.py`` compares the two.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from protocol.wire.codec import Plain, unpack

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_US = 253_402_300_799_999_999
UNKNOWN = "not known"
MISSING = object()
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\uffff"
    "\U000e0000-\U000e007f]"
)
"""Characters without a glyph, or that change the order of others."""


@dataclass(frozen=True, slots=True)
class Row:
    """One value that is shown."""

    label: str
    path: str
    """Keys on the wire, joined by dots."""
    form: str
    """Name of the format."""


@dataclass(frozen=True, slots=True)
class Value:
    """A row with its text."""

    row: Row
    text: str


def printed(text: str) -> str:
    """Return a text in which hidden characters are written as their numbers: a page shows what is there."""
    return _HIDDEN.sub(lambda found: f"\\u{{{ord(found[0]):x}}}", text)


def _text(value: Any) -> str:
    return printed(str(value)) if value else "none"


def _percent(value: int) -> str:
    return f"{value // 100}.{value % 100:02} %"


def _utc(value: int) -> str:
    if not 0 <= value <= _MAX_US:
        return f"{value} us"
    return (_EPOCH + timedelta(microseconds=value)).strftime("%Y-%m-%d %H:%M:%S.%f UTC").lstrip()


def _scaled(value: int, digits: int, unit: str) -> str:
    sign, size = ("-" if value < 0 else ""), abs(value)
    step: int = 10**digits
    return f"{sign}{size // step}.{size % step:0{digits}}{unit}"


def _texts(value: list[list[Any]]) -> str:
    return "; ".join(f"{printed(str(text))} ({_percent(share)})" for text, share in value) or "none"


_FORMS: dict[str, Any] = {
    "text": _text,
    "list": lambda value: "; ".join(printed(str(one)) for one in value) or "none",
    "int": str,
    "percent": _percent,
    "utc": _utc,
    "due": lambda value: _utc(value) if value else "none",
    "degrees": lambda value: _scaled(value, 7, "°"),
    "centimetres": lambda value: _scaled(value, 2, " m"),
    "centimetres_per_s": lambda value: _scaled(value, 2, " m/s"),
    "centidegrees": lambda value: _scaled(value, 2, "°"),
    "milliseconds": lambda value: f"{value} ms",
    "flag": lambda value: "yes" if value else "no",
    "bytes": lambda value: value.hex() or "none",
    "texts": _texts,
    "box": lambda value: f"{value[0]}, {value[1]} to {value[2]}, {value[3]}",
    "size": lambda value: f"{value[0]} x {value[1]}",
}


def written(value: Plain, form: str) -> str:
    """Return how a value is shown."""
    return UNKNOWN if value is None else str(_FORMS[form](value))


def values_of(payload: bytes) -> list[Value]:
    """Return the values of a record's signed bytes that are shown; raises WireError for bytes that are no record."""
    fields = unpack(payload)
    rows = (*_ENVELOPE, *ROWS.get(str(fields["v"]), ()))
    found = ((row, at(fields, row.path)) for row in rows)
    # A key that the unit left out has its default, which is nothing to show.
    return [Value(row, written(value, row.form)) for row, value in found if value is not MISSING]


def at(fields: Plain, path: str) -> Any:
    """Return the value at a path; ``MISSING`` if there is none."""
    found: Any = fields
    for name in path.split("."):
        found = found.get(name, MISSING) if isinstance(found, dict) else MISSING
    return found


_ENVELOPE = (
    Row("Type of record", "v", "text"),
    Row("Unit (vehicle)", "dev", "text"),
    Row("Agency of the unit", "agy", "text"),
    Row("Number of the record in the unit's series", "seq", "int"),
    Row("Id of the record", "id", "bytes"),
)
_TIME = (
    Row("Time (UTC)", "t", "utc"),
    Row("Where the time came from", "tq.src", "text"),
    Row("Uncertainty of the time", "tq.unc_ms", "milliseconds"),
)
_PLACE = (
    Row("Latitude", "gps.lat", "degrees"),
    Row("Longitude", "gps.lon", "degrees"),
    Row("Error of the position (one sigma)", "gps.acc_cm", "centimetres"),
    Row("How the position was obtained", "gps.how", "text"),
    Row("Quality of the receiver's fix", "gps.fix", "text"),
    Row("Age of the fix", "gps.age_ms", "milliseconds"),
    Row("Satellites", "gps.sats", "int"),
    Row("Speed of the unit", "gps.spd_cms", "centimetres_per_s"),
    Row("Course of the unit", "gps.crs_cdeg", "centidegrees"),
)
_MADE_BY = (
    Row("Software of the unit", "sw", "text"),
    Row("Models that read the plate", "mdl", "list"),
    Row("Policy in force", "pol", "text"),
    Row("Retention class", "ret.cls", "text"),
)
ROWS: dict[str, tuple[Row, ...]] = {
    "read/1": (
        Row("Plate text, from all frames", "pl", "text"),
        Row("Probability that the whole text is correct", "cf", "percent"),
        Row("Text of the best single frame", "raw", "text"),
        Row("Other texts that the reader considered", "alt", "texts"),
        Row("Keyed hash in place of the text", "hsh", "bytes"),
        Row("State or country", "js", "text"),
        Row("Probability of the state", "jc", "percent"),
        Row("Frames with this plate", "n", "int"),
        Row("Frames that agree on the text", "na", "int"),
        Row("Read from a single frame only", "one", "flag"),
        *_TIME,
        *_PLACE,
        Row("Camera", "cam", "text"),
        Row("Direction of the camera", "cam_role", "text"),
        Row("Movement of the vehicle", "mot", "text"),
        Row("Place of the plate in the frame (pixels)", "box", "box"),
        Row("Size of the frame (pixels)", "frm", "size"),
        Row("Everything but the vehicle was removed from the overview", "msk", "flag"),
        Row("To be deleted after", "exp", "due"),
        *_MADE_BY,
    ),
    "hit/1": (
        Row("Stage", "stage", "text"),
        Row("The officers were alerted", "al", "flag"),
        Row("Plate text that was read", "pl", "text"),
        Row("Probability that the whole text is correct", "cf", "percent"),
        Row("State or country that was read", "js", "text"),
        Row("Listed plate", "lpl", "text"),
        Row("Listed state", "ljs", "text"),
        Row("Listed reason", "why", "text"),
        Row("List", "lsn", "text"),
        Row("Owner of the list", "lso", "text"),
        Row("Version of the list", "lsv", "int"),
        Row("The list was current at", "lst", "utc"),
        Row("The list was too old, or of unknown age", "old", "flag"),
        Row("Entry", "en", "text"),
        Row("How the read was matched", "rule", "text"),
        Row("Probability that the read is the listed plate", "pr", "percent"),
        Row("Comparison of the states", "jm", "text"),
        Row("Frames that agree on the text", "na", "int"),
        *_TIME,
        *_PLACE,
        Row("Id of the hit", "hit", "bytes"),
        Row("Id of the read", "rd", "bytes"),
        *_MADE_BY,
    ),
    "disposition/1": (
        Row("What was done", "act", "text"),
        Row("Officer (badge)", "who", "text"),
        Row("Characters compared with the picture: equal", "chk.chr", "flag"),
        Row("State compared with the picture: equal", "chk.js", "flag"),
        Row("Vehicle compared with the picture: equal", "chk.veh", "flag"),
        Row("Reason", "why", "text"),
        Row("Agency that confirmed the entry", "cagy", "text"),
        Row("Reference of the confirmation", "ref", "text"),
        Row("Outcome", "out", "text"),
        Row("Note", "note", "text"),
        *_TIME,
        Row("Latitude", "gps.lat", "degrees"),
        Row("Longitude", "gps.lon", "degrees"),
        Row("Id of the hit", "hit", "bytes"),
    ),
    "dating/1": _TIME,
}
