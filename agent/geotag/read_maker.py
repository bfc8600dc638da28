"""Track + time + place -> the read, with its id and its pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.fusion.candidates import alternative_texts
from agent.records import Read

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.pictures import PictureMaker
    from agent.read_id import ReadIdMint
    from agent.records import Geotag, TimeTag, Track

UNKNOWN_ROLE = "?"


@dataclass(frozen=True, slots=True)
class ReadMaker:
    """What every read of this process has in common, and how its parts are made."""

    ids: ReadIdMint
    pictures: PictureMaker
    models: tuple[str, ...]
    software: str
    roles: Mapping[str, str]
    """Role of each camera by its name: front, rear, left, right."""

    def make(self, track: Track, when: TimeTag, where: Geotag) -> Read:
        """Build the read.  Raises ImageError when the pixels of the track cannot be encoded."""
        frame = track.best.frame
        height_px, width_px = frame.rgb.shape[:2]
        return Read(
            read_id=self.ids.mint(when.utc_ns),
            camera=track.camera,
            camera_role=self.roles.get(track.camera, UNKNOWN_ROLE),
            text=track.plate.text,
            raw=track.best.plate.text,
            confidence=track.plate.confidence,
            char_confidence=tuple(char.confidence for char in track.plate.chars),
            alternatives=alternative_texts(track.plate),
            region=track.plate.region,
            region_confidence=track.plate.region_confidence,
            single_frame=track.single_frame,
            n_sightings=track.n_sightings,
            n_agreeing=track.n_agreeing,
            t_mono_ns=frame.t_mono_ns,
            t_first_mono_ns=track.t_first_mono_ns,
            t_last_mono_ns=track.t_last_mono_ns,
            when=when,
            where=where,
            box=track.best.detection.box,
            frame_width_px=width_px,
            frame_height_px=height_px,
            track_id=track.track_id,
            pictures=self.pictures.make(track.best),
            models=self.models,
            software=self.software,
        )
