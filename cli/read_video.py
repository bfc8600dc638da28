"""``patrol-lpr read VIDEO``: every frame through the pipeline of the vehicle, reads by time in the file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2

from agent.errors import ImageError
from agent.pipeline import CameraPipeline
from agent.track import Tracker
from hw.images import bgr_to_rgb
from hw.ports import Frame

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from agent.recognise import Recogniser
    from agent.records import PlateText, Track

_NS_PER_S = 1_000_000_000
_FALLBACK_FPS = 25.0


@dataclass(frozen=True, slots=True)
class VideoRead:
    """One plate in one pass of a video, fused over its frames."""

    path: Path
    plate: PlateText
    t_first_s: float
    t_last_s: float
    n_sightings: int
    n_agreeing: int

    def as_json(self) -> str:
        """One line of JSON."""
        return json.dumps(
            {
                "video": str(self.path),
                "text": self.plate.text,
                "confidence": round(self.plate.confidence, 4),
                "region": self.plate.region,
                "from_s": round(self.t_first_s, 3),
                "to_s": round(self.t_last_s, 3),
                "sightings": self.n_sightings,
                "agreeing": self.n_agreeing,
            }
        )


def read_video(recogniser: Recogniser, path: Path) -> Iterator[VideoRead]:
    """Track and fuse over a whole video; a truncated file ends at its last complete frame.

    Raises ImageError if no frame can be decoded.
    """
    vision = CameraPipeline(recogniser, Tracker())
    count = 0
    for frame in _frames(path):
        count += 1
        for track in vision.step(frame).tracks:
            yield from _result(path, track, recogniser.ocr.reject_below)
    if not count:
        raise ImageError(f"{path}: no frame can be decoded; check that it is a video")
    for track in vision.flush():
        yield from _result(path, track, recogniser.ocr.reject_below)


def _frames(path: Path) -> Iterator[Frame]:
    video = cv2.VideoCapture(str(path))
    try:
        fps = video.get(cv2.CAP_PROP_FPS)
        fps = fps if 0 < fps < 1000 else _FALLBACK_FPS  # noqa: PLR2004 - broken headers say 90000
        seq = 0
        while True:
            good, bgr = video.read()
            if not good:
                return
            t_mono_ns = round(seq / fps * _NS_PER_S)
            yield Frame(seq, path.stem, t_mono_ns, bgr_to_rgb(bgr), 0, 1.0)
            seq += 1
    finally:
        video.release()


def _result(path: Path, track: Track, reject_below: float) -> Iterator[VideoRead]:
    if track.plate.confidence < reject_below:
        return
    yield VideoRead(
        path,
        track.plate,
        track.t_first_mono_ns / _NS_PER_S,
        track.t_last_mono_ns / _NS_PER_S,
        track.n_sightings,
        track.n_agreeing,
    )
