"""A drive as one sequence of events, with the script's effects on camera and receiver."""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hw.drive_format import VIDEO_FILE
from hw.images import PictureError, load_picture
from hw.nmea_faults import corrupted, jumped
from hw.ports import Frame
from hw.video import VideoError, VideoFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from hw.drive_format import Drive, FrameRow
    from hw.script import Action


@dataclass(frozen=True, slots=True)
class FrameEvent:
    """The camera exposes a frame; :meth:`DrivePictures.frame` has the pixels."""

    t_mono_ns: int
    row: FrameRow


@dataclass(frozen=True, slots=True)
class NmeaEvent:
    """The receiver starts to send a sentence."""

    t_mono_ns: int
    text: str


@dataclass(frozen=True, slots=True)
class ScriptEvent:
    """A fault of the script."""

    t_mono_ns: int
    action: Action


Event = FrameEvent | NmeaEvent | ScriptEvent


def timeline(drive: Drive, *, origin_ns: int = 0) -> Iterator[Event]:
    """All events of a drive by time, before faults are applied.

    ``origin_ns`` is t = 0 of the drive on the monotonic clock.  At one instant the script comes first, then
    sentences, then frames; within a kind the order of the files holds.
    """
    # Each stream is in order already, and heapq.merge keeps the order of its arguments among equals.
    script: Iterator[Event] = (ScriptEvent(origin_ns + a.t_ns, a) for a in drive.script)
    sentences: Iterator[Event] = (NmeaEvent(origin_ns + s.t_ns, s.text) for s in drive.sentences)
    frames: Iterator[Event] = (FrameEvent(origin_ns + f.t_ns, f) for f in drive.frames)
    yield from heapq.merge(script, sentences, frames, key=lambda event: event.t_mono_ns)


def scripted_timeline(drive: Drive, *, origin_ns: int = 0) -> Iterator[Event]:
    """As :func:`timeline`, with the ``gnss.*`` and ``camera.*`` verbs applied.

    Muted sentences and stalled frames are missing, corrupted and jumped sentences changed.  Script events are all
    there: the verbs of link, disk, power, ignition, clock and temperature are the caller's to carry out.
    """
    faults = _Faults()
    for event in timeline(drive, origin_ns=origin_ns):
        match event:
            case ScriptEvent():
                faults.apply(event.action)
                yield event
            case NmeaEvent():
                text = faults.heard(event.text)
                if text is not None:
                    yield NmeaEvent(event.t_mono_ns, text)
            case FrameEvent():
                if not faults.stalled:
                    yield event


class _Faults:
    """Current faults of camera and receiver."""

    def __init__(self) -> None:
        self.stalled = False
        self._muted = False
        self._corrupt_left = 0
        self._north_m = 0.0
        self._east_m = 0.0

    def apply(self, action: Action) -> None:
        match action.do:
            case "camera.stall" | "camera.resume":
                self.stalled = action.do == "camera.stall"
            case "gnss.mute" | "gnss.unmute":
                self._muted = action.do == "gnss.mute"
            case "gnss.corrupt":
                self._corrupt_left = action.integer("n", 1)
            case "gnss.jump":
                self._north_m = action.number("north_m", 0.0)
                self._east_m = action.number("east_m", 0.0)

    def heard(self, text: str) -> str | None:
        """Apply faults to a sentence; None while the receiver is muted."""
        if self._muted:
            return None
        if self._north_m or self._east_m:
            text = jumped(text, north_m=self._north_m, east_m=self._east_m)
        if self._corrupt_left:
            self._corrupt_left -= 1
            text = corrupted(text)
        return text


class DrivePictures:
    """Pixels of a drive's frames, decoded on demand; the last picture is cached, because files may repeat."""

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self._last: tuple[str | int, NDArray[np.uint8] | None] | None = None
        self._video: VideoFile | None = None
        self._video_next = 0
        self.unreadable = 0
        """Frames that could not be decoded and were skipped."""
        self.partial = 0
        """Frames whose pictures are damaged, decoded as far as possible."""
        self._is_partial = False

    def frame(self, row: FrameRow, *, t_mono_ns: int) -> Frame | None:
        """The frame of a row as the camera would have delivered it; None if its picture cannot be decoded."""
        key = row.file if row.file is not None else (row.video_index or 0)
        if self._last is None or self._last[0] != key:
            self._is_partial = False
            self._last = (key, self._from_file(key) if isinstance(key, str) else self._from_video(key))
        rgb = self._last[1]
        if rgb is None:
            self.unreadable += 1
            return None
        self.partial += self._is_partial
        return Frame(
            seq=row.seq,
            camera=self._drive.header.camera.name,
            t_mono_ns=t_mono_ns,
            rgb=rgb,
            exposure_us=row.exposure_us,
            gain=row.gain,
        )

    def close(self) -> None:
        """Close the video; frames can still be requested."""
        if self._video is not None:
            self._video.close()
            self._video = None

    def _from_file(self, file: str) -> NDArray[np.uint8] | None:
        try:
            picture = load_picture(self._drive.root / file)
        except PictureError:
            return None
        self._is_partial = picture.damage is not None
        return picture.rgb

    def _from_video(self, index: int) -> NDArray[np.uint8] | None:
        if self._video is None or index < self._video_next:
            self.close()
            try:
                self._video = VideoFile(self._drive.root / VIDEO_FILE)
            except VideoError:
                return None
            self._video_next = 0
        while self._video_next <= index:
            if self._video.grab() is None:
                return None
            self._video_next += 1
        return self._video.retrieve()
