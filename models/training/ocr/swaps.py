"""Write close-ups with swapped characters (`plates/swapping.py`) like drawn plates.

`python -m models.training.ocr.swaps --help`.  Only training crops take part.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from models.training.ocr.data import Crop, load_crops
from models.training.plates.shards import holds, write_pictures
from models.training.plates.swapping import Lettered, lettered, swapped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_SHORTEST = 3


def write_swaps(folder: Path, count: int, seed: int, crops: list[Crop]) -> None:
    """Write `count` swapped plates of the close-ups among `crops`; does nothing when they are there."""
    if holds(folder, count):
        return
    groups: dict[int, list[Lettered]] = defaultdict(list)
    for crop in crops:
        if crop.label_set == "us_state" and len(crop.text) >= _SHORTEST and crop.weight >= 1:
            x0, y0, x1, y1 = (round(v) for v in crop.source.box)
            plate = lettered(crop.source.rgb[y0:y1, x0:x1], crop.text, crop.region)
            if plate is not None:
                groups[plate.region].append(plate)
    plates = [(plate, group) for group in groups.values() for plate in group if len(group) > 1]
    print(f"{len(plates)} close-ups lend their characters")

    def draw(rng: np.random.Generator) -> tuple[NDArray[np.uint8], dict[str, object]]:
        while True:
            plate, group = plates[int(rng.integers(len(plates)))]
            new = swapped(rng, plate, group)
            if new is not None:
                return new.rgb, {"text": new.text, "region": new.region, "aspect": 2.0}

    write_pictures(folder, count, seed, draw)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder for images.npy and labels.jsonl")
    parser.add_argument("--count", type=int, default=30_000)
    parser.add_argument("--seed", type=int, default=17)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    write_swaps(options.out, options.count, options.seed, load_crops(options.data).training)


if __name__ == "__main__":
    main()
