"""``patrol-lpr read VIDEO``: every frame through the pipeline of the vehicle, one read per pass."""

from __future__ import annotations

import json
import statistics
from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from agent.errors import ImageError
from agent.pipeline import CameraPipeline
from agent.recognise.formats import in_format
from agent.recognise.orientation import OrientationVote
from agent.track import Tracker, text_similarity
from cli.show import NOT_READ
from hw.ports import Frame
from hw.video import VideoError, VideoFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.recognise import Recogniser
    from agent.records import Box, PlateText, Track
    from hw.ports import Scene

_NS_PER_S = 1_000_000_000
PASS_GAP_S = 60.0
"""Sightings of the same text less than this far apart belong to one pass, as in the vehicle."""
_SAME_PLACE_GAP_S = 1.5
"""Long tracks are split: a similar text that continues at the same place belongs to the same pass."""
_LONGEST_TRACK_S = 10.0
"""Maximum time from the first sighting of a track until it is closed."""
_INTERVALS, _INTERVALS_UNSEEN = 51, 2.5
_ALIKE = 0.7


@dataclass(frozen=True, slots=True)
class VideoRead:
    """One plate in one pass of a video, fused over its frames."""

    path: Path
    plate: PlateText
    t_first_s: float
    t_last_s: float
    n_sightings: int
    n_agreeing: int
    in_format: str | None = None
    """The likeliest text in a format of the region, on request."""

    def as_json(self) -> str:
        """One line of JSON."""
        proposal = {} if self.in_format is None else {"in_format": self.in_format}
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
                **proposal,
            }
        )


@dataclass(slots=True)
class VideoSummary:
    """Totals of a video; updated while it is read."""

    frames: int = 0
    n_frames: int | None = None
    """According to the header."""
    not_read: dict[str, int] = field(default_factory=dict)
    """Number of frames that were not read, by the reason."""
    ends_early: bool = False
    """The file is truncated."""
    video_tracks: int = 0
    """According to the header; 0 if unknown."""
    codec: str = ""
    """Four characters; empty if unknown."""
    reads: int = 0
    notes: list[str] = field(default_factory=list)
    """Messages for the user."""


@dataclass(slots=True)
class _Pass:
    """A read that may continue."""

    read: VideoRead
    last_box: Box


def read_video(
    recogniser: Recogniser,
    path: Path,
    *,
    formats: bool = False,
    scene: Scene | None = None,
    summary: VideoSummary | None = None,
    on_frame: Callable[[], None] = lambda: None,
) -> Iterator[VideoRead]:
    """Track and fuse over a whole video; a file that ends mid-frame ends there, and ``summary`` says so.

    Raises ImageError if no frame can be decoded.
    """
    told = VideoSummary() if summary is None else summary
    for turned in (False, True):
        recogniser.orientation = OrientationVote()
        held: list[VideoRead] = []
        once = _pass_through(
            recogniser, path, formats=formats, scene=scene, told=told, on_frame=on_frame, turned=turned
        )
        for read in once:
            # Reads are held back until the orientation of the video is known.
            held.append(read)
            if turned or recogniser.orientation.decided:
                told.reads += len(held)
                yield from held
                held.clear()
        if turned or not recogniser.upside_down:
            told.reads += len(held)
            yield from held
            break
        told.notes.append(f"{path}: plates are upside down; read rotated by 180 degrees")
    if not told.frames:
        kind = f", of {told.codec} here," if told.codec else ""
        raise ImageError(
            f"{path}: no frame can be decoded; it is damaged, or its compression{kind} is not supported: "
            "convert it to H.264"
        )
    if told.ends_early:
        told.notes.append(f"{path}: ends early, {told.frames} of {told.n_frames} frames; read up to there")
    told.notes += [f"{path}: {count} frames {why}" for why, count in told.not_read.items() if count]
    if told.video_tracks > 1:
        told.notes.append(
            f"{path}: has {told.video_tracks} video tracks, of which the first was read; "
            "put each of the others into a file of its own"
        )


def _pass_through(
    recogniser: Recogniser,
    path: Path,
    *,
    formats: bool,
    scene: Scene | None,
    told: VideoSummary,
    on_frame: Callable[[], None],
    turned: bool,
) -> Iterator[VideoRead]:
    """Read the video once; stop if its plates turn out to be upside down."""
    vision = CameraPipeline(recogniser, Tracker())
    passes = _Passes(path, recogniser.ocr.reject_below, formats=formats)
    told.frames = 0
    for frame in _frames(path, scene, told, turned=turned):
        told.frames += 1
        passes.see_frame(frame.t_mono_ns / _NS_PER_S)
        for track in vision.step(frame).tracks:
            passes.add(track)
        if not turned and not told.reads and recogniser.upside_down:
            return
        yield from passes.over(frame.t_mono_ns / _NS_PER_S)
        on_frame()
    told.not_read = {why: getattr(vision.counts, name) for name, why in NOT_READ.items()}
    for track in vision.flush():
        passes.add(track)
    yield from passes.over(None)


def _frames(path: Path, scene: Scene | None, told: VideoSummary, *, turned: bool) -> Iterator[Frame]:
    try:
        video = VideoFile(path)
    except VideoError as error:
        raise ImageError(str(error)) from error
    told.n_frames, told.codec, told.video_tracks = video.n_frames, video.codec, video.video_tracks
    try:
        seq = 0
        while (found := video.next()) is not None:
            t_mono_ns, rgb = found
            if turned:
                rgb = np.ascontiguousarray(rgb[::-1, ::-1])
            yield Frame(seq, path.stem, t_mono_ns, rgb, 0, 1.0, scene=scene)
            seq += 1
        told.ends_early = video.ends_early
    finally:
        video.close()


class _Passes:
    """Merges tracks into passes."""

    def __init__(self, path: Path, reject_below: float, *, formats: bool) -> None:
        self._path = path
        self._reject_below = reject_below
        self._formats = formats
        self._open: list[_Pass] = []
        self._last_s: float | None = None
        self._intervals_s: deque[float] = deque(maxlen=_INTERVALS)

    @property
    def _gap_s(self) -> float:
        """Longer for time-lapse videos with long frame intervals."""
        usual_s = statistics.median(self._intervals_s) if self._intervals_s else 0.0
        return max(PASS_GAP_S, _INTERVALS_UNSEEN * usual_s)

    def see_frame(self, t_s: float) -> None:
        """Note the time of a frame."""
        if self._last_s is not None:
            self._intervals_s.append(t_s - self._last_s)
        self._last_s = t_s

    def add(self, track: Track) -> None:
        """Add a closed track, unless its confidence is too low."""
        if track.plate.confidence < self._reject_below:
            return
        read = VideoRead(
            self._path,
            track.plate,
            track.t_first_mono_ns / _NS_PER_S,
            track.t_last_mono_ns / _NS_PER_S,
            track.n_sightings,
            track.n_agreeing,
            in_format(track.plate) if self._formats else None,
        )
        box = track.best.detection.box
        for one in self._open:
            if _goes_on(one, read, box, self._gap_s):
                one.read, one.last_box = _joined(one.read, read), box
                return
        self._open.append(_Pass(read, box))

    def over(self, now_s: float | None) -> list[VideoRead]:
        """Remove and return passes that are complete, by the time of their first sighting; all if ``now_s`` is None."""
        done = [
            one
            for one in self._open
            if now_s is None or now_s - one.read.t_last_s > self._gap_s + _LONGEST_TRACK_S
        ]
        self._open = [one for one in self._open if one not in done]
        return sorted((one.read for one in done), key=lambda read: read.t_first_s)


def _goes_on(one: _Pass, read: VideoRead, box: Box, max_gap_s: float) -> bool:
    gap_s = read.t_first_s - one.read.t_last_s
    if read.plate.text == one.read.plate.text:
        return gap_s <= max_gap_s
    alike = text_similarity(read.plate.text, one.read.plate.text) >= _ALIKE
    return alike and abs(gap_s) <= _SAME_PLACE_GAP_S and _is_near(box, one.last_box)


def _is_near(a: Box, b: Box) -> bool:
    dx, dy = abs(a.x0 + a.x1 - b.x0 - b.x1) / 2, abs(a.y0 + a.y1 - b.y0 - b.y1) / 2
    return max(dx, dy) <= max(a.width_px, b.width_px)


def _joined(a: VideoRead, b: VideoRead) -> VideoRead:
    """The read with more agreeing sightings, over the time of both."""
    better = a if (a.n_agreeing, a.plate.confidence) >= (b.n_agreeing, b.plate.confidence) else b
    same = a.plate.text == b.plate.text
    return replace(
        better,
        t_first_s=min(a.t_first_s, b.t_first_s),
        t_last_s=max(a.t_last_s, b.t_last_s),
        n_sightings=a.n_sightings + b.n_sightings,
        n_agreeing=a.n_agreeing + b.n_agreeing if same else better.n_agreeing,
    )
