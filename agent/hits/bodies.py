"""Hits and decisions -> bodies of records."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.geotag.read_maker import HIT, picture_ref
from agent.geotag.units import clamp, place_of, probability_e4, probability_u8, time_quality, to_us
from protocol.wire.codec import I63_MAX, U16_MAX
from protocol.wire.enums import HitPriority
from protocol.wire.parts import Retention
from protocol.wire.records import disposition as wire_disposition
from protocol.wire.records import hit as wire_hit

if TYPE_CHECKING:
    from agent.hits.records import Decision, Hit
    from agent.hotlist.records import Match
    from agent.records import Geotag, TimeTag


@dataclass(frozen=True, slots=True)
class HitBodies:
    """Makes bodies: the values that all hits of a process share."""

    software: str
    models: tuple[str, ...]

    def hit(self, hit: Hit, when: TimeTag, where: Geotag, policy: str = "") -> wire_hit.Hit:
        """Return the body of a hit at its present stage; ``policy`` is id and version of that in force."""
        match, plate = hit.match, hit.plate
        listed, entry = match.list, match.entry
        return wire_hit.Hit(
            hit_id=hit.hit_id,
            stage=hit.stage,
            alerted=hit.alerted,
            read_id=hit.read_id,
            camera=hit.camera,
            camera_role=hit.camera_role,
            utc_us=None if when.utc_ns is None else to_us(when.utc_ns),
            time=time_quality(when.source, when.uncertainty_ms),
            mono_us=to_us(hit.t_mono_ns),
            text=plate.text,
            confidence_e4=probability_e4(plate.confidence),
            char_confidence_u8=bytes(probability_u8(char.confidence) for char in plate.chars if char.symbol),
            region=plate.region,
            region_confidence_e4=probability_e4(plate.region_confidence),
            n_agreeing=clamp(hit.n_agreeing, 0, U16_MAX),
            list_id=listed.list_id,
            list_name=_text(listed.name, 64),
            list_owner=_text(listed.owner, 64),
            list_version=clamp(listed.version, 0, I63_MAX),
            list_as_of_us=clamp(listed.as_of_utc_us, 0, I63_MAX) if listed.as_of_utc_us else None,
            list_stale=hit.stale,
            entry_id=_text(entry.entry_id, 128),
            listed_text=_text(entry.text, 32),
            listed_region=_text(entry.region, 16),
            listed_reason=_text(entry.reason, 128),
            rule=match.rule,
            probability_e4=probability_e4(match.probability),
            region_match=match.region_match,
            priority=HitPriority(listed.priority.value),
            others=tuple(_other(other) for other in hit.others[: wire_hit.MAX_OTHERS]),
            place=place_of(where),
            pictures=tuple(picture_ref(picture) for picture in hit.pictures),
            policy=_text(policy, 64),
            software=self.software,
            models=self.models,
            retention=Retention(policy_class=HIT),
        )

    @staticmethod
    def disposition(decision: Decision, when: TimeTag, where: Geotag) -> wire_disposition.Disposition:
        """Return the body of a decision."""
        checks = decision.checks
        return wire_disposition.Disposition(
            hit_id=decision.hit_id,
            action=decision.action,
            officer=_text(decision.actor.badge, 32),
            checks=wire_disposition.Checks(
                characters=checks.characters, region=checks.region, vehicle=checks.vehicle
            ),
            reason=_text(decision.reason, 32),
            confirming_agency=_text(decision.confirming_agency, 64),
            reference=_text(decision.reference, 64),
            outcome=_text(decision.outcome, 32),
            note=_text(decision.note, 256),
            utc_us=None if when.utc_ns is None else to_us(when.utc_ns),
            time=time_quality(when.source, when.uncertainty_ms),
            mono_us=to_us(decision.t_mono_ns),
            place=place_of(where),
            shift_id=decision.actor.shift_id,
            retention=Retention(policy_class=HIT),
        )


def _other(match: Match) -> wire_hit.OtherEntry:
    return wire_hit.OtherEntry(
        list_id=match.list.list_id,
        list_version=clamp(match.list.version, 0, I63_MAX),
        entry_id=_text(match.entry.entry_id, 128),
        rule=match.rule,
        probability_e4=probability_e4(match.probability),
    )


def _text(value: str, max_chars: int) -> str:
    """What the wire takes: printable, of bounded length."""
    return "".join(c if c.isprintable() else " " for c in value)[:max_chars]
