"""Label the crops nobody could label with a bundle of our own: `python -m models.training.ocr.label --help`.

Each crop is read at several cuts; a text on which nearly all of them agree, each surely, is written with the mean
confidence as its weight.  The rest stays unlabelled: a wrong label teaches the model its own mistakes.
"""

from __future__ import annotations

import argparse
import csv
import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from models.training.ocr.calibrate import read_all
from models.training.ocr.convert import Tflite
from models.training.ocr.data import LONGEST, cut, read_rgb
from models.training.ocr.labels import folded

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CUTS = tuple((dx, dy, m) for m in (0.0, 0.05, 0.1) for dx, dy in ((0, 0), (0.02, 0), (-0.02, 0), (0, 0.03)))
_MIN_AGREEING = 0.75
_MIN_CHARS = 4
_MIN_WEIGHT, _MAX_WEIGHT = 0.5, 0.7


def cuts(rgb: NDArray[np.uint8], box: tuple[float, ...]) -> NDArray[np.uint8]:
    """The crop at shifted and widened boxes, uint8 [n, 64, 128, 3]."""
    x0, y0, x1, y1 = box
    w, h = x1 - x0, y1 - y0
    moved = [((x0 + dx * w, y0 + dy * h, x1 + dx * w, y1 + dy * h), m) for dx, dy, m in _CUTS]
    return np.stack([cut(rgb, place, m, m) for place, m in moved])


def label(model: Tflite, contract: dict[str, dict[str, object]], images: NDArray[np.uint8]) -> tuple[str, float]:
    """The text most cuts agree on and its weight; an empty text where they do not."""
    texts, raw = read_all(model.logits(images)["symbols"], contract["ocr"]["temperature"])
    sure = np.interp(raw, contract["calibration"]["raw"], contract["calibration"]["probability"])
    best, count = Counter(map(folded, texts)).most_common(1)[0]
    agreeing = [i for i, text in enumerate(texts) if folded(text) == best]
    weight = float(sure[agreeing].mean()) * count / len(texts)
    if count < _MIN_AGREEING * len(texts) or weight < _MIN_WEIGHT or not _MIN_CHARS <= len(best) <= LONGEST:
        return "", 0.0
    return texts[max(agreeing, key=lambda i: sure[i])], min(_MAX_WEIGHT, weight)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="image,text,weight for --extra-labels")
    options = parser.parse_args()
    contract = tomllib.loads((options.bundle / "bundle.toml").read_text(encoding="utf-8"))
    model = Tflite(options.bundle / "model.tflite")
    with (options.data / "ocr" / "labels.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if not row["text"]]
    written = 0
    with options.out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "text", "weight"])
        for row in tqdm(rows, desc="unlabelled crops"):
            rgb = read_rgb(options.data / "ocr" / row["image"])
            box = json.loads(row["plate_box_in_crop"] or "null") or (0, 0, rgb.shape[1], rgb.shape[0])
            text, weight = label(model, contract, cuts(rgb, tuple(box)))
            if text:
                writer.writerow([row["image"], text, f"{weight:.2f}"])
                written += 1
    print(f"{written} of {len(rows)} crops labelled; the rest stays unlabelled")


if __name__ == "__main__":
    main()
