"""The vision step on one 1280x720 frame with one plate, against the interpreter calls it makes, alone."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from agent.pipeline import CameraPipeline
from agent.recognise import Recogniser, load_active
from agent.recognise.models_folder import default_models_folder
from agent.track import Tracker
from bench.measure import Figure, arguments, cpu_ms, interleaved_cpu_ms
from hw.images import load_rgb
from hw.ports import Frame

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from agent.recognise.interpreter import Model
    from agent.records import Detection

DRIVE = Path("tests/drives/city-day")
SURE = 0.95
ROUNDS = 150
VOTES = 5
"""Reads of a frame, of which at least one needs no OCR call for the orientation."""


class Counting:
    """A model that counts its calls."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.calls = 0

    def invoke(self, tensor: NDArray[np.int8]) -> list[NDArray[np.int8]]:
        self.calls += 1
        return self._model.invoke(tensor)


def frame_with_one_plate(recogniser: Recogniser) -> tuple[Frame, int]:
    """A frame with one sure plate and the fewest OCR calls (boxes of no plate cost calls, too), and their number."""
    best: tuple[Frame, int] | None = None
    for path in sorted((DRIVE / "frames").iterdir()):
        frame = Frame(0, "front", 0, load_rgb(path), 4000, 1.0)
        detections = recogniser.detect(frame)
        sure = [s for s in recogniser.read(frame, detections) if s.plate.confidence > SURE]
        if len(sure) != 1:
            continue
        calls = usual_ocr_calls(recogniser, frame, detections)
        if best is None or calls < best[1]:
            best = frame, calls
    if best is None:
        raise SystemExit(f"{DRIVE}: no frame with one sure plate")
    return best


def usual_ocr_calls(recogniser: Recogniser, frame: Frame, detections: list[Detection]) -> int:
    """The OCR calls of a frame; the camera's orientation, voted on at the start and now and then, needs more."""
    ocr = recogniser.ocr
    counting = Counting(ocr._model)  # noqa: SLF001 - a bench may look inside
    ocr._model = counting  # type: ignore[assignment]  # noqa: SLF001
    calls = []
    for _ in range(VOTES):
        counting.calls = 0
        recogniser.read(frame, detections)
        calls.append(counting.calls)
    ocr._model = counting._model  # noqa: SLF001
    return min(calls)


def noise(shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Noise in the lowest bit."""
    return np.random.default_rng(1).integers(0, 2, shape, np.uint8)


def drive_figures(recogniser: Recogniser, max_frames: int) -> list[Figure]:
    """Where the time of a frame goes in a drive: its stages, the boxes found and the OCR calls."""
    counting = Counting(recogniser.ocr._model)  # noqa: SLF001 - a bench may look inside
    recogniser.ocr._model = counting  # type: ignore[assignment]  # noqa: SLF001
    pipeline, spent_ns = CameraPipeline(recogniser, Tracker()), dict.fromkeys(("detect", "ocr", "track"), 0)
    last_ns = 0

    def lap(stage: str) -> None:
        nonlocal last_ns
        now_ns = time.process_time_ns()
        spent_ns[stage] += now_ns - last_ns
        last_ns = now_ns

    paths = sorted((DRIVE / "frames").iterdir())[:max_frames]
    for seq, path in enumerate(paths):
        frame = Frame(seq, "front", seq * 200_000_000, load_rgb(path), 4000, 1.0)
        last_ns = time.process_time_ns()
        pipeline.step(frame, lap)
    recogniser.ocr._model = counting._model  # noqa: SLF001
    name = f"frame of {DRIVE.name}"
    return [
        Figure(f"{name}: boxes", pipeline.counts.detections / len(paths), "boxes"),
        Figure(f"{name}: OCR calls", counting.calls / len(paths), "calls"),
        *(Figure(f"{name}: {stage}", spent / len(paths) / 1e6, "ms") for stage, spent in spent_ns.items()),
    ]


def main() -> None:
    """Print the figures as JSON lines."""
    tiny = arguments(__doc__).parse_args().tiny
    rounds = 10 if tiny else ROUNDS
    cv2.setNumThreads(1)  # as the runtime does
    detector, ocr = load_active(default_models_folder())
    recogniser = Recogniser(detector, ocr)
    frame, ocr_calls = frame_with_one_plate(recogniser)
    vision = CameraPipeline(recogniser, Tracker())
    delivered = replace(frame, rgb=frame.rgb.copy())
    pictures = itertools.cycle((frame.rgb, frame.rgb ^ noise(frame.rgb.shape)))

    def deliver() -> None:
        """Write the next picture, as a camera does; none has the same pixels twice."""
        np.copyto(delivered.rgb, next(pictures))

    detect, read = ((b.open(), np.zeros(b.contract.input.shape, np.int8)) for b in (detector, ocr))
    calls = [detect] + [read] * ocr_calls

    # One call after the other, as in the step: alone in a loop each would keep the caches to itself.
    step, bare = interleaved_cpu_ms(
        lambda: vision.step(delivered), lambda: [m.invoke(t) for m, t in calls], prepare=deliver, rounds=rounds
    )
    print(Figure("vision step / its interpreter calls", step / bare, "x", limit=1.3).as_json())
    print(Figure("vision step, 1280x720, one plate", step, "ms").as_json())
    print(Figure(f"interpreter calls, 1 detector and {ocr_calls} OCR", bare, "ms").as_json())
    for name, (model, tensor) in (("detector", detect), ("OCR", read)):
        alone = cpu_ms(partial(model.invoke, tensor), rounds=rounds)
        print(Figure(f"{name} call, alone in a loop", alone, "ms").as_json())

    for figure in drive_figures(recogniser, 5 if tiny else 120):
        print(figure.as_json())


if __name__ == "__main__":
    main()
