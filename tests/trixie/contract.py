"""Runs inside a Debian trixie, on Python 3.13: the product's camera on picamera2's own objects; prints JSON."""

from __future__ import annotations

import json
import logging
import platform
import sys
import time
from pathlib import Path

import numpy as np

from agent.recognise import Recogniser, load_active
from agent.recognise.interpreter import RuntimeKind, choose_runtime
from agent.recognise.models_folder import default_models_folder
from hw.camera_pi import CameraPi
from hw.config import PiCameraConfig
from hw.ports import CameraEndedError, CameraStalledError
from tests.trixie.virtual import MODULE

CYCLES = int(sys.argv[1])
CONFIG = PiCameraConfig(kind="pi", name="front", width_px=1280, height_px=720, fps=30, pixel_format="NV12")
LORES = CONFIG.model_copy(update={"lores_width_px": 640, "lores_height_px": 480})


def truth() -> set[str]:
    """The plates of the drive whose pictures the camera shows."""
    rows = Path("/src/tests/drives/city-day/truth.csv").read_text(encoding="utf-8").splitlines()[1:]
    return {row.split(",")[5] for row in rows}


def descriptors() -> int:
    """Open files of this process."""
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def main() -> None:
    """Open, look, read, stall, close, and again."""
    logging.disable(logging.INFO)
    found: dict[str, object] = {
        "python": platform.python_version(),
        "runtime": str(choose_runtime(RuntimeKind.AUTO)),
    }
    camera = CameraPi(CONFIG, MODULE)
    found["main"] = [camera.main.pixel_format, camera.main.width_px, camera.main.height_px]
    recogniser = Recogniser(*load_active(default_models_folder()))
    texts: set[str] = set()
    seqs, stamps, distinct = [], [], set()
    until = time.monotonic() + 20
    while time.monotonic() < until and len(seqs) < 60:
        frame = camera.next_frame(timeout_s=5.0)
        seqs.append(frame.seq)
        stamps.append(frame.t_mono_ns)
        distinct.add(hash(frame.rgb[::20, ::20].tobytes()))
        texts |= {s.plate.text for s in recogniser.read(frame, recogniser.detect(frame))}
    found |= {
        "shape": list(frame.rgb.shape),
        "pictures": len(distinct),
        "plates_right": len(texts & truth()),
        "seq_grows": bool(np.all(np.diff(seqs) >= 1)),
        "time_grows": bool(np.all(np.diff(stamps) > 0)),
        "age_s": (time.monotonic_ns() - stamps[-1]) / 1e9,
    }
    camera.close()
    try:
        camera.next_frame(timeout_s=1.0)
    except CameraEndedError:
        found["ended"] = True

    odd = CameraPi(CONFIG.model_copy(update={"pixel_format": "RGB888"}), MODULE)
    found["asked_rgb888_got"] = odd.main.pixel_format
    found["odd_shape"] = list(odd.next_frame(timeout_s=5.0).rgb.shape)
    odd.close()

    two = CameraPi(LORES, MODULE)
    small = two.next_frame(timeout_s=5.0)
    found["lores"] = list(small.lores.shape)
    big = small.rgb.reshape(-1, 3).mean(axis=0)
    found["same_scene"] = float(np.abs(big - small.lores.reshape(-1, 3).mean(axis=0)).max())
    two._camera.stop()
    try:
        while True:
            two.next_frame(timeout_s=0.5)
    except CameraStalledError:
        found["stalled"] = True
    found["after_stall"] = two.next_frame(timeout_s=5.0).seq > small.seq
    two.close()

    for cycle in range(CYCLES):
        again = CameraPi(CONFIG, MODULE)
        again.next_frame(timeout_s=5.0)
        again.close()
        if cycle == min(20, CYCLES - 1):
            found["files_early"] = descriptors()
    found["files_late"] = descriptors()
    found["cycles"] = CYCLES
    print(json.dumps(found))


main()
