"""One camera: frames -> tracks into the commit thread's queue, in a thread of its own.

No plate is lost if the camera stops delivering: tracks close by the clock while there are no frames, and before the
thread ends, for whatever reason, open tracks are closed and passed on.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Protocol

import structlog

from agent.errors import FatalError
from agent.pipeline import PipelineCounts
from agent.runtime.component import Component
from agent.runtime.timing import RateMeter, StageTimes
from agent.track import TrackerCounts
from agent.view import ViewState
from hw.ports import CameraAbsentError, CameraEndedError, CameraStalledError, Exposable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from agent.pipeline import CameraPipeline
    from agent.records import Track
    from agent.runtime.component import Tick
    from agent.runtime.supervisor import Supervisor, WorkerContext
    from hw.ports import Camera, Clock, Frame

_LOG = structlog.get_logger(__name__)
_FRAME_TIMEOUT_S = 2.0
_DEADLINE_S = 15.0
_STOP_S = 5.0
_MAX_STALLS = 8
"""Consecutive stalls until the process ends; including the start, ten such ends fit into the five minutes after which
systemd reboots the board: stall, camera reopened, process restarted, board rebooted."""


class TrackQueue(Protocol):
    """Where final tracks go."""

    def put(self, message: Track, worker: WorkerContext, /) -> None:
        """Put a track; waits while the queue is full, with heartbeats."""


def _never(_: int) -> None:
    return


class StallMonitor:
    """Decides how long to wait for a stalled camera: a restart may help if it worked before or is present."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._in_a_row = 0
        self._worked = False
        self.stalls = 0
        """Number of stalls."""

    @property
    def missing(self) -> bool:
        """True while the camera delivers no frames."""
        return self._in_a_row > 0

    def on_frame(self) -> None:
        """Note that a frame arrived."""
        self._in_a_row, self._worked = 0, True

    def on_stall(self, stall: CameraStalledError) -> None:
        """Note a stall; raises FatalError if the process should be restarted."""
        self._in_a_row += 1
        self.stalls += 1
        _LOG.warning("camera_stalled", camera=self._camera, in_a_row=self._in_a_row, reason=str(stall))
        if self._in_a_row >= _MAX_STALLS and (self._worked or not isinstance(stall, CameraAbsentError)):
            raise FatalError(f"{stall}; {self._in_a_row} times in a row: the agent restarts")


class CameraComponent(Component):
    """One camera, its pipeline and its thread.

    The pipeline belongs to the thread.  Requests of other threads (``set_private``, ``limit_fps``) are stored here and
    take effect with the next frame.
    """

    def __init__(
        self,
        camera: Camera,
        role: str,
        build: Callable[[], CameraPipeline],
        tracks: TrackQueue,
        supervisor: Supervisor,
        *,
        clock: Clock,
        max_fps: float | None = None,
        confirmed: Callable[[Track, WorkerContext], None] | None = None,
        may_not_record: Callable[[int], object] = _never,
    ) -> None:
        """``build`` loads the models; it is called in the thread that uses them.

        ``tracks`` gets the final tracks, ``confirmed`` those that two frames agree on, while they are in view.
        ``may_not_record`` is asked before each frame, with its time; while it returns anything true, frames are
        counted and not processed, as with the privacy button.
        """
        self.name = f"vision-{camera.name}"
        self.camera_name = camera.name
        self.role = role
        self.times = StageTimes()
        self._camera = camera
        self._expose = camera.expose if isinstance(camera, Exposable) else None
        self._build = build
        self._tracks = tracks
        self._confirmed = confirmed
        self._supervisor = supervisor
        self._clock = clock
        self._pipeline: CameraPipeline | None = None
        self._stalls = StallMonitor(camera.name)
        self._rate = RateMeter()
        self._private = False
        self._may_not_record = may_not_record
        self.newest: Frame | None = None
        """The newest frame; None before the first, and while privacy is on or recording is not allowed."""
        self._max_fps = self._applied_fps = max_fps

    def start(self) -> None:
        """Start the thread; it loads the models first."""
        self._supervisor.spawn(self.name, self.run, deadline_s=_DEADLINE_S)

    def watch(self, tick: Tick) -> None:
        """Measure the frame rate."""
        self._rate.step(self.counts.processed, tick.t_mono_ns)

    def quiesce(self) -> None:
        """Close the camera and ask the thread to end."""
        self._supervisor.ask_to_stop(self.name)
        self._camera.close()

    def stop(self) -> None:
        """Join the thread.  Raises ThreadStuckError."""
        self._supervisor.stop(self.name, timeout_s=_STOP_S)

    def set_private(self, *, private: bool) -> None:
        """Stop or resume processing of frames; main thread."""
        self._private = private
        if private:
            self.newest = None

    def limit_fps(self, max_fps: float | None) -> None:
        """Process at most this many frames per second, None for all; main thread."""
        self._max_fps = max_fps

    def run(self, worker: WorkerContext) -> None:
        """Process frames until asked to end; the thread's loop.  Raises FatalError for a camera that keeps stalling."""
        pipeline = self._build()
        self._pipeline = pipeline
        try:
            self._take_frames(pipeline, worker)
        finally:
            self._hand_over(pipeline.flush(), worker)

    def _take_frames(self, pipeline: CameraPipeline, worker: WorkerContext) -> None:
        while not worker.stopping:
            worker.beat()
            try:
                frame = self._camera.next_frame(timeout_s=_FRAME_TIMEOUT_S)
            except CameraStalledError as stall:
                self._hand_over(pipeline.idle(self._clock.mono_ns()), worker)
                self._stalls.on_stall(stall)
                continue
            except CameraEndedError:
                _LOG.info("camera_ended", camera=self.camera_name)
                return
            self._stalls.on_frame()
            self._apply_settings(pipeline, frame)
            self.times.start()
            step = pipeline.step(frame, self.times.lap)
            if self._confirmed is not None:
                for track in step.confirmed:
                    self._confirmed(track, worker)
            if self._expose is not None and step.exposure is not None:
                self._expose(step.exposure)
            self._hand_over(step.tracks, worker)

    def _apply_settings(self, pipeline: CameraPipeline, frame: Frame) -> None:
        private = self._private or bool(self._may_not_record(frame.t_mono_ns))
        pipeline.set_private(private=private)
        self.newest = None if private else frame
        if (wanted := self._max_fps) != self._applied_fps:
            self._applied_fps = wanted
            pipeline.limit_fps(wanted)

    def _hand_over(self, tracks: Iterable[Track], worker: WorkerContext) -> None:
        for track in tracks:
            self._tracks.put(track, worker)

    @property
    def private(self) -> bool:
        """True while no frame is processed at the driver's request."""
        return self._private

    @property
    def ready(self) -> bool:
        """True once the models are loaded."""
        return self._pipeline is not None

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._supervisor.alive(self.name)

    @property
    def missing(self) -> bool:
        """True while the camera delivers no frames: unplugged or stalled."""
        return self._stalls.missing

    @property
    def fps(self) -> float:
        """Frames recognised per second, over the last seconds."""
        return self._rate.per_s

    @property
    def is_dark(self) -> bool:
        """True while the camera requests the illuminator."""
        pipeline = self._pipeline
        return pipeline is not None and pipeline.exposure is not None and pipeline.exposure.is_dark

    @property
    def view(self) -> ViewState:
        """Faults of the camera's view."""
        pipeline = self._pipeline
        return ViewState() if pipeline is None or pipeline.view is None else pipeline.view.state

    @property
    def counts(self) -> PipelineCounts:
        """Counts of the pipeline; zeros until the models are loaded."""
        return PipelineCounts() if self._pipeline is None else self._pipeline.counts

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        tracks = TrackerCounts() if self._pipeline is None else self._pipeline.track_counts
        return {
            **{f"frames.{name}": value for name, value in asdict(self.counts).items()},
            **{f"tracks.{name}": value for name, value in asdict(tracks).items()},
            "devices.camera_stalls": self._stalls.stalls,
        }

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        view = self.view
        return {
            "devices.cameras_missing": int(self.missing),
            "view.blinded": int(view.blinded),
            "view.dirty": int(view.dirty),
            "view.moved": int(view.moved),
            "view.frozen": int(view.frozen),
            "view.damaged": int(view.damaged),
            "view.upside_down": int(view.upside_down),
        }
