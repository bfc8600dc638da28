"""Track, time and geotag -> the read, with its id and its pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.fusion.candidates import alternative_texts
from agent.geotag.units import clamp, pixel, place_of, probability_e4, probability_u8, time_quality, to_us
from agent.policy.records import Kept
from agent.records import Read
from agent.track.motion import UNKNOWN_MOTION
from protocol.wire.codec import U16_MAX, U32_MAX
from protocol.wire.parts import PictureRef, Retention
from protocol.wire.records.read import Read as ReadBody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.pictures import PictureMaker
    from agent.policy.reads import ReadPolicy
    from agent.policy.records import Decision
    from agent.read_id import ReadIdMint
    from agent.records import Box, Geotag, Picture, TimeTag, Track
    from agent.track.motion import Motion, MotionEstimator

UNKNOWN_ROLE = "?"
NON_HIT = "nonhit"
"""The retention class of a read that matches no hot list."""
HIT = "hit"
"""The retention class of one that does, of hits, and of what was decided about them."""


@dataclass(frozen=True, slots=True)
class ReadMaker:
    """Makes reads: the values that all reads of a process share, and the sources of the others."""

    ids: ReadIdMint
    pictures: PictureMaker
    models: tuple[str, ...]
    software: str
    roles: Mapping[str, str]
    """Role of each camera by name: front, rear, left, right."""
    motions: Mapping[str, MotionEstimator] = field(default_factory=dict)
    """Estimator of each camera by name; the motion is unknown for cameras without one."""
    policy: ReadPolicy | None = None
    """None: every read is kept until its receipt."""

    def make(self, track: Track, when: TimeTag, where: Geotag) -> Read | None:
        """Build the read; None if the policy keeps nothing of it.

        Raises ImageError if the track's pixels cannot be encoded.
        """
        policy_class = HIT if track.is_hit else NON_HIT
        if self.policy is None:
            pictures = self.pictures.make(track.best)
            return self._read(track, when, self._body(track, when, where, pictures, policy_class), pictures)
        decision = self.policy.decide(policy_class, when, where)
        if decision is None:
            return None
        hashed = decision.kept is Kept.HASH
        # A picture of a plate would be the plate.
        pictures = () if hashed else self.pictures.make(track.best, decision.shown)
        body = self._body(track, when, where, pictures, decision.policy_class).model_copy(update=_of(decision))
        if hashed:
            body = body.model_copy(update={**_NO_TEXT, "text_hash": self.policy.hash_of(body.text)})
        return self._read(track, when, body, pictures, decision)

    def _read(
        self,
        track: Track,
        when: TimeTag,
        body: ReadBody,
        pictures: tuple[Picture, ...],
        decision: Decision | None = None,
    ) -> Read:
        return Read(
            read_id=track.read_id or self.ids.mint(when.utc_ns),
            plate=track.plate,
            body=body,
            pictures=pictures,
            expires_utc_us=None if decision is None else decision.expires_utc_us,
            period_s=None if decision is None else decision.period_s,
        )

    def _body(
        self, track: Track, when: TimeTag, where: Geotag, pictures: tuple[Picture, ...], policy_class: str
    ) -> ReadBody:
        plate, frame = track.plate, track.best.frame
        motion = self._motion(track, where)
        width_px, height_px = (clamp(size, 1, U16_MAX) for size in (frame.rgb.shape[1], frame.rgb.shape[0]))
        return ReadBody(
            camera=track.camera,
            camera_role=self.roles.get(track.camera, UNKNOWN_ROLE),
            utc_us=None if when.utc_ns is None else to_us(when.utc_ns),
            time=time_quality(when.source, when.uncertainty_ms),
            mono_us=to_us(frame.t_mono_ns),
            mono_first_us=to_us(track.t_first_mono_ns),
            mono_last_us=to_us(track.t_last_mono_ns),
            n_sightings=clamp(track.n_sightings, 0, U16_MAX),
            n_agreeing=clamp(track.n_agreeing, 0, U16_MAX),
            single_frame=track.single_frame,
            text=plate.text,
            raw=track.best.plate.text,
            confidence_e4=probability_e4(plate.confidence),
            char_confidence_u8=bytes(probability_u8(char.confidence) for char in plate.chars),
            alternatives=tuple((text, probability_e4(p)) for text, p in alternative_texts(plate)),
            region=plate.region,
            region_confidence_e4=probability_e4(plate.region_confidence),
            box_px=box_px(track.best.detection.box, width_px, height_px),
            frame_px=(width_px, height_px),
            place=place_of(where),
            track_id=track.track_id & U32_MAX,
            pictures=tuple(picture_ref(picture) for picture in pictures),
            software=self.software,
            models=self.models,
            retention=Retention(policy_class=policy_class),
            motion=motion.kind.value,
            motion_confidence_e4=probability_e4(motion.confidence),
        )

    def _motion(self, track: Track, where: Geotag) -> Motion:
        estimator = self.motions.get(track.camera)
        if estimator is None:
            return UNKNOWN_MOTION
        height_px, width_px = track.best.frame.rgb.shape[:2]
        return estimator.estimate(track.path, (width_px, height_px), where.speed_mps)


_NO_TEXT = {"text": "", "raw": "", "char_confidence_u8": b"", "alternatives": ()}
"""Everything that would give the plate away beside its hash."""


def _of(decision: Decision) -> dict[str, object]:
    return {
        "policy": decision.policy,
        "expires_utc_us": decision.expires_utc_us or 0,
        "masked": decision.kept is Kept.FULL and decision.shown.is_masked,
    }


def box_px(box: Box, width_px: int, height_px: int) -> tuple[int, int, int, int]:
    """Return a box in whole pixels of the frame: left, top, right, bottom."""
    x0, x1 = pixel(box.x0, width_px), pixel(box.x1, width_px)
    y0, y1 = pixel(box.y0, height_px), pixel(box.y1, height_px)
    return x0, y0, max(x0, x1), max(y0, y1)


def picture_ref(picture: Picture) -> PictureRef:
    """Return the reference to a picture in a read."""
    return PictureRef(
        kind=picture.kind,
        sha256=picture.sha256,
        size_bytes=len(picture.jpeg),
        width_px=clamp(picture.width_px, 0, U16_MAX),
        height_px=clamp(picture.height_px, 0, U16_MAX),
    )
