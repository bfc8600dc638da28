"""A network camera as cars have them: H.264 over RTSP, with a password, that goes away and comes back."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import contextmanager

import pytest
import structlog

from hw.backoff import Backoff
from hw.camera_device import CameraDevice, open_capture
from hw.clock import RealClock
from hw.config import DeviceCameraConfig
from hw.ports import CameraAbsentError, CameraStalledError
from tests.conftest import ROOT

pytestmark = pytest.mark.integration
SYSTEM_PYTHON = "/usr/bin/python3"
"""GStreamer's bindings belong to it, not to a virtual environment."""
QUICK = Backoff(0.05, 0.2)


@contextmanager
def serving(port: str = "0"):
    """An RTSP camera on loopback; yields its port."""
    script = str(ROOT / "tests/rtsp_server.py")
    command = (SYSTEM_PYTHON, script, "--port", port, "--user", "patrol", "--password", "w0rd")
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        told = server.stdout.readline().strip()
        assert told.isdecimal(), "GStreamer's RTSP server is missing: see .ci/system-packages"
        yield told
    finally:
        server.kill()
        server.wait()
        server.stdin.close()
        server.stdout.close()


def camera_at(port: str, *, word: str = "w0rd", open_video=open_capture) -> CameraDevice:
    address = f"rtsp://patrol:{word}@127.0.0.1:{port}/camera"
    config = DeviceCameraConfig(kind="device", name="rear", source=address, timeout_s=3)
    return CameraDevice(config, RealClock(), open_video=open_video, backoff=QUICK)


class Counting:
    """OpenCV's reader, telling when it has read so many frames."""

    def __init__(self, config, enough: threading.Event) -> None:
        self._video = open_capture(config)
        self._enough = enough
        self._grabbed = 0

    def grab(self) -> bool:
        self._grabbed += 1
        if self._grabbed > 40:
            self._enough.set()
        return self._video.grab()

    def __getattr__(self, name):
        return getattr(self._video, name)


def eventually(camera: CameraDevice):
    while True:
        try:
            return camera.next_frame(timeout_s=30.0)
        except CameraStalledError:
            continue


def test_rtsp_stream_is_reopened_after_a_loss():
    """Red is red, the frame is of now; killed: absent is said in time; back on the same port: numbers go on."""
    with serving() as port:
        camera = camera_at(port)
        first = eventually(camera)
        assert first.rgb.shape == (180, 320, 3)
        red, green, blue = first.rgb.reshape(-1, 3).mean(axis=0)
        assert red > 200
        assert max(green, blue) < 60
        late = [eventually(camera) for _ in range(20)][-1]
        assert late.seq >= 20
    lost = None
    while not isinstance(lost, CameraAbsentError):
        try:
            late = camera.next_frame(timeout_s=3.0)
        except CameraStalledError as error:
            lost = error
    with serving(port):
        assert eventually(camera).seq > late.seq
        camera.close()


def test_slow_consumer_gets_the_newest_frame():
    """Frames that nobody took are gone, and numbered: no backlog of old ones builds up."""
    enough = threading.Event()
    with serving() as port:
        camera = camera_at(port, open_video=lambda config: Counting(config, enough))
        assert enough.wait(60)
        newest, next_one = eventually(camera), eventually(camera)
        assert 39 <= newest.seq < next_one.seq
        camera.close()


def test_wrong_rtsp_password_is_reported_and_no_password_is_shown(capfd):
    """Neither FFmpeg's own words on the terminal, nor the log, nor the error hold it."""
    with serving() as port, structlog.testing.capture_logs() as logs:
        camera = camera_at(port, word="wr0ng")
        with pytest.raises(CameraAbsentError, match=r"rtsp://\*\*\*@127") as absent:
            camera.next_frame(timeout_s=10.0)
        camera.close()
    said = "".join(capfd.readouterr()) + str(absent.value) + str(logs)
    assert "401" in said, "FFmpeg says why"
    assert "wr0ng" not in said


def test_rtsp_uses_tcp(capfd):
    """UDP is not even tried: the server refuses it, and would have said so."""
    with serving() as port:
        camera = camera_at(port)
        eventually(camera)
        camera.close()
    assert "461" not in "".join(capfd.readouterr())
    assert os.environ["OPENCV_FFMPEG_CAPTURE_OPTIONS"] == "rtsp_transport;tcp"
