"""What every camera promises, simulated or real."""

from __future__ import annotations

import queue
import threading
from functools import partial
from itertools import pairwise

import cv2
import numpy as np
import pytest

from hw.camera_device import CameraDevice
from hw.camera_files import CameraFiles, FolderPictures, VideoPictures
from hw.camera_pi import CameraPi
from hw.camera_sim import CameraSim
from hw.clock import RealClock, SimClock
from hw.config import DeviceCameraConfig, FolderCameraConfig, PiCameraConfig, VideoCameraConfig
from hw.drive_load import load_drive
from hw.images import bgr_to_rgb
from hw.newest_frame import NewestFrame
from hw.ports import CameraAbsentError, CameraEndedError, CameraStalledError, Exposure, Frame, HwConfigError
from tests.drive_builder import write_drive

FRAMES = 5
WIDTH, HEIGHT = 320, 180


def red_picture() -> np.ndarray:
    """Red in BGR: shows at once when channels are swapped."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    picture[..., 2] = 200
    return picture


def sim(tmp_path):
    drive = load_drive(write_drive(tmp_path / "drive", seconds=1.0))
    for file in (drive.root / "frames").iterdir():
        cv2.imwrite(str(file), red_picture())
    return CameraSim(drive, SimClock(), name="front")


def folder(tmp_path):
    for number in range(FRAMES):
        cv2.imwrite(str(tmp_path / f"{number}.png"), red_picture())
    pictures = FolderPictures(FolderCameraConfig(kind="folder", name="front", path=tmp_path))
    return CameraFiles("front", pictures, SimClock(), loop=False, realtime=False)


def video(tmp_path):
    path = tmp_path / "video.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 10, (WIDTH, HEIGHT))
    for _ in range(FRAMES):
        writer.write(red_picture())
    writer.release()
    pictures = VideoPictures(VideoCameraConfig(kind="video", name="front", path=path))
    return CameraFiles("front", pictures, SimClock(), loop=False, realtime=False)


class FakeRequest:
    def __init__(self, number: int, buffer: np.ndarray | None = None) -> None:
        self.number = number
        # What picamera2 calls RGB888 is blue first in memory.
        self.buffer = red_picture() if buffer is None else buffer

    def make_array(self, _stream: str) -> np.ndarray:
        return self.buffer.copy()

    def release(self) -> None:
        """The camera writes the buffer again; whoever asks for it now has kept the request too long."""
        self.buffer[:] = 0
        self.make_array = None

    def get_metadata(self) -> dict[str, float]:
        return {"SensorTimestamp": 10**12 + self.number * 10**8, "ExposureTime": 4000, "AnalogueGain": 2.0}


class FakePicamera2:
    """As much of picamera2 as the back end uses; delivers a frame whenever it is asked to wait for one."""

    made: FakePicamera2
    starts = 0

    def __init__(self, _index: int) -> None:
        FakePicamera2.made = self
        self.pre_callback = None
        self.number = 0

    def create_video_configuration(self, **streams):
        return streams

    def configure(self, streams) -> None:
        self.streams = streams

    def camera_configuration(self):
        return {"main": {"format": "RGB888", "size": (WIDTH, HEIGHT), "stride": WIDTH * 3}}

    def set_controls(self, controls) -> None:
        self.controls = controls

    def start(self) -> None:
        FakePicamera2.starts += 1
        self.running = True

    def stop(self) -> None:
        self.running = False

    def close(self) -> None:
        self.closed = True

    def expose(self, buffer: np.ndarray | None = None) -> None:
        if self.pre_callback is not None:
            request = FakeRequest(self.number, buffer)
            self.pre_callback(request)
            request.release()
        self.number += 1


class PiWithSensor:
    """A CameraPi whose sensor exposes once before each wait."""

    def __init__(self, config) -> None:
        self._camera = CameraPi(config, type("module", (), {"Picamera2": FakePicamera2}))
        self.name = self._camera.name

    def next_frame(self, *, timeout_s: float):
        if FakePicamera2.made.number < FRAMES:
            FakePicamera2.made.expose()
        elif not hasattr(FakePicamera2.made, "closed"):
            self._camera.close()
        return self._camera.next_frame(timeout_s=timeout_s)

    def close(self) -> None:
        self._camera.close()


def pi(_tmp_path):
    return PiWithSensor(PiCameraConfig(kind="pi", name="front", width_px=WIDTH, height_px=HEIGHT))


class FakeVideo:
    """As much of cv2.VideoCapture as the back end uses; a frame for each permit, then it hangs like a silent camera."""

    def __init__(self, permits: queue.SimpleQueue) -> None:
        self._permits = permits
        self.released = threading.Event()

    def grab(self) -> bool:
        return self._permits.get()

    def retrieve(self):
        return True, red_picture()

    def release(self) -> None:
        self.released.set()


class DeviceWithSensor:
    """A CameraDevice whose sensor exposes once before each wait."""

    def __init__(self) -> None:
        self._permits = queue.SimpleQueue()
        self._left = FRAMES
        config = DeviceCameraConfig(kind="device", name="front", source=0)
        self._camera = CameraDevice(config, RealClock(), open_video=lambda _: FakeVideo(self._permits))
        self.name = self._camera.name

    def next_frame(self, *, timeout_s: float):
        if self._left:
            self._left -= 1
            self._permits.put(True)
        else:
            self.close()
        return self._camera.next_frame(timeout_s=timeout_s)

    def close(self) -> None:
        self._permits.put(False)
        self._camera.close()


def device(_tmp_path):
    return DeviceWithSensor()


@pytest.fixture(params=[sim, folder, video, pi, device], ids=lambda make: make.__name__)
def camera(request, tmp_path):
    made = request.param(tmp_path)
    yield made
    made.close()


def take_all(camera):
    frames = []
    while True:
        try:
            frames.append(camera.next_frame(timeout_s=2.0))
        except CameraEndedError:
            return frames


@pytest.mark.slow
def test_frames_are_numbered_and_stamped_in_order(camera):
    """Every frame has the next number or a higher one, and a later exposure."""
    frames = take_all(camera)
    assert [f.seq for f in frames] == list(range(FRAMES))
    assert all(a.t_mono_ns < b.t_mono_ns for a, b in pairwise(frames))


def test_frames_are_rgb_of_the_right_size(camera):
    """Red is red: channel order is the port's, whatever the device's."""
    frame = camera.next_frame(timeout_s=2.0)
    assert frame.rgb.shape == (HEIGHT, WIDTH, 3)
    assert frame.rgb.dtype == np.uint8
    red, green, blue = frame.rgb.reshape(-1, 3).mean(axis=0)
    assert red > 150
    assert green < 60
    assert blue < 60


@pytest.mark.slow
def test_frames_carry_camera_name(camera):
    """Reads say which camera they come from."""
    assert camera.next_frame(timeout_s=2.0).camera == camera.name == "front"


@pytest.mark.slow
def test_closed_camera_raises_ended(camera):
    """After close, waiting ends with CameraEndedError; closing twice is fine."""
    camera.close()
    camera.close()
    with pytest.raises(CameraEndedError):
        camera.next_frame(timeout_s=2.0)


@pytest.mark.slow
def test_newest_frame_is_kept_and_loss_is_visible():
    """A late consumer gets the newest frame; the gap in seq says how many went."""
    camera = CameraPi(
        PiCameraConfig(kind="pi", name="front", width_px=WIDTH, height_px=HEIGHT),
        type("module", (), {"Picamera2": FakePicamera2}),
    )
    for _ in range(4):
        FakePicamera2.made.expose()
    assert camera.next_frame(timeout_s=1.0).seq == 3
    with pytest.raises(CameraStalledError):
        camera.next_frame(timeout_s=0.01)
    camera.close()


PI = PiCameraConfig(kind="pi", name="front", width_px=WIDTH, height_px=HEIGHT)


def granting(pixel_format: str, stride_px: int = WIDTH) -> type:
    """A picamera2 that grants a format."""

    class Granting(FakePicamera2):
        def camera_configuration(self):
            return {"main": {"format": pixel_format, "size": (WIDTH, HEIGHT), "stride": stride_px}}

    return type("module", (), {"Picamera2": Granting})


def packed(channels: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (HEIGHT, WIDTH, channels), np.uint8)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pixel_format", "channels", "order"),
    [
        ("RGB888", 3, [2, 1, 0]),
        ("BGR888", 3, [0, 1, 2]),
        ("XRGB8888", 4, [2, 1, 0]),
        ("XBGR8888", 4, [0, 1, 2]),
    ],
)
def test_the_colours_of_a_pi_camera_are_put_in_order_and_nothing_else(pixel_format, channels, order):
    """Bit by bit what memory held, alpha left out."""
    buffer = packed(channels)
    expected = buffer[..., order]
    camera = CameraPi(PI, granting(pixel_format))
    FakePicamera2.made.expose(buffer)
    rgb = camera.next_frame(timeout_s=1.0).rgb
    assert rgb.flags.c_contiguous
    np.testing.assert_array_equal(rgb, expected)
    camera.close()


@pytest.mark.parametrize(
    ("pixel_format", "conversion"), [("YUV420", cv2.COLOR_YUV2RGB_I420), ("NV12", cv2.COLOR_YUV2RGB_NV12)]
)
def test_padding_of_a_pi_camera_s_rows_is_cut_off(pixel_format, conversion):
    buffer = np.random.default_rng(2).integers(0, 256, (HEIGHT * 3 // 2, WIDTH + 64), np.uint8)
    expected = cv2.cvtColor(buffer, conversion)[:, :WIDTH]
    camera = CameraPi(PI, granting(pixel_format, WIDTH + 64))
    FakePicamera2.made.expose(buffer)
    rgb = camera.next_frame(timeout_s=1.0).rgb
    assert rgb.flags.c_contiguous
    np.testing.assert_array_equal(rgb, expected)
    camera.close()


def test_readers_colours_are_turned_and_nothing_else():
    bgr = packed(3)
    np.testing.assert_array_equal(bgr_to_rgb(bgr), bgr[..., ::-1])
    assert bgr_to_rgb(bgr).flags.c_contiguous


def test_frames_that_nobody_takes_are_never_converted():
    """At thirty frames a second most are overwritten: turning their colours would be for nothing."""
    newest = NewestFrame("front")
    made: list[int] = []

    def make(seq: int) -> Frame:
        made.append(seq)
        return Frame(seq, "front", seq, packed(3), 0, 1.0)

    for _ in range(5):
        newest.put(partial(make, newest.next_seq()))
    assert newest.take(timeout_s=1.0).seq == 4
    newest.put(partial(make, newest.next_seq()))
    newest.end()
    with pytest.raises(CameraEndedError):
        newest.take(timeout_s=1.0)
    assert made == [4]


@pytest.mark.slow
def test_stalled_pi_camera_is_reopened():
    """After a time-out the next frame comes from a fresh camera, and numbers go on."""
    module = type("module", (), {"Picamera2": FakePicamera2})
    camera = CameraPi(PiCameraConfig(kind="pi", name="front", width_px=WIDTH, height_px=HEIGHT), module)
    FakePicamera2.made.expose()
    assert camera.next_frame(timeout_s=1.0).seq == 0
    first, starts = FakePicamera2.made, FakePicamera2.starts
    with pytest.raises(CameraStalledError, match="reopened"):
        camera.next_frame(timeout_s=0.01)
    assert first.closed
    assert FakePicamera2.starts == starts + 1
    FakePicamera2.made.expose()
    assert camera.next_frame(timeout_s=1.0).seq == 1
    camera.close()


@pytest.mark.slow
def test_missing_pi_camera_is_retried():
    """Unplugged at boot, or gone later: absent is said, and the first frame after it is back comes through."""

    class Unplugged(FakePicamera2):
        plugged = False

        def __init__(self, index: int) -> None:
            if not Unplugged.plugged:
                raise IndexError("list index out of range")
            super().__init__(index)

    config = PiCameraConfig(kind="pi", name="front", width_px=WIDTH, height_px=HEIGHT)
    camera = CameraPi(config, type("module", (), {"Picamera2": Unplugged}))
    for _ in range(3):
        with pytest.raises(CameraAbsentError, match="cable"):
            camera.next_frame(timeout_s=0.01)
    Unplugged.plugged = True
    with pytest.raises(CameraAbsentError):
        camera.next_frame(timeout_s=0.01)
    FakePicamera2.made.expose()
    assert camera.next_frame(timeout_s=1.0).seq == 0
    camera.close()


@pytest.mark.slow
def test_pi_camera_uses_granted_configuration():
    """picamera2 changes size and format without a word: what it says afterwards counts."""

    class Adjusting(FakePicamera2):
        def camera_configuration(self):
            return {"main": {"format": "NV12", "size": (WIDTH - 64, HEIGHT), "stride": WIDTH}}

        def expose(self) -> None:
            self.pre_callback(FakeRequest(0, np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)))

    config = PiCameraConfig(kind="pi", name="front", width_px=WIDTH, height_px=HEIGHT)
    camera = CameraPi(config, type("module", (), {"Picamera2": Adjusting}))
    FakePicamera2.made.expose()
    assert camera.next_frame(timeout_s=1.0).rgb.shape == (HEIGHT, WIDTH - 64, 3)
    camera.close()

    class Odd(FakePicamera2):
        def camera_configuration(self):
            return {"main": {"format": "SRGGB10", "size": (WIDTH, HEIGHT)}}

    with pytest.raises(HwConfigError, match="SRGGB10"):
        CameraPi(config, type("module", (), {"Picamera2": Odd}))


@pytest.mark.slow
def test_pi_camera_sets_exposure_unless_fixed():
    module = type("module", (), {"Picamera2": FakePicamera2})
    free = CameraPi(PiCameraConfig(kind="pi", name="front", width_px=WIDTH, height_px=HEIGHT), module)
    free.expose(Exposure(500, 2.0))
    assert FakePicamera2.made.controls == {"AeEnable": False, "ExposureTime": 500, "AnalogueGain": 2.0}
    free.close()
    fixed = PiCameraConfig(kind="pi", name="front", width_px=WIDTH, height_px=HEIGHT, exposure_us=800)
    camera = CameraPi(fixed, module)
    camera.expose(Exposure(500, 2.0))
    assert not hasattr(FakePicamera2.made, "controls")
    camera.close()


def test_pi_camera_reports_exposure():
    """Exposure and gain are those of the sensor, the time is its own."""
    camera = PiWithSensor(PiCameraConfig(kind="pi", name="front", width_px=WIDTH, height_px=HEIGHT))
    first, second = camera.next_frame(timeout_s=1.0), camera.next_frame(timeout_s=1.0)
    assert (first.exposure_us, first.gain) == (4000, 2.0)
    assert second.t_mono_ns - first.t_mono_ns == 10**8
    camera.close()


def test_simulated_camera_loses_late_frames(tmp_path):
    """Time passes between two calls: what was exposed meanwhile is gone, and numbered."""
    clock = SimClock()
    camera = CameraSim(load_drive(write_drive(tmp_path / "drive", seconds=2.0)), clock)
    assert camera.next_frame(timeout_s=1.0).seq == 0
    clock.advance(700_000_000)
    assert camera.next_frame(timeout_s=1.0).seq == 3


def test_realtime_folder_drops_late_pictures(tmp_path):
    """With realtime the pictures keep their own speed."""
    for number in range(10):
        cv2.imwrite(str(tmp_path / f"{number}.png"), red_picture())
    clock = SimClock()
    pictures = FolderPictures(FolderCameraConfig(kind="folder", name="front", path=tmp_path, fps=10))
    camera = CameraFiles("front", pictures, clock, loop=False, realtime=True)
    assert camera.next_frame(timeout_s=1.0).seq == 0
    clock.advance(500_000_000)
    assert camera.next_frame(timeout_s=1.0).seq > 2


def test_pictures_of_a_folder_come_in_the_order_of_their_numbers(tmp_path):
    """FFmpeg's %d has no leading zeros: frame 10 between 1 and 2 would tear every track."""
    names = ["a.png", "f1.png", "f2.png", "f03.png", "f10.png", "f10b2.png", "f10b11.png", "f100.png"]
    for grey, name in enumerate(names):
        cv2.imwrite(str(tmp_path / name), np.full((HEIGHT, WIDTH, 3), grey * 10, np.uint8))
    (tmp_path / "f1.png7").write_bytes(b"no picture by its name")
    pictures = FolderPictures(FolderCameraConfig(kind="folder", name="front", path=tmp_path))
    assert [pictures.next()[0, 0, 0] for _ in names] == [grey * 10 for grey in range(len(names))]


def test_a_looped_folder_goes_on_past_a_damaged_picture(tmp_path):
    """However often it is met; a folder of damaged ones alone ends."""
    cv2.imwrite(str(tmp_path / "1.png"), red_picture())
    (tmp_path / "2.png").write_bytes(b"no picture")
    pictures = FolderPictures(FolderCameraConfig(kind="folder", name="front", path=tmp_path, loop=True))
    camera = CameraFiles("front", pictures, SimClock(), loop=True, realtime=False)
    assert [camera.next_frame(timeout_s=1.0).seq for _ in range(10)] == list(range(0, 20, 2))
    (tmp_path / "1.png").write_bytes(b"no picture")
    with pytest.raises(CameraEndedError):
        camera.next_frame(timeout_s=1.0)


def test_truncated_video_ends(tmp_path):
    """A torn file gives what it has and then ends; it does not hang or raise anything else."""
    jpeg = cv2.imencode(".jpg", red_picture())[1].tobytes()
    path = tmp_path / "video.mjpeg"
    path.write_bytes((jpeg * FRAMES)[: -len(jpeg) // 2])
    pictures = VideoPictures(VideoCameraConfig(kind="video", name="front", path=path))
    torn = CameraFiles("front", pictures, RealClock(), loop=False, realtime=False)
    assert 1 <= len(take_all(torn)) <= FRAMES


def test_file_that_is_not_a_video_is_refused(tmp_path):
    """Garbage and missing files are named, at the start."""
    for name, content in (("garbage.avi", b"no video at all" * 100), ("missing.avi", None)):
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(HwConfigError, match=name):
            VideoPictures(VideoCameraConfig(kind="video", name="front", path=tmp_path / name))
