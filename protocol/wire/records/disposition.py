"""``disposition/1``: what an officer did about a hit.

A disposition ``confirmed`` cannot be constructed or decoded unless an officer compared characters, region and vehicle
with the pictures, and recorded who confirmed the entry.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import model_validator

from protocol.wire.codec import NAMED, U63, Flag, Id16, Part, Text32, Text64, Text256, key
from protocol.wire.enums import DispositionAction
from protocol.wire.parts import Place, Retention, TimeQuality
from protocol.wire.registry import Column, Priority, Projection, RecordBody, RecordTime, RecordType, Value


class Checks(Part):
    """What the officer compared with the pictures: equal, different, or nil for not compared."""

    characters: Annotated[Flag | None, key("chr")]
    region: Annotated[Flag | None, key("js")]
    vehicle: Annotated[Flag | None, key("veh")]

    @property
    def all_equal(self) -> bool:
        """True if all three were compared and are equal."""
        return self.characters is True and self.region is True and self.vehicle is True


class Disposition(RecordBody):
    """The body of a disposition."""

    SCHEMA: ClassVar[str] = "disposition/1"

    hit_id: Annotated[Id16, key("hit")]
    action: Annotated[DispositionAction, NAMED, key("act")]
    officer: Annotated[Text32, key("who")]
    """Badge number; empty for the acknowledge button and for ``expired``."""
    checks: Annotated[Checks, key("chk")]
    reason: Annotated[Text32, key("why")]
    """Code of the reason why it was rejected or expired; empty for other actions."""
    confirming_agency: Annotated[Text64, key("cagy")]
    """Who confirmed the entry; needed for ``confirmed``."""
    reference: Annotated[Text64, key("ref")]
    """Reference of that confirmation; needed for ``confirmed``."""
    outcome: Annotated[Text32, key("out")]
    """Code of the outcome; empty for other actions."""
    note: Annotated[Text256, key("note")]
    utc_us: Annotated[U63 | None, key("t")]
    time: Annotated[TimeQuality, key("tq")]
    mono_us: Annotated[U63, key("mono")]
    place: Annotated[Place, key("gps")]
    shift_id: Annotated[Id16 | None, key("shift")]
    retention: Annotated[Retention, key("ret")]

    @model_validator(mode="after")
    def _complete(self) -> Self:
        match self.action:
            case DispositionAction.CONFIRMED:
                named = self.officer.strip() and self.confirming_agency.strip() and self.reference.strip()
                if not (self.checks.all_equal and named):
                    raise ValueError(
                        "confirmed needs an officer, characters, region and vehicle compared and equal, the confirming"
                        " agency and its reference"
                    )
            case DispositionAction.REJECTED if not (self.officer.strip() and self.reason.strip()):
                raise ValueError("rejected needs an officer and a reason")
            case DispositionAction.OUTCOME if not (self.officer.strip() and self.outcome.strip()):
                raise ValueError("an outcome needs an officer and a code")
            case DispositionAction.EXPIRED if not self.reason.strip():
                raise ValueError("expired needs a reason")
            case _:
                pass
        return self


def _when(disposition: Disposition) -> RecordTime:
    time = disposition.time
    return RecordTime(disposition.mono_us, disposition.utc_us, time.source, time.uncertainty_ms)


def _export(disposition: Disposition) -> dict[str, Value]:
    checks = disposition.checks
    return {
        "hit_id": disposition.hit_id.hex(),
        "action": disposition.action.value,
        "officer": disposition.officer,
        "characters": checks.characters,
        "region": checks.region,
        "vehicle": checks.vehicle,
        "reason": disposition.reason,
        "confirming_agency": disposition.confirming_agency,
        "reference": disposition.reference,
        "outcome": disposition.outcome,
        "note": disposition.note,
        "shift_id": None if disposition.shift_id is None else disposition.shift_id.hex(),
        "lat_deg": disposition.place.lat_deg,
        "lon_deg": disposition.place.lon_deg,
        "retention": disposition.retention.policy_class,
    }


RECORD_TYPE = RecordType(
    schema="disposition/1",
    model=Disposition,
    priority=Priority.URGENT,
    retention=lambda disposition: disposition.retention.policy_class,
    when=_when,
    projection=Projection(
        "dispositions",
        (
            Column("hit_id", bytes, lambda disposition: disposition.hit_id, indexed=True),
            Column("action", str, lambda disposition: disposition.action.value),
            Column("officer", str, lambda disposition: disposition.officer),
            Column("reason", str, lambda disposition: disposition.reason),
            Column("outcome", str, lambda disposition: disposition.outcome),
        ),
    ),
    export=_export,
)
