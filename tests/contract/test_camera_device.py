"""USB cameras and streams: gone and back, silent, adjusted; and what of an address may be shown."""

from __future__ import annotations

import json
import queue
import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest
import structlog

from agent.errors import ConfigError
from agent.runtime.config import parse_config
from hw.backoff import Backoff
from hw.camera_device import CameraDevice, open_capture
from hw.clock import RealClock
from hw.config import DeviceCameraConfig, without_credentials
from hw.ports import CameraAbsentError, CameraEndedError, CameraStalledError

ADDRESS = "rtsp://patrol:w0rd@192.0.2.7:554/stream?channel=1"
QUICK = Backoff(0.0, 0.01)


class Socket:
    """Where a camera is plugged in and out; each opening delivers until it is pulled."""

    def __init__(self, *, plugged: bool) -> None:
        self.plugged = plugged
        self._openings = queue.SimpleQueue()

    def open(self, _config) -> Plugged | None:
        if not self.plugged:
            return None
        made = Plugged()
        self._openings.put(made)
        return made

    def opening(self) -> Plugged:
        """The next one, when it has come to that."""
        return self._openings.get(timeout=60)


class Plugged:
    """One opening of it."""

    def __init__(self) -> None:
        self.frames = queue.SimpleQueue()
        self.released = threading.Event()

    def grab(self) -> bool:
        self._picture = self.frames.get()
        return self._picture is not None

    def retrieve(self):
        return True, self._picture

    def release(self) -> None:
        self.released.set()


def picture(level: int, *, width: int = 320) -> np.ndarray:
    return np.full((180, width, 3), level, np.uint8)


JPEG = cv2.imencode(".jpg", picture(200))[1].tobytes()


def camera_on(socket: Socket, **options) -> CameraDevice:
    config = DeviceCameraConfig(kind="device", name="rear", role="rear", source=0, **options)
    return CameraDevice(config, RealClock(), open_video=socket.open, backoff=QUICK)


def eventually(camera: CameraDevice):
    """The next frame, even if the camera has to be opened again for it."""
    for _ in range(20):
        try:
            return camera.next_frame(timeout_s=10.0)
        except CameraStalledError:
            continue
    raise AssertionError("no frame any more")


def test_disconnected_camera_is_reopened_and_numbering_continues():
    """Pulled: the old opening is given back; plugged in again: frames, with the next number."""
    socket = Socket(plugged=True)
    camera = camera_on(socket)
    first = socket.opening()
    first.frames.put(picture(10))
    assert camera.next_frame(timeout_s=10.0).seq == 0
    socket.plugged = False
    first.frames.put(None)
    assert first.released.wait(60)
    with pytest.raises(CameraAbsentError, match="camera rear"):
        camera.next_frame(timeout_s=0.3)
    socket.plugged = True
    second = socket.opening()
    second.frames.put(picture(20))
    frame = eventually(camera)
    assert (frame.seq, int(frame.rgb[0, 0, 0])) == (1, 20)
    second.frames.put(None)
    camera.close()


def test_missing_camera_is_retried():
    socket = Socket(plugged=False)
    camera = camera_on(socket)
    with pytest.raises(CameraAbsentError, match="check that it is connected"):
        camera.next_frame(timeout_s=0.3)
    socket.plugged = True
    plugged = socket.opening()
    plugged.frames.put(picture(10))
    assert eventually(camera).seq == 0
    plugged.frames.put(None)
    camera.close()


def test_silent_camera_is_stalled():
    """Silence is no absence: a restart may help."""
    socket = Socket(plugged=True)
    camera = camera_on(socket)
    plugged = socket.opening()
    with pytest.raises(CameraStalledError) as stall:
        camera.next_frame(timeout_s=0.05)
    assert not isinstance(stall.value, CameraAbsentError)
    plugged.frames.put(None)
    camera.close()


def test_only_the_newest_frame_is_kept():
    socket = Socket(plugged=True)
    camera = camera_on(socket)
    plugged = socket.opening()
    for level in range(1, 6):
        plugged.frames.put(picture(level))
    frame = camera.next_frame(timeout_s=10.0)
    while frame.seq < 4:
        frame = camera.next_frame(timeout_s=10.0)
    assert int(frame.rgb[0, 0, 0]) == 5
    plugged.frames.put(None)
    camera.close()


def test_changed_frame_size_is_logged_once():
    socket = Socket(plugged=True)
    with structlog.testing.capture_logs() as logs:
        camera = camera_on(socket, width_px=640, height_px=180)
        plugged = socket.opening()
        for _ in range(2):
            plugged.frames.put(picture(1))
            camera.next_frame(timeout_s=10.0)
        plugged.frames.put(None)
        camera.close()
    (said,) = [entry for entry in logs if entry["event"] == "camera_adjusted"]
    assert (said["wanted"], said["granted"]) == ((640, 180), (320, 180))


@pytest.mark.slow
def test_close_does_not_wait_for_hanging_read():
    """The driver does not come back: the consumer is free all the same."""
    socket = Socket(plugged=True)
    camera = camera_on(socket)
    plugged = socket.opening()
    camera.close()
    with pytest.raises(CameraEndedError):
        camera.next_frame(timeout_s=10.0)
    plugged.frames.put(None)


class Pictures(BaseHTTPRequestHandler):
    """A network camera: forty pictures for each that asks, then it breaks off."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=next")
        self.end_headers()
        head = f"--next\r\nContent-Type: image/jpeg\r\nContent-Length: {len(JPEG)}\r\n\r\n"
        with suppress(ConnectionError):
            self.wfile.write((head.encode() + JPEG + b"\r\n") * 40)

    def log_message(self, *_: object) -> None:
        """The test's output is its own."""


@pytest.fixture
def network_camera():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Pictures)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_opencv_reads_interrupted_stream(network_camera):
    """OpenCV's own reader on a stream of JPEGs: what the fakes stand for.

    No pipe in its place: opening one has no end while nobody writes, and OpenCV opens one stream at a time.
    """
    config = DeviceCameraConfig(kind="device", name="rear", source=network_camera)
    camera = CameraDevice(config, RealClock(), backoff=QUICK)
    try:
        frame = eventually(camera)
        while frame.seq < 40:  # the second opening's first, or later
            later = eventually(camera)
            assert later.seq > frame.seq
            frame = later
    finally:
        camera.close()
    assert abs(int(frame.rgb.mean()) - 200) < 5


def test_opencv_without_camera(tmp_path, capfd):
    for source in (str(tmp_path / "missing"), "rtsp://patrol:w0rd@127.0.0.1:9/stream"):
        assert open_capture(DeviceCameraConfig(kind="device", source=source, timeout_s=1)) is None
    assert "w0rd" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (ADDRESS, "rtsp://***@192.0.2.7:554/stream?channel=1"),
        ("rtsp://u:p@ss/w#rd@host/x", "rtsp://***@host/x"),
        ("rtsp://host/x?user=me&password=w0rd&channel=1", "rtsp://host/x?user=***&password=***&channel=1"),
        ("rtsp://host:554/x", "rtsp://host:554/x"),
        ("{'source': 'rtsp://u:p@h/x', 'name': 'rear'}", "{'source': 'rtsp://***@h/x', 'name': 'rear'}"),
        ("/dev/video0", "/dev/video0"),
    ],
)
def test_credentials_in_addresses_are_masked(text, shown):
    assert without_credentials(text) == shown


def test_configuration_output_contains_no_password(tmp_path):
    """Shown as JSON, printed by a program, or complained about: never."""
    camera = {"kind": "device", "name": "rear", "source": ADDRESS}
    table = {"unit": "unit-07", "agency": "Example", "hw": {"cameras": [camera]}}
    config = parse_config(table, "test")
    assert config.hw.cameras[0].source == ADDRESS
    for text in (json.dumps(config.model_dump(mode="json")), repr(config), str(config)):
        assert "w0rd" not in text
    wrong = ({**camera, "source": [ADDRESS]}, {**camera, "fps": 0}, {**camera, "kind": ADDRESS})
    for cameras in ([camera, camera], *([one] for one in wrong)):
        with pytest.raises(ConfigError) as complaint:
            parse_config({**table, "hw": {"cameras": cameras}}, "test")
        assert "w0rd" not in str(complaint.value)


def test_file_as_device_source_is_refused(tmp_path):
    """A file ends; a device is opened again for ever."""
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(ValueError, match='kind = "video"'):
        DeviceCameraConfig(kind="device", source=str(tmp_path / "clip.mp4"))


def test_stall_message_contains_no_password():
    camera = CameraDevice(
        DeviceCameraConfig(kind="device", source=ADDRESS), RealClock(), open_video=lambda _: None, backoff=QUICK
    )
    with pytest.raises(CameraAbsentError, match=r"rtsp://\*\*\*@192") as absent:
        camera.next_frame(timeout_s=0.3)
    assert "w0rd" not in str(absent.value)
    camera.close()
