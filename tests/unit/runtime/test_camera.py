"""One camera's thread: how long it waits for a stalled camera, and that no plate is lost by the stall."""

from __future__ import annotations

import threading
from dataclasses import fields

import pytest

from agent.errors import FatalError
from agent.pipeline import CameraPipeline
from agent.runtime.camera import CameraComponent
from agent.runtime.queues import ReadQueue
from agent.runtime.supervisor import Supervisor
from agent.track import Tracker, TrackerConfig
from agent.view import ViewState
from hw.clock import SimClock
from hw.ports import CameraAbsentError, CameraEndedError, CameraStalledError
from tests.builders import make_frame, make_sighting

SILENT, GONE = CameraStalledError("silent"), CameraAbsentError("gone")
MS = 1_000_000
TIMEOUT_MS = 2000
FRAME = "frame"


class Rounds:
    """As much of a worker as the loop uses; it ends after so many rounds."""

    def __init__(self, rounds: int) -> None:
        self._left = rounds

    @property
    def stopping(self) -> bool:
        self._left -= 1
        return self._left < 0

    def beat(self) -> None:
        return


class Moody:
    """A camera that does what the list says: a frame after 100 ms, or an error after the time-out."""

    def __init__(self, moods, clock: SimClock, name: str = "front") -> None:
        self._moods, self._clock, self.name = iter(moods), clock, name
        self.asked = threading.Event()

    def next_frame(self, *, timeout_s):
        self.asked.set()
        mood = next(self._moods)
        if mood is FRAME:
            self._clock.advance_to(self._clock.mono_ns() + 100 * MS)
            return make_frame(t_mono_ns=self._clock.mono_ns())
        self._clock.advance_to(self._clock.mono_ns() + TIMEOUT_MS * MS)
        raise mood

    def close(self) -> None:
        return


class OnePlate:
    """Reads the same plate in every frame."""

    def __init__(self, text: str = "7ABC123") -> None:
        self._text = text

    def detect(self, frame):
        return [make_sighting().detection]

    def read(self, frame, detections):
        return [make_sighting(self._text, t_mono_ns=frame.t_mono_ns)]


def component(moods, *, lost_ms: float = 700, reads: ReadQueue | None = None) -> CameraComponent:
    clock = SimClock()
    return CameraComponent(
        Moody(moods, clock),
        "front",
        lambda: CameraPipeline(OnePlate(), Tracker(TrackerConfig(lost_ms=lost_ms))),
        reads or ReadQueue(),
        Supervisor(clock),
        clock=clock,
    )


def live_with(moods) -> CameraComponent:
    moods = list(moods)
    camera = component(moods)
    camera.run(Rounds(len(moods)))
    return camera


def stalls(camera: CameraComponent) -> int:
    return camera.counters()["devices.camera_stalls"]


def test_camera_that_was_never_present_is_reopened_forever():
    """Restarts and reboots do not help an unplugged camera: the rest of the unit keeps running."""
    camera = live_with([GONE] * 1000)
    assert (stalls(camera), camera.missing) == (1000, True)
    assert camera.gauges()["devices.cameras_missing"] == 1


@pytest.mark.parametrize("moods", [[SILENT] * 8, [FRAME, *[GONE] * 8], [FRAME, *[SILENT] * 8]])
def test_stalled_camera_ends_the_process(moods):
    """A restarted process may free a hung driver; after several restarts systemd reboots the board."""
    with pytest.raises(FatalError, match="8 times in a row"):
        live_with(moods)
    assert live_with(moods[:-1]).missing


def test_frame_resets_the_stall_count():
    camera = live_with([*[SILENT] * 7, FRAME, *[SILENT] * 7, FRAME])
    assert (stalls(camera), camera.missing) == (14, False)


def test_track_closes_by_the_clock_without_frames():
    """Lost after 700 ms, closed at the first time-out; the thread keeps waiting for the camera."""
    camera = component([FRAME, FRAME, *[SILENT] * 3])
    closed = []
    camera._tracks.put = lambda track, _: closed.append((track, camera._clock.mono_ns() // MS))
    camera.run(Rounds(5))
    ((track, closed_ms),) = closed
    assert (track.plate.text, track.n_sightings, track.t_last_mono_ns) == ("7ABC123", 2, 200 * MS)
    assert (closed_ms, stalls(camera)) == (200 + TIMEOUT_MS, 3)
    assert camera.counters()["tracks.closed"] == 1


@pytest.mark.parametrize("timeouts", [1, 2, 3, 5])
def test_a_track_stays_open_for_its_own_lost_time(timeouts):
    """Lost after five seconds: closed at the third time-out of two seconds, or else when the thread ends; once."""
    camera = component([FRAME, FRAME, *[SILENT] * timeouts, CameraEndedError("no more")], lost_ms=5000)
    closed_at_ms = []
    camera._tracks.put = lambda *_: closed_at_ms.append(camera._clock.mono_ns() // MS)

    camera.run(Rounds(100))

    assert closed_at_ms == [
        200 + TIMEOUT_MS * min(3, timeouts) if timeouts >= 3 else 200 + TIMEOUT_MS * (timeouts + 1)
    ]


@pytest.mark.parametrize(
    ("ending", "error"),
    [
        ([SILENT] * 8, FatalError),
        ([RuntimeError("a broken driver")], RuntimeError),
        ([CameraEndedError("no more")], None),
    ],
)
def test_open_tracks_are_passed_on_before_the_thread_ends(ending, error):
    """The error still ends the process; the track is in the commit thread's queue by then."""
    reads = ReadQueue()
    camera = component([FRAME, FRAME, *ending], reads=reads, lost_ms=1_000_000)
    if error is None:
        camera.run(Rounds(100))
    else:
        with pytest.raises(error):
            camera.run(Rounds(100))
    assert [track.plate.text for track in reads.take()] == ["7ABC123"]
    assert camera.counters()["tracks.closed"] == 1


def test_each_camera_has_timers_of_its_own():
    """One thread writes each; a stage of one camera is never measured against the start of another's frame."""
    first, second = component([FRAME] * 3), component([FRAME] * 5)
    first.run(Rounds(3))
    second.run(Rounds(5))
    assert first.times is not second.times
    assert {len(first.times._times[s]) for s in ("detect", "ocr", "track")} == {3}
    assert {len(second.times._times[s]) for s in ("detect", "ocr", "track")} == {5}


def test_privacy_and_frame_rate_apply_to_the_next_frame():
    """The main thread asks; the camera's own thread changes the pipeline."""
    camera = component([FRAME] * 10)
    camera.set_private(private=True)
    camera.run(Rounds(4))
    assert (camera.counts.private, camera.counts.processed) == (4, 0)

    camera = component([FRAME] * 10)
    camera.limit_fps(5)
    camera.run(Rounds(10))
    assert (camera.counts.processed, camera.counts.skipped) == (5, 5)


@pytest.mark.parametrize("fault", [field.name for field in fields(ViewState)])
def test_each_fault_of_the_view_has_a_gauge(monkeypatch, fault):
    made = component([])
    assert made.gauges()[f"view.{fault}"] == 0
    monkeypatch.setattr(CameraComponent, "view", ViewState(**{fault: True}))
    assert {name for name, value in made.gauges().items() if value and name.startswith("view.")} == {
        f"view.{fault}"
    }
