"""Capture -> recognise -> track, synchronous and without a clock.

The camera's thread and the replay runner both use :class:`CameraPipeline`, so a drive tests the code that runs in the
vehicle.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from agent.capture import FrameRateLimiter
from agent.track import StillTexts
from agent.view import SightCheck

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    from agent.exposure import ExposurePolicy
    from agent.records import Detection, Sighting, Track
    from agent.track import Tracker, TrackerCounts
    from agent.view import ViewWatch
    from hw.ports import Exposure, Frame


class PlateRecognizer(Protocol):
    """The recogniser: the models, or the ground truth of a scripted drive."""

    def detect(self, frame: Frame) -> list[Detection]:
        """Plates in the frame, best first."""

    def read(self, frame: Frame, detections: list[Detection]) -> list[Sighting]:
        """Read the text of each detection; those without text are left out."""


@runtime_checkable
class TellsOrientation(Protocol):
    """A recogniser that detects cameras mounted upside down."""

    @property
    def upside_down(self) -> bool:
        """True if plates are upside down."""


@runtime_checkable
class KeepsSmall(Protocol):
    """A recogniser that searches a smaller picture than the frame's."""

    @property
    def small(self) -> NDArray[np.uint8]:
        """The picture that was searched last, without a border."""


@dataclass(slots=True)
class PipelineCounts:
    """Since the start of the process."""

    frames: int = 0
    """Frames received."""
    processed: int = 0
    """Frames that were recognised."""
    dropped: int = 0
    """Frames of the camera that were not received because processing was too slow."""
    skipped: int = 0
    """Frames skipped because of the frame rate limit."""
    private: int = 0
    """Frames skipped because the driver switched on privacy, or because the policy forbids recording here or now."""
    frozen: int = 0
    """Frames skipped because the camera repeats the same picture."""
    damaged: int = 0
    """Frames skipped because a part of them was not decoded."""
    detections: int = 0
    still: int = 0
    """Detections and tracks dropped because they do not move in the picture while the vehicle does."""
    ignored: int = 0
    """Tracks dropped because their text is in the camera's ``ignore``."""
    sightings: int = 0


@dataclass(frozen=True, slots=True)
class PipelineStep:
    """The result of one frame."""

    tracks: tuple[Track, ...] = ()
    """Final tracks: those that closed with this frame."""
    confirmed: tuple[Track, ...] = ()
    """Tracks confirmed by this frame, with the id of their read; each is later in ``tracks``, with its final text,
    unless that turns out to be unreadable."""
    exposure: Exposure | None = None
    """The exposure to set next, if the camera's exposure can be set."""


def _no_lap(_: str) -> None:
    return


class CameraPipeline:
    """One camera's frames -> confirmed and final tracks.  One per thread."""

    def __init__(
        self,
        reader: PlateRecognizer,
        tracker: Tracker,
        rate_limiter: FrameRateLimiter | None = None,
        *,
        exposure: ExposurePolicy | None = None,
        view: ViewWatch | None = None,
    ) -> None:
        """``exposure`` if the camera's exposure can be set, ``view`` if its view is to be monitored."""
        self._reader = reader
        self._tracker = tracker
        self._rate_limiter = rate_limiter or FrameRateLimiter()
        self.exposure = exposure
        self.view = view
        self._private = False
        self.counts = PipelineCounts()
        self._sight = SightCheck()
        self._still = StillTexts()
        self._orientation = reader if isinstance(reader, TellsOrientation) else None
        self._keeps_small = reader if isinstance(reader, KeepsSmall) else None

    @property
    def track_counts(self) -> TrackerCounts:
        """Counts of the tracker."""
        return self._tracker.counts

    def set_private(self, *, private: bool) -> None:
        """Switch privacy on or off: while it is on, frames are counted but not processed."""
        self._private = private

    def limit_fps(self, max_fps: float | None) -> None:
        """Process at most this many frames per second; None for every frame.

        Raises ValueError when the rate is not positive.
        """
        self._rate_limiter.limit(max_fps)

    def step(self, frame: Frame, lap: Callable[[str], None] = _no_lap) -> PipelineStep:
        """Process one frame; ``lap`` is called with the name of each completed stage."""
        decision = self._rate_limiter.take(frame)
        self.counts.frames += 1
        self.counts.dropped += decision.dropped
        if self._private:
            self.counts.private += 1
            return PipelineStep(tracks=self.flush())
        if not decision.process:
            self.counts.skipped += 1
            return PipelineStep()
        self._sight.step(frame.rgb, frame.t_mono_ns)
        if self.view is not None:
            self.view.step(
                frame.rgb,
                frozen=self._sight.frozen,
                damaged=self._sight.often_damaged,
                upside_down=self._orientation is not None and self._orientation.upside_down,
            )
        if self._sight.frozen or self._sight.damaged:
            self.counts.frozen += self._sight.frozen
            self.counts.damaged += self._sight.damaged
            return PipelineStep(tracks=self._plates(self._tracker.update(frame.t_mono_ns, ()).closed))
        found_here = self._reader.detect(frame)
        small = None if self._keeps_small is None else self._keeps_small.small
        detections = self._still.moving(frame.rgb, frame.t_mono_ns, found_here, small)
        self.counts.still += len(found_here) - len(detections)
        lap("detect")
        sightings = self._reader.read(frame, detections)
        lap("ocr")
        found = self._tracker.update(frame.t_mono_ns, sightings)
        lap("track")
        exposure = None if self.exposure is None else self.exposure.step(frame, detections)
        self.counts.processed += 1
        self.counts.detections += len(detections)
        self.counts.sightings += len(sightings)
        return PipelineStep(
            tracks=self._plates(found.closed),
            confirmed=tuple(track for track in found.confirmed if not self._is_ignored(track)),
            exposure=exposure,
        )

    def idle(self, t_mono_ns: int) -> tuple[Track, ...]:
        """Close the tracks whose plates are out of view by now, although there was no frame."""
        return self._tracker.update(t_mono_ns, ()).closed

    def flush(self) -> tuple[Track, ...]:
        """Close all open tracks: the camera has stopped."""
        return self._plates(self._tracker.flush())

    def _plates(self, closed: tuple[Track, ...]) -> tuple[Track, ...]:
        """Drop final tracks that are not plates."""
        plates = []
        for track in closed:
            if self._is_ignored(track):
                self.counts.ignored += 1
            elif self._still.stood_still(track.best.detection.box):
                self.counts.still += 1
            else:
                plates.append(track)
        return tuple(plates)

    @staticmethod
    def _is_ignored(track: Track) -> bool:
        scene = track.best.frame.scene
        return scene is not None and scene.ignores(track.plate.text)
