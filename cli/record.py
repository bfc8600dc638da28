"""``patrol-lpr record``: record a drive from the configured camera and receiver; nothing is read or sent."""

from __future__ import annotations

import queue
import signal
import threading
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live

from agent.errors import ConfigError
from agent.runtime.config import load_config
from cli.terminal import PlainConsole, plain, say
from hw.clock import RealClock
from hw.drive_format import DriveCamera, DriveHeader
from hw.open import open_cameras, open_gnss
from hw.ports import CameraEndedError, CameraStalledError, Frame, GnssLostError, NmeaLine
from hw.recorder import DriveRecorder

if TYPE_CHECKING:
    from pathlib import Path

    from agent.runtime.config import AgentConfig
    from hw.config import CameraConfig
    from hw.ports import Camera, Gnss

_NS_PER_S = 1_000_000_000
_FRAME_TIMEOUT_S = 2.0
_LINE_TIMEOUT_S = 0.5


def run(path: Path, overrides: list[str], out: Path, *, camera_name: str | None, seconds: float | None) -> int:
    """Record until Ctrl-C, the end of the source, or ``seconds``.

    Raises ConfigError if no camera has the name, HwError if nothing can be recorded.
    """
    config = load_config(path, overrides)
    clock = RealClock()
    (camera,) = open_cameras([_wanted(config, camera_name)], clock)
    with closing(camera), closing(open_gnss(config.hw.gnss, clock)) as gnss:
        first = camera.next_frame(timeout_s=_FRAME_TIMEOUT_S * 5)
        recorder = DriveRecorder(out, _header(config, out, first, clock), origin_ns=first.t_mono_ns)
        with closing(recorder):
            _record(recorder, camera, gnss, first, seconds)
    PlainConsole().print(
        f"{plain(str(out))}: {recorder.frames} frames, {recorder.lines} sentences; add truth.csv to make it a test"
    )
    if recorder.of_another_size:
        say(
            f"{out}: {recorder.of_another_size} frames are left out, as they are not of the size of the first one; "
            "record into another folder for the new size"
        )
    return 0


def _wanted(config: AgentConfig, name: str | None) -> CameraConfig:
    for camera in config.hw.cameras:
        if name in {None, camera.name}:
            return camera
    names = ", ".join(camera.name for camera in config.hw.cameras)
    raise ConfigError(f"--camera {name}: no such camera; configured: {names}")


def _record(recorder: DriveRecorder, camera: Camera, gnss: Gnss, first: Frame, seconds: float | None) -> None:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if seconds is not None:
        timer = threading.Timer(seconds, stop.set)
        timer.daemon = True
        timer.start()
    lines: queue.SimpleQueue[NmeaLine] = queue.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(gnss, lines, stop), name="gnss", daemon=True)
    listener.start()
    try:
        _write(recorder, camera, first, lines, stop)
    finally:
        stop.set()
        listener.join()


def _write(
    recorder: DriveRecorder,
    camera: Camera,
    first: Frame,
    lines: queue.SimpleQueue[NmeaLine],
    stop: threading.Event,
) -> None:
    frame: Frame | None = first
    with Live(console=Console(stderr=True), refresh_per_second=4) as live:
        while not stop.is_set() and frame is not None:
            recorder.add_frame(frame)
            while not lines.empty():
                recorder.add_line(lines.get_nowait())
            live.update(f"recording: {recorder.frames} frames, {recorder.lines} sentences; Ctrl-C to stop")
            frame = _next(camera, stop)


def _next(camera: Camera, stop: threading.Event) -> Frame | None:
    while not stop.is_set():
        try:
            return camera.next_frame(timeout_s=_FRAME_TIMEOUT_S)
        except CameraStalledError:
            continue
        except CameraEndedError:
            return None
    return None


def _listen(gnss: Gnss, lines: queue.SimpleQueue[NmeaLine], stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            line = gnss.next_line(timeout_s=_LINE_TIMEOUT_S)
        except GnssLostError:
            stop.wait(_LINE_TIMEOUT_S)
            continue
        if line is not None:
            lines.put(line)


def _header(config: AgentConfig, out: Path, first: Frame, clock: RealClock) -> DriveHeader:
    height_px, width_px = first.rgb.shape[:2]
    camera = next(c for c in config.hw.cameras if c.name == first.camera)
    age_ns = clock.mono_ns() - first.t_mono_ns
    start_utc_ns = clock.utc_ns() - age_ns
    return DriveHeader(
        name=out.name,
        source="field",
        date=datetime.fromtimestamp(start_utc_ns / _NS_PER_S, UTC).date().isoformat(),
        place="",
        licence="not for distribution: contains real plates",
        notes="recorded by patrol-lpr",
        unit=config.unit,
        start_utc_ns=start_utc_ns,
        camera=DriveCamera(camera.name, camera.role, getattr(camera, "fps", None) or 25.0, width_px, height_px),
        recogniser="model",
        floors={},
    )
