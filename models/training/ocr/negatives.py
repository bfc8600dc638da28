"""What the detector takes for plates where there are none: `python -m models.training.ocr.negatives --help`.

Only photographs whose labels are complete count, and only finds well away from every label.  A label may still be
missing: look at the sheets (`models.training.ocr.sheets`) and take what does show a plate out of `labels.csv`.
"""

from __future__ import annotations

import argparse
import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from agent.recognise.bundle import load_bundle
from agent.recognise.detector import Detector

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

FIELDS = ("image", "gid", "score", "plate_box_in_crop")
_MARGIN_X, _MARGIN_Y = 0.15, 0.25
_CLEAR = 0.75
"""Of a label's size, around it: a find that begins there may be the same plate, badly boxed."""

Box = tuple[float, float, float, float]


def away_from(box: Box, labels: Sequence[Sequence[float]]) -> bool:
    """Whether `box` neither touches a label nor lies close to one."""
    for x0, y0, x1, y1 in labels:
        dx, dy = _CLEAR * (x1 - x0), _CLEAR * (y1 - y0)
        if box[0] < x1 + dx and box[2] > x0 - dx and box[1] < y1 + dy and box[3] > y0 - dy:
            return False
    return True


def widened(rgb: NDArray[np.uint8], box: Box) -> tuple[NDArray[np.uint8], Box]:
    """The crop around `box` with the margins of the labelled crops, and the box in it."""
    height, width = rgb.shape[:2]
    mx, my = (box[2] - box[0]) * _MARGIN_X, (box[3] - box[1]) * _MARGIN_Y
    left, top = max(0, round(box[0] - mx)), max(0, round(box[1] - my))
    right, bottom = min(width, round(box[2] + mx)), min(height, round(box[3] + my))
    inner = (
        max(0.0, box[0] - left),
        max(0.0, box[1] - top),
        min(float(right - left), box[2] - left),
        min(float(bottom - top), box[3] - top),
    )
    return rgb[top:bottom, left:right], inner


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with detect/")
    parser.add_argument("--detector", type=Path, required=True, help="bundle of the detector whose finds count")
    parser.add_argument("--out", type=Path, required=True, help="folder for crops and labels.csv")
    parser.add_argument(
        "--narrowest", type=float, default=24.0, help="width of a find, pixels, from which it counts"
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    detector = Detector(load_bundle(options.detector, kind="detector"))
    folder = options.data / "detect"
    rows = [json.loads(line) for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines()]
    options.out.mkdir(parents=True, exist_ok=True)
    written = 0
    with (options.out / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        for row in tqdm([row for row in rows if row["complete"]], desc="photographs", mininterval=5):
            rgb = np.ascontiguousarray(cv2.imread(str(folder / row["image"]))[..., ::-1])
            for find in detector.detect(rgb):
                box = (find.box.x0, find.box.y0, find.box.x1, find.box.y1)
                if box[2] - box[0] < options.narrowest or not away_from(box, row["plates"]):
                    continue
                crop, inner = widened(rgb, box)
                if min(crop.shape[:2]) < 6:
                    continue
                name = f"{written:05d}.png"
                cv2.imwrite(str(options.out / name), crop[..., ::-1])
                place = json.dumps([round(v, 1) for v in inner])
                writer.writerow(
                    {
                        "image": name,
                        "gid": row["gid"],
                        "score": f"{find.confidence:.3f}",
                        "plate_box_in_crop": place,
                    }
                )
                written += 1
    print(f"{written} finds away from every label, in {options.out}")


if __name__ == "__main__":
    main()
