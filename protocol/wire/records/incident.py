"""``incident/1``: an incident, opened from a hit or by hand, with its outcome and what the reader contributed.

``incident_id`` and ``revision`` identify a message; a higher revision replaces the lower ones.  Officers are not named:
the shift is.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from protocol.wire.codec import NAMED, U16, U63, Id16, Text16, Text36, Text64, Text128, Text256, key
from protocol.wire.enums import IncidentStage
from protocol.wire.parts import Place, Retention, TimeQuality
from protocol.wire.registry import Column, Priority, Projection, RecordBody, RecordTime, RecordType, Value

MAX_NOTES = 16
MAX_LINKS = 64
MAX_PEOPLE = 16
RETENTION_CLASS = "incident"
ANSWERS = ("none", "unknown")
"""Answers that every agency has, for outcome and contribution; its roster adds others."""


class Incident(RecordBody):
    """The body of an incident."""

    SCHEMA: ClassVar[str] = "incident/1"

    incident_id: Annotated[Id16, key("inc")]
    revision: Annotated[U16, key("rev")]
    stage: Annotated[IncidentStage, NAMED, key("st")]
    shift_id: Annotated[Id16, key("sh")]
    """Shift in which it was opened."""
    utc_us: Annotated[U63 | None, key("t")]
    """Time of the incident."""
    time: Annotated[TimeQuality, key("tq")]
    mono_us: Annotated[U63, key("mono")]
    place: Annotated[Place, key("gps")]
    where: Annotated[Text128, key("where")]
    """The place in words."""
    category: Annotated[Text36, key("cat")]
    case_number: Annotated[Text64, key("case")]
    notes: Annotated[tuple[Text256, ...], Field(max_length=MAX_NOTES), key("note")]
    """One string for each line."""
    reads: Annotated[tuple[Id16, ...], Field(max_length=MAX_LINKS), key("read")]
    hits: Annotated[tuple[Id16, ...], Field(max_length=MAX_LINKS), key("hit")]
    people: Annotated[tuple[Text64, ...], Field(max_length=MAX_PEOPLE), key("ppl")]
    """People involved, by reference to another system only."""
    contribution: Annotated[Text16, key("use")]
    """What the reader contributed; ``none`` and ``unknown`` are answers, empty is none."""
    outcome: Annotated[Text16, key("out")]
    """As ``contribution``."""
    retention: Annotated[Retention, key("ret")]

    @model_validator(mode="after")
    def _answered(self) -> Self:
        if self.stage is IncidentStage.CLOSED and not (self.contribution and self.outcome):
            raise ValueError("a closed incident must have an outcome and a contribution")
        return self


def _when(incident: Incident) -> RecordTime:
    return RecordTime(incident.mono_us, incident.utc_us, incident.time.source, incident.time.uncertainty_ms)


def _export(incident: Incident) -> dict[str, Value]:
    return {
        "incident": incident.incident_id.hex(),
        "revision": incident.revision,
        "stage": incident.stage.value,
        "shift": incident.shift_id.hex(),
        "lat_deg": incident.place.lat_deg,
        "lon_deg": incident.place.lon_deg,
        "error_m": incident.place.error_m,
        "where": incident.where,
        "category": incident.category,
        "case_number": incident.case_number,
        "notes": " / ".join(incident.notes),
        "reads": " ".join(read.hex() for read in incident.reads),
        "hits": " ".join(hit.hex() for hit in incident.hits),
        "people": " ".join(incident.people),
        "contribution": incident.contribution,
        "outcome": incident.outcome,
    }


RECORD_TYPE = RecordType(
    schema="incident/1",
    model=Incident,
    priority=Priority.URGENT,
    retention=lambda incident: incident.retention.policy_class,
    when=_when,
    projection=Projection(
        "incidents",
        (
            Column("incident_id", bytes, lambda incident: incident.incident_id, indexed=True),
            Column("shift_id", bytes, lambda incident: incident.shift_id, indexed=True),
            Column("category", str, lambda incident: incident.category),
            Column("outcome", str, lambda incident: incident.outcome),
            Column("lat_e7", int, lambda incident: incident.place.lat_e7),
            Column("lon_e7", int, lambda incident: incident.place.lon_e7),
        ),
    ),
    export=_export,
)
