"""How much surer is a text that frames agree on?  `python -m models.training.ocr.agreement --data ../shared/data`.

Plays crops held out of training as short passes, five frames that come nearer in four lights with boxes that are off,
through the shipped reader, and prints the calibration error of the fused texts for further factors on their odds.
Multiply the factor in `agent/fusion/fuse.py` by the one with the highest likelihood.
"""

from __future__ import annotations

import argparse
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.fusion.fuse import fuse_predictions
from agent.recognise import load_active
from agent.recognise.models_folder import default_models_folder
from agent.recognise.ocr import Ocr
from agent.records import Box
from bench.fused import LIGHTS, frames_of
from models.training.ocr.data import load_crops
from models.training.ocr.decode import calibration_error
from models.training.ocr.labels import folded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from agent.records import PlateText
    from models.training.ocr.data import Crop

_FACTORS = np.arange(0.8, 2.55, 0.1)
_WIDTHS_PX = (60.0, 180.0)
_BOX_ERROR = 0.04
_BORDER = 0.15
_MIN_CONFIDENCE, _MIN_CHARS = 0.2, 4


def passes_of(ocr: Ocr, crop: Crop, number: int) -> Iterator[list[PlateText]]:
    """The reported predictions of one plate, a pass for each light."""
    rng = np.random.default_rng((9, number))
    x0, y0, x1, y1 = crop.source.box
    scale = min(1.0, math.exp(rng.uniform(*map(math.log, _WIDTHS_PX))) / (x1 - x0))
    picture = cv2.resize(crop.source.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    border = int(_BORDER * max(picture.shape[:2]))
    picture = cv2.copyMakeBorder(picture, border, border, border, border, cv2.BORDER_REPLICATE)
    place = np.array([x0, y0, x1, y1]) * scale + border
    for light in LIGHTS:
        read = []
        for frame, size in frames_of(picture, light, zlib.crc32(f"{number} {light}".encode())):
            sides = (place[2:] - place[:2]) * size
            off = rng.normal(0, _BOX_ERROR, 4) * np.tile(sides, 2)
            read.append(ocr.read(frame, Box(*map(float, place * size + off))).plate)
        yield [p for p in read if p.chars and p.confidence >= _MIN_CONFIDENCE]


def agreed(confidence: NDArray[np.float64], factor: float) -> NDArray[np.float64]:
    """Confidences whose odds are multiplied once more."""
    return np.minimum(0.999, factor * confidence / (1 - confidence + factor * confidence))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, default=default_models_folder())
    parser.add_argument("--crops", type=int, help="only the first ones")
    options = parser.parse_args()
    ocr = Ocr(load_active(options.models)[1])
    said, right = [], []
    for number, crop in enumerate(
        track(load_crops(options.data).validation[: options.crops], description="crops")
    ):
        for read in passes_of(ocr, crop, number):
            fused = fuse_predictions(read) if read else None
            if fused and len(fused.text) >= _MIN_CHARS and sum(p.text == fused.text for p in read) > 1:
                said.append(fused.confidence)
                right.append(folded(fused.text) == folded(crop.text))
    confidence, truth = np.array(said), np.array(right)
    table = Table("further factor on the odds", "mean confidence", "right", "calibration error", "log likelihood")
    for factor in _FACTORS:
        told = agreed(confidence, float(factor))
        likelihood = np.log(np.where(truth, told, 1 - told)).mean()
        error = calibration_error(told, truth)
        table.add_row(
            f"{factor:.1f}", f"{told.mean():.3f}", f"{truth.mean():.3f}", f"{error:.3f}", f"{likelihood:.4f}"
        )
    console = Console()
    console.print(table)
    console.print(
        f"{len(said)} passes in which two frames or more agree; factors are on top of that in the product"
    )


if __name__ == "__main__":
    main()
