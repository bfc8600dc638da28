"""Several cameras in a unit, stalled and missing cameras."""

from __future__ import annotations

import threading

import pytest

from agent.errors import FatalError
from agent.runtime.hardware import Hardware
from agent.runtime.service import Service
from cli.demo import DriveClock
from cli.scripted import ScriptedReader
from cli.simulate import config_for
from hw.camera_sim import CameraSim
from hw.drive_load import load_drive
from hw.open import open_board, open_gnss, open_panel
from hw.ports import CameraAbsentError, CameraEndedError, CameraStalledError, Lamp, LinkUp
from protocol.wire.codec import decode
from protocol.wire.control.unit_state import Status
from protocol.wire.enums import UnitState
from protocol.wire.record import decode_record
from protocol.wire.records.read import Read
from protocol.wire.released import released_registry
from tests.drive_builder import write_drive

FRONT, REAR = "7ABC123", "8XYZ987"


class Heard:
    """A link that is always up and keeps what is published."""

    def __init__(self) -> None:
        self.reads = []
        self.states = []

    def start(self, on_event, *, subscribe, will) -> None:
        on_event(LinkUp(16, None))

    def confirm(self) -> None:
        """See the port."""

    def publish(self, topic, payload, *, token, retain=False, qos=1) -> None:
        if topic.endswith("/up/read"):
            body = decode_record(payload, released_registry()).body
            self.reads += [body] if isinstance(body, Read) else []
        elif topic.endswith("/st"):
            status = decode(payload, Status)
            self.states.append((status.state, status.reason))

    def close(self) -> None:
        return


class PerCamera:
    """The truth of each camera's own drive."""

    def __init__(self, readers: dict[str, ScriptedReader]) -> None:
        self._readers = readers

    def detect(self, frame):
        return self._readers[frame.camera].detect(frame)

    def read(self, frame, detections):
        return self._readers[frame.camera].read(frame, detections)


class Unplugged:
    """A camera that is not there until it is plugged in; it then behaves as the one inside."""

    def __init__(self, inner: CameraSim) -> None:
        self._inner, self.name = inner, inner.name
        self._plugged, self._closed = threading.Event(), threading.Event()

    def plug_in(self) -> None:
        self._plugged.set()

    def next_frame(self, *, timeout_s: float):
        if self._closed.is_set():
            raise CameraEndedError("closed")
        if not self._plugged.wait(0.05):
            raise CameraAbsentError(f"camera {self.name}: not there")
        return self._inner.next_frame(timeout_s=timeout_s)

    def close(self) -> None:
        self._closed.set()
        self._inner.close()


@pytest.fixture
def unit(tmp_path):
    """A unit that looks forward and back, each along a drive of its own: service, link, panel, rear camera."""
    ways = {
        name: load_drive(write_drive(tmp_path / name, seconds=30, plates={text: (0.0, 2.0)}))
        for name, text in (("front", FRONT), ("rear", REAR))
    }
    config = config_for(ways["front"], tmp_path / "state")
    cameras = [{"kind": "sim", "name": "front", "role": "front"}, {"kind": "sim", "name": "boot", "role": "rear"}]
    hw = config.hw.model_validate({**config.hw.model_dump(), "cameras": cameras})
    config = config.model_copy(update={"hw": hw})
    clock = DriveClock(ways["front"])
    origin = clock.mono_ns()
    shared = {"drive": ways["front"], "origin_ns": origin}
    panel, link = open_panel(hw.panel, clock, **shared), Heard()
    rear = Unplugged(CameraSim(ways["rear"], clock, name="boot", origin_ns=origin))
    hardware = Hardware(
        (CameraSim(ways["front"], clock, origin_ns=origin), rear),
        open_gnss(hw.gnss, clock, **shared),
        panel,
        link,
        open_board(hw.board, clock, **shared),
        clock,
    )
    readers = {"front": ScriptedReader(ways["front"]), "boot": ScriptedReader(ways["rear"])}
    return Service(config, hardware, lambda: PerCamera(readers), ScriptedReader.models), link, panel, rear


@pytest.mark.slow
def test_reads_have_name_and_role_of_their_camera(unit):
    """Front and rear in one unit: two threads, two recognisers, one outbox."""
    service, link, _, rear = unit
    rear.plug_in()
    service.run(on_watch=lambda running: running.stop() if len(link.reads) >= 2 else None, drain_s=0)
    assert {(r.text, r.camera, r.camera_role) for r in link.reads} == {
        (FRONT, "front", "front"),
        (REAR, "boot", "rear"),
    }
    assert not any(camera.missing for camera in service.cameras)


@pytest.mark.slow
def test_camera_unplugged_at_boot_does_not_affect_the_other(unit):
    """The other reads and sends; lamp, gauge and status show the missing one, and its return."""
    service, link, panel, rear = unit
    seen = []

    def watch(running: Service) -> None:
        missing = sum(source.gauges()["devices.cameras_missing"] for source in running.cameras)
        if not seen and link.reads and panel.lamps[-1:] == [Lamp.NO_CAMERA]:
            assert missing == 1
            seen.append("missing")
            rear.plug_in()
        elif seen and not missing and panel.lamps[-1] is not Lamp.NO_CAMERA:
            running.stop()

    service.run(on_watch=watch, drain_s=0)
    assert {r.camera for r in link.reads} >= {"front"}
    assert (UnitState.DEGRADED, "no_camera") in link.states
    assert service.health.counters()["devices.camera_stalls"] > 0


class FallsSilent:
    """A camera that works, then waits until all cameras of the unit have shown enough, and never delivers again."""

    def __init__(self, inner: CameraSim, frames: int, together: threading.Barrier) -> None:
        self._inner, self.name, self._left, self._together = inner, inner.name, frames, together

    def next_frame(self, *, timeout_s: float):
        if self._left:
            self._left -= 1
            frame = self._inner.next_frame(timeout_s=timeout_s)
            if not self._left:
                self._together.wait(60)
            return frame
        raise CameraStalledError(f"camera {self.name}: no frame")

    def close(self) -> None:
        self._inner.close()


@pytest.mark.slow
def test_permanently_stalled_cameras_lose_no_seen_plate(unit):
    """Both cameras fail at once with open tracks: the process ends by the failure, both reads are on the disk."""
    service, _, _, rear = unit
    rear.plug_in()
    together = threading.Barrier(2)
    for camera in service.cameras:
        camera._camera = FallsSilent(camera._camera, 3, together)
    with pytest.raises(FatalError, match="8 times in a row"):
        service.run(drain_s=0)
    assert {(read.body.text, read.body.camera) for read in service.progress.reads} == {
        (FRONT, "front"),
        (REAR, "boot"),
    }
    assert service.outbox_stats.appended == 2
    assert service.health.counters()["tracks.closed"] == 2
