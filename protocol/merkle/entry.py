"""An entry of the station's audit log: the exact bytes that are stored and hashed, as canonical JSON.

JSON, because whoever audits a log should be able to read it without this program.
"""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from protocol.errors import EntryError

MAX_ENTRY_BYTES = 49_152
"""A question by very many plates is refused rather than recorded incompletely."""
_FORMAT = 1
_Whole = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
_Text = Annotated[str, Field(strict=True)]


@dataclass(frozen=True, slots=True, config=ConfigDict(extra="forbid"))
class LogEntry:
    """Who did what, when, and why."""

    utc_us: _Whole
    who: _Text
    what: _Text
    filter: _Text
    count: Annotated[int, Field(strict=True)]
    purpose: _Text = ""
    case_number: _Text = ""
    document: Annotated[str, Field(strict=True, pattern=r"^([0-9a-f]{64})?$")] = ""
    """SHA-256 of the certificate, hold or release that the entry is about."""


_ADAPTER = TypeAdapter(LogEntry)


_KEYS = {
    "t": "utc_us", "who": "who", "what": "what", "filter": "filter", "n": "count", "why": "purpose",
    "case": "case_number", "doc": "document",
}  # fmt: skip
"""Keys of the JSON, and the fields."""
_OPTIONAL = frozenset({"why", "case", "doc"})


def encode_entry(entry: LogEntry) -> bytes:
    """Return the bytes of an entry.  Raises EntryError if there are too many."""
    told = {name: getattr(entry, field) for name, field in _KEYS.items()}
    kept = {name: value for name, value in told.items() if value or name not in _OPTIONAL}
    data = json.dumps({"v": _FORMAT, **kept}, sort_keys=True, separators=(",", ":")).encode("ascii")
    if len(data) > MAX_ENTRY_BYTES:
        raise EntryError(
            f"an entry of {len(data):,} bytes, at most {MAX_ENTRY_BYTES:,} are recorded: ask for less at once"
        )
    return data


def decode_entry(data: bytes) -> LogEntry:
    """Return the entry.  Raises EntryError for anything but the bytes of one."""
    try:
        told: Any = json.loads(data) if len(data) <= MAX_ENTRY_BYTES else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or told.pop("v", None) != _FORMAT:
        raise EntryError("not an entry of the audit log, or of a later version")
    try:
        entry = _ADAPTER.validate_python({_KEYS.get(name, name): value for name, value in told.items()})
    except ValidationError:
        raise EntryError("not an entry of the audit log: a value is missing, unknown or invalid") from None
    if encode_entry(entry) != data:
        raise EntryError("not an entry of the audit log: not in its canonical form")
    return entry
