"""Builders of hits and dispositions for tests."""

from __future__ import annotations

from typing import Any

from agent.geotag.read_maker import picture_ref
from agent.geotag.units import place_of, probability_u8, time_quality, to_us
from protocol.wire.enums import (
    DispositionAction,
    HitPriority,
    HitStage,
    MatchRule,
    PictureKind,
    RegionMatch,
)
from protocol.wire.parts import Retention
from protocol.wire.records.disposition import Checks, Disposition
from protocol.wire.records.hit import Hit, OtherEntry
from tests.builders import BOOT, UTC_NS, WHEN, WHERE, make_picture

HIT_ID = bytes(range(16))
ALL_EQUAL = Checks(characters=True, region=True, vehicle=True)
NOT_COMPARED = Checks(characters=None, region=None, vehicle=None)


def make_hit_body(text: str = "7ABC123", **other: Any) -> Hit:
    pictures = (make_picture(content=b"plate"), make_picture(PictureKind.OVERVIEW, content=b"scene"))
    values: dict[str, Any] = {
        "hit_id": HIT_ID,
        "stage": HitStage.PREVIEW,
        "alerted": True,
        "read_id": BOOT[::-1],
        "camera": "front",
        "camera_role": "front",
        "utc_us": to_us(UTC_NS),
        "time": time_quality(WHEN.source, WHEN.uncertainty_ms),
        "mono_us": 5_000_000,
        "text": text,
        "confidence_e4": 9500,
        "char_confidence_u8": bytes([probability_u8(0.98)] * len(text)),
        "region": "US-CA",
        "region_confidence_e4": 9000,
        "n_agreeing": 2,
        "list_id": "stolen",
        "list_name": "Stolen vehicles",
        "list_owner": "Example State Police",
        "list_version": 17,
        "list_as_of_us": to_us(UTC_NS) - 3_600_000_000,
        "list_stale": False,
        "entry_id": "e-1",
        "listed_text": text,
        "listed_region": "US-CA",
        "listed_reason": "stolen vehicle",
        "rule": MatchRule.EXACT,
        "probability_e4": 9500,
        "region_match": RegionMatch.EQUAL,
        "priority": HitPriority.HIGH,
        "others": (
            OtherEntry(
                list_id="county",
                list_version=3,
                entry_id="e-9",
                rule=MatchRule.APPROXIMATE,
                probability_e4=400,
            ),
        ),
        "place": place_of(WHERE),
        "pictures": tuple(picture_ref(picture) for picture in pictures),
        "policy": "",
        "software": "patrol-lpr test",
        "models": ("plate-ocr@00000000",),
        "retention": Retention(policy_class="hit"),
    }
    return Hit(**{**values, **other})


def make_disposition(action: DispositionAction = DispositionAction.CONFIRMED, **other: Any) -> Disposition:
    """Complete for its action, unless ``other`` says otherwise."""
    confirmed = action is DispositionAction.CONFIRMED
    values: dict[str, Any] = {
        "hit_id": HIT_ID,
        "action": action,
        "officer": "" if action is DispositionAction.EXPIRED else "1234",
        "checks": ALL_EQUAL if confirmed else NOT_COMPARED,
        "reason": {DispositionAction.REJECTED: "misread", DispositionAction.EXPIRED: "overflow"}.get(action, ""),
        "confirming_agency": "Example State Police" if confirmed else "",
        "reference": "2026-0117" if confirmed else "",
        "outcome": "recovered" if action is DispositionAction.OUTCOME else "",
        "note": "",
        "utc_us": to_us(UTC_NS),
        "time": time_quality(WHEN.source, WHEN.uncertainty_ms),
        "mono_us": 65_000_000,
        "place": place_of(WHERE),
        "shift_id": BOOT,
        "retention": Retention(policy_class="hit"),
    }
    return Disposition(**{**values, **other})
