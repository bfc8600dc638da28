"""Bodies of records of the simulated month; everything about which no report asks is the same in all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.wire.enums import (
    DispositionAction,
    FixQuality,
    GeotagMethod,
    HitPriority,
    HitStage,
    IncidentStage,
    MatchRule,
    RegionMatch,
    ShiftStage,
    TimeSource,
)
from protocol.wire.parts import PictureRef, Place, Retention, TimeQuality
from protocol.wire.records.audit import Audit
from protocol.wire.records.coverage import Coverage
from protocol.wire.records.disposition import Checks, Disposition
from protocol.wire.records.hit import Hit
from protocol.wire.records.incident import Incident
from protocol.wire.records.purge import Purge
from protocol.wire.records.read import Read
from protocol.wire.records.shift import Shift
from protocol.wire.records.track_point import TrackPoints

if TYPE_CHECKING:
    from tests.month.truth import TrueHit, TrueIncident, TrueRead
    from tests.month.world import Planned

TIME = TimeQuality(source=TimeSource.GNSS, uncertainty_ms=150)
SOFTWARE, MODELS = "patrol-lpr month", ("plate-det@00000000", "plate-ocr@00000000")
CONFIDENCE_E4 = 9500
_EQUAL = Checks(characters=True, region=True, vehicle=True)
_NOT_COMPARED = Checks(characters=None, region=None, vehicle=None)


def mono_us(utc_us: int) -> int:
    """The monotonic clock began at midnight UTC."""
    return utc_us % 86_400_000_000


def e7(degrees: float) -> int:
    """Degrees as on the wire."""
    return round(degrees * 10**7)


def place(lat_deg: float, lon_deg: float) -> Place:
    """A good fix."""
    return Place(
        method=GeotagMethod.INTERPOLATED,
        lat_e7=e7(lat_deg),
        lon_e7=e7(lon_deg),
        error_cm=450,
        fix_age_ms=100,
        speed_cmps=1000,
        course_cdeg=9000,
        alt_cm=1200,
        hdop_c=90,
        satellites=9,
        quality=FixQuality.GNSS,
    )


def when(utc_us: int) -> dict[str, Any]:
    """Time of a record."""
    return {"utc_us": utc_us, "time": TIME, "mono_us": mono_us(utc_us)}


def read_body(read: TrueRead, number: int, pictures: tuple[PictureRef, ...] = ()) -> Read:
    mono = mono_us(read.utc_us)
    return Read(
        **when(read.utc_us),
        camera="front",
        camera_role="front",
        mono_first_us=mono,
        mono_last_us=mono + 400_000,
        n_sightings=6,
        n_agreeing=5,
        single_frame=False,
        text=read.plate,
        raw=read.plate,
        confidence_e4=CONFIDENCE_E4,
        char_confidence_u8=bytes([250]) * len(read.plate),
        alternatives=(),
        region=read.region,
        region_confidence_e4=9000,
        box_px=(10, 10, 42, 26),
        frame_px=(64, 48),
        place=place(read.lat_deg, read.lon_deg),
        track_id=number,
        pictures=pictures,
        software=SOFTWARE,
        models=MODELS,
        retention=Retention(policy_class=read.retention),
        policy="example/1",
    )


def hit_body(hit: TrueHit, read: TrueRead, stage: HitStage, pictures: tuple[PictureRef, ...] = ()) -> Hit:
    return Hit(
        **when(hit.utc_us),
        hit_id=hit.hit_id,
        stage=stage,
        alerted=not hit.list_stale,
        read_id=hit.read_id,
        camera="front",
        camera_role="front",
        text=hit.text,
        confidence_e4=CONFIDENCE_E4,
        char_confidence_u8=bytes([250]) * len(hit.text),
        region=read.region,
        region_confidence_e4=9000,
        n_agreeing=5,
        list_id=hit.list_id,
        list_name=hit.list_id.capitalize(),
        list_owner=hit.list_owner,
        list_version=hit.list_version,
        list_as_of_us=hit.list_as_of_us,
        list_stale=hit.list_stale,
        entry_id=f"e-{hit.listed_text}",
        listed_text=hit.listed_text,
        listed_region=read.region,
        listed_reason="stolen vehicle",
        rule=MatchRule(hit.rule),
        probability_e4=CONFIDENCE_E4 if hit.rule == "exact" else 700,
        region_match=RegionMatch.EQUAL,
        priority=HitPriority.HIGH,
        others=(),
        place=place(read.lat_deg, read.lon_deg),
        pictures=pictures,
        policy="example/1",
        software=SOFTWARE,
        models=MODELS[1:],
        retention=Retention(policy_class="hit"),
    )


def disposition_body(hit: TrueHit, action: DispositionAction, utc_us: int) -> Disposition:
    confirmed = action is DispositionAction.CONFIRMED
    reason = {DispositionAction.REJECTED: hit.reason, DispositionAction.EXPIRED: "overflow"}.get(action, "")
    return Disposition(
        **when(utc_us),
        hit_id=hit.hit_id,
        action=action,
        officer="" if action is DispositionAction.EXPIRED else hit.officer,
        checks=_EQUAL if confirmed else _NOT_COMPARED,
        reason=reason,
        confirming_agency=hit.list_owner if confirmed else "",
        reference=f"R-{hit.hit_id.hex()[:8]}" if confirmed else "",
        outcome=hit.outcome if action is DispositionAction.OUTCOME else "",
        note="",
        place=place(44.0, -100.0),
        shift_id=hit.shift_id,
        retention=Retention(policy_class="hit"),
    )


def incident_body(incident: TrueIncident, stage: IncidentStage, utc_us: int, revision: int) -> Incident:
    opened = stage is IncidentStage.OPENED
    return Incident(
        **when(incident.utc_us),
        incident_id=incident.incident_id,
        revision=revision,
        stage=stage,
        shift_id=incident.shift_id,
        place=place(incident.lat_deg, incident.lon_deg),
        where="milestone 12",
        category=incident.category,
        case_number=incident.case_number,
        notes=("Vehicle found parked.",) if utc_us else (),
        reads=incident.reads,
        hits=incident.hits,
        people=("RMS 1881",),
        contribution="" if opened else incident.contribution,
        outcome="" if opened else incident.outcome,
        retention=Retention(policy_class="incident"),
    )


def shift_body(
    planned: Planned | None,
    *,
    badge: str,
    unit: str,
    shift_id: bytes,
    stage: ShiftStage,
    revision: int,
    utc_us: int,
    started_us: int,
    hours: tuple[tuple[str, int], ...],
    incidents: int,
    unanswered: int,
) -> Shift:
    worked_s = (utc_us - started_us) // 1_000_000
    wanted = {} if planned is None else dict(planned.hours)
    ended = stage is ShiftStage.ENDED
    return Shift(
        **when(utc_us),
        shift_id=shift_id,
        revision=revision,
        stage=stage,
        badge=badge,
        role="driver",
        method="pin",
        training="valid",
        crew=(),
        vehicle=unit,
        zone="" if planned is None else planned.parts[0].zone,
        checkpoint="",
        task="patrol",
        equipment=() if planned is None else planned.parts[0].equipment,
        roster_version=1,
        planned_id="" if planned is None else planned.id,
        planned_us=None if planned is None else (planned.starts_us, planned.ends_us),
        overtime_class="" if planned is None else planned.overtime_class,
        started_us=started_us,
        worked_s=worked_s,
        unmeasured=0,
        hours=tuple((name, wanted.get(name), seconds) for name, seconds in hours),
        overtime_s=None if planned is None else max(0, worked_s - planned.planned_s),
        overlaps=(),
        end_reason="signed_off" if ended else "",
        automatic=False,
        incidents=incidents,
        unanswered=unanswered if ended else 0,
        retention=Retention(policy_class="shift"),
    )


def coverage_body(
    period_id: bytes,
    shift_id: bytes,
    ends_us: int,
    length_us: int,
    *,
    zones: tuple[tuple[str, int, int, int], ...],
    totals: tuple[int, int, int],
) -> Coverage:
    distance_m, located_ms, unlocated_ms = totals
    return Coverage(
        utc_us=ends_us,
        time=TIME,
        # The period may have begun before midnight, where the clock of the month starts again.
        mono_us=mono_us(ends_us) + length_us,
        mono_first_us=mono_us(ends_us),
        period_id=period_id,
        shift_id=shift_id,
        roster_version=1,
        zones=zones,
        distance_m=distance_m,
        located_ms=located_ms,
        unlocated_ms=unlocated_ms,
        outages=0,
        jumps=0,
        reads_unlocated=0,
        retention=Retention(policy_class="coverage"),
    )


def track_body(shift_id: bytes, utc_us: int, lat_deg: float, lon_deg: float) -> TrackPoints:
    return TrackPoints(
        **when(utc_us),
        shift_id=shift_id,
        points=((0, e7(lat_deg), e7(lon_deg), 450, 1000),),
        retention=Retention(policy_class="track"),
    )


def audit_body(n: int, prev: bytes, utc_us: int, **values: str) -> Audit:
    given: dict[str, Any] = {"who": "unit", "obj": "", "purpose": "", "case_number": "", "outcome": "ok", **values}
    return Audit(n=n, prev=prev, **when(utc_us), **given)


def purge_body(utc_us: int, reads: int) -> Purge:
    return Purge(
        policy="example/1",
        records=(("read/1", reads),),
        pictures=0,
        first_due_us=utc_us - 4_000_000,
        deleted_us=utc_us,
        time=TIME,
        mono_us=mono_us(utc_us),
        reason="expired",
    )
