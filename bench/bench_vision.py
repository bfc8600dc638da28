"""The vision step on one 1280x720 frame with one plate, against its two interpreter calls alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from agent.pipeline import Vision
from agent.recognise import Recogniser, load_active
from agent.runtime.models import default_models_folder
from agent.track import Tracker
from bench.measure import Figure, cpu_ms, interleaved_cpu_ms
from hw.images import load_rgb
from hw.ports import Frame

DRIVE = Path("tests/drives/city-day")


def frame_with_one_plate(recogniser: Recogniser) -> Frame:
    """The first frame of the drive in which exactly one plate is read."""
    for path in sorted((DRIVE / "frames").iterdir()):
        frame = Frame(0, "front", 0, load_rgb(path), 4000, 1.0)
        if len(recogniser.read(frame, recogniser.detect(frame))) == 1:
            return frame
    raise SystemExit(f"{DRIVE}: no frame with exactly one plate")


def main() -> None:
    """Print the figures as JSON lines."""
    cv2.setNumThreads(1)  # as the runtime does
    detector, ocr = load_active(default_models_folder())
    recogniser = Recogniser(detector, ocr)
    frame = frame_with_one_plate(recogniser)
    vision = Vision(recogniser, Tracker())
    models = [(b.open(), np.zeros(b.contract.input.shape, np.int8)) for b in (detector, ocr)]

    # One call after the other, as in the step: alone in a loop each would keep the caches to itself.
    step, calls = interleaved_cpu_ms(lambda: vision.step(frame), lambda: [m.invoke(t) for m, t in models])
    print(Figure("vision step / its two interpreter calls", step / calls, "x", limit=1.5).as_json())
    print(Figure("vision step, 1280x720, one plate", step, "ms").as_json())
    print(Figure("two interpreter calls", calls, "ms").as_json())
    for name, (model, tensor) in zip(("detector", "OCR"), models, strict=True):
        print(
            Figure(f"{name} call, alone in a loop", cpu_ms(lambda m=model, t=tensor: m.invoke(t)), "ms").as_json()
        )


if __name__ == "__main__":
    main()
