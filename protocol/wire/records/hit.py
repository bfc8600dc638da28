"""``hit/1``: a read that matches an entry of a hot list, or of an officer.

A hit is a lead, not a fact about the vehicle: only a ``disposition/1`` with the action ``confirmed`` says that officer
and entering agency compared it.  A hit is recorded once for each stage, under the same hit id.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from protocol.wire.codec import (
    E4,
    NAMED,
    U16,
    U63,
    Flag,
    Id16,
    Name64,
    Part,
    Text16,
    Text32,
    Text36,
    Text64,
    Text128,
    key,
)
from protocol.wire.enums import HitPriority, HitStage, MatchRule, RegionMatch
from protocol.wire.parts import PictureRef, Place, Retention, TimeQuality
from protocol.wire.registry import Column, Priority, Projection, RecordBody, RecordTime, RecordType, Value

MAX_OTHERS = 8
"""Maximum number of further entries that the same read matches."""


class OtherEntry(Part):
    """A further entry that the same read matches."""

    list_id: Annotated[Name64, key("ls")]
    list_version: Annotated[U63, key("lsv")]
    entry_id: Annotated[Text128, key("en")]
    rule: Annotated[MatchRule, NAMED, key("rule")]
    probability_e4: Annotated[E4, key("pr")]


class Hit(RecordBody):
    """The body of a hit."""

    SCHEMA: ClassVar[str] = "hit/1"

    hit_id: Annotated[Id16, key("hit")]
    stage: Annotated[HitStage, NAMED, key("stage")]
    alerted: Annotated[Flag, key("al")]
    """False if it was only recorded, for example because the list is stale."""
    read_id: Annotated[Id16, key("rd")]
    """Record id of the read; a withdrawn hit may have none."""
    camera: Annotated[Text36, key("cam")]
    camera_role: Annotated[Text36, key("cam_role")]
    utc_us: Annotated[U63 | None, key("t")]
    time: Annotated[TimeQuality, key("tq")]
    mono_us: Annotated[U63, key("mono")]
    """Start of the exposure of the frame in the pictures."""
    text: Annotated[Text32, key("pl")]
    confidence_e4: Annotated[E4, key("cf")]
    char_confidence_u8: Annotated[bytes, Field(strict=True, max_length=64), key("cc")]
    """One byte per character: probability times 255."""
    region: Annotated[Text16, key("js")]
    region_confidence_e4: Annotated[E4, key("jc")]
    n_agreeing: Annotated[U16, key("na")]
    list_id: Annotated[Name64, key("ls")]
    list_name: Annotated[Text64, key("lsn")]
    list_owner: Annotated[Text64, key("lso")]
    list_version: Annotated[U63, key("lsv")]
    list_as_of_us: Annotated[U63 | None, key("lst")]
    """UTC at which the list was current; nil if the list has no such time."""
    list_stale: Annotated[Flag, key("old")]
    """The list was older than the policy allows, or its age was unknown."""
    entry_id: Annotated[Text128, key("en")]
    listed_text: Annotated[Text32, key("lpl")]
    listed_region: Annotated[Text16, key("ljs")]
    listed_reason: Annotated[Text128, key("why")]
    rule: Annotated[MatchRule, NAMED, key("rule")]
    probability_e4: Annotated[E4, key("pr")]
    """Probability that the read is the listed plate."""
    region_match: Annotated[RegionMatch, NAMED, key("jm")]
    priority: Annotated[HitPriority, NAMED, key("prio")]
    others: Annotated[tuple[OtherEntry, ...], Field(max_length=MAX_OTHERS), key("more")]
    place: Annotated[Place, key("gps")]
    pictures: Annotated[tuple[PictureRef, ...], Field(max_length=8), key("img")]
    policy: Annotated[Text64, key("pol")]
    """Id and version of the policy in force; empty for none."""
    software: Annotated[Text64, key("sw")]
    models: Annotated[tuple[Text128, ...], Field(max_length=8), key("mdl")]
    retention: Annotated[Retention, key("ret")]

    @model_validator(mode="after")
    def _one_confidence_each(self) -> Self:
        if len(self.char_confidence_u8) != len(self.text):
            raise ValueError("a character without a confidence, or a confidence without a character")
        return self


def _when(hit: Hit) -> RecordTime:
    return RecordTime(hit.mono_us, hit.utc_us, hit.time.source, hit.time.uncertainty_ms)


def _export(hit: Hit) -> dict[str, Value]:
    return {
        "hit_id": hit.hit_id.hex(),
        "stage": hit.stage.value,
        "alerted": hit.alerted,
        "read_id": hit.read_id.hex(),
        "camera": hit.camera,
        "plate": hit.text,
        "confidence": hit.confidence_e4 / 1e4,
        "region": hit.region,
        "agreeing": hit.n_agreeing,
        "list": hit.list_id,
        "list_name": hit.list_name,
        "list_owner": hit.list_owner,
        "list_version": hit.list_version,
        "list_as_of_us": hit.list_as_of_us,
        "list_stale": hit.list_stale,
        "entry": hit.entry_id,
        "listed_plate": hit.listed_text,
        "listed_region": hit.listed_region,
        "listed_reason": hit.listed_reason,
        "rule": hit.rule.value,
        "probability": hit.probability_e4 / 1e4,
        "region_match": hit.region_match.value,
        "priority": hit.priority.value,
        "lat_deg": hit.place.lat_deg,
        "lon_deg": hit.place.lon_deg,
        "error_m": hit.place.error_m,
        "policy": hit.policy,
        "retention": hit.retention.policy_class,
    }


RECORD_TYPE = RecordType(
    schema="hit/1",
    model=Hit,
    priority=Priority.URGENT,
    retention=lambda hit: hit.retention.policy_class,
    when=_when,
    pictures=lambda hit: hit.pictures,
    projection=Projection(
        "hits",
        (
            Column("hit_id", bytes, lambda hit: hit.hit_id, indexed=True),
            Column("stage", str, lambda hit: hit.stage.value),
            Column("read_id", bytes, lambda hit: hit.read_id, indexed=True),
            Column("text", str, lambda hit: hit.text, indexed=True),
            Column("list_id", str, lambda hit: hit.list_id),
            Column("listed_text", str, lambda hit: hit.listed_text),
            Column("priority", str, lambda hit: hit.priority.value),
            Column("list_name", str, lambda hit: hit.list_name),
            Column("list_owner", str, lambda hit: hit.list_owner),
            Column("list_version", int, lambda hit: hit.list_version),
            Column("list_as_of_us", int, lambda hit: hit.list_as_of_us),
            Column("rule", str, lambda hit: hit.rule.value),
        ),
    ),
    export=_export,
)
