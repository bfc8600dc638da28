"""What of a record leaves the station: limited by the output's table, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from protocol.wire.records.disposition import Disposition
from protocol.wire.records.hit import Hit
from protocol.wire.records.read import Read
from station.query.export import flat_values, iso

if TYPE_CHECKING:
    from collections.abc import Iterable

    from station.outputs.config import OutputTable
    from station.query.stored import StoredRecord

LEAD = "a lead, not a fact: compare plate, state and vehicle, and confirm the entry with its agency"
_PLATES = frozenset({"plate", "raw", "text_hash", "entry", "listed_plate", "listed_region", "listed_reason"})
_POSITIONS = frozenset({"lat_deg", "lon_deg", "error_m", "place_method"})
_OFFICERS = frozenset({"officer", "shift_id", "note"})
_US_PER_S = 1_000_000


@dataclass(frozen=True, slots=True)
class Event:
    """A record on its way to another system."""

    stored: StoredRecord

    @property
    def id(self) -> str:
        """The same at every attempt; receivers know duplicates by it."""
        return f"{self.stored.unit}-{self.stored.record_id.hex()}"

    @property
    def schema(self) -> str:
        """Type of the record."""
        return self.stored.record.envelope.schema_id

    @property
    def type(self) -> str:
        """What happened, such as ``hit.preview``."""
        body = self.stored.body
        if isinstance(body, Hit):
            return f"hit.{body.stage.value}"
        if isinstance(body, Disposition):
            return f"disposition.{body.action.value}"
        return self.schema.partition("/")[0]


def is_shared(stored: StoredRecord, table: OutputTable, wanted: Iterable[str], now_us: int) -> bool:
    """True if the table shares the record, and no policy forbids to keep it by now.

    Records of unknown types and those about employees are never shared.
    """
    body, envelope = stored.body, stored.record.envelope
    if stored.known is None or stored.known.personal or envelope.schema_id not in wanted:
        return False
    if isinstance(body, Read) and 0 < body.expires_utc_us <= now_us:
        return False
    if not _matches(envelope.unit, table.units) or not _matches(envelope.agency, table.agencies):
        return False
    return not isinstance(body, Hit) or _matches(body.list_id, table.lists)


def _matches(text: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def document(event: Event, table: OutputTable) -> dict[str, Any]:
    """Return what webhooks and JSON lines send."""
    stored, body = event.stored, event.stored.body
    hidden: frozenset[str] = frozenset()
    for is_given, names in ((table.plates, _PLATES), (table.positions, _POSITIONS), (table.officers, _OFFICERS)):
        hidden |= frozenset() if is_given else names
    data = {name: value for name, value in flat_values(stored).items() if name not in hidden}
    if isinstance(body, Hit):
        data |= {"list_age_s": list_age_s(stored, body), "notice": LEAD}
    return {
        "id": event.id,
        "type": event.type,
        "timestamp": iso(stored.received_us),
        "schema": event.schema,
        "data": data,
    }


def list_age_s(stored: StoredRecord, hit: Hit) -> int | None:
    """Age of the list when the plate was seen; None if it is unknown."""
    if stored.utc_us is None or hit.list_as_of_us is None:
        return None
    return max(0, stored.utc_us - hit.list_as_of_us) // _US_PER_S
