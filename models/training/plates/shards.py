"""Write synthetic plates to a folder: `images.npy` uint8 [n, 80, 160, 3], `labels.jsonl` (text, region, aspect).

Seeded per plate, so any count gives the same first plates.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
from tqdm import trange

from models.training.plates.render import PlateRenderer

if TYPE_CHECKING:
    from pathlib import Path

HEIGHT_PX, WIDTH_PX = 80, 160
_ZERO_FOR_O = ("US", "MX", "CA")
"""Issuers whose letter O is written as digit 0, as the labels of real North American plates have it."""


def write_shards(folder: Path, count: int, seed: int, fonts: Path, region_names: tuple[str, ...]) -> None:
    """Render `count` plates into `folder`; does nothing when it already holds as many."""
    labels_path = folder / "labels.jsonl"
    if labels_path.exists() and sum(1 for _ in labels_path.open(encoding="utf-8")) == count:
        return
    folder.mkdir(parents=True, exist_ok=True)
    renderer = PlateRenderer(fonts)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, HEIGHT_PX, WIDTH_PX, 3))
    labels = []
    for i in trange(count, desc="synthetic plates", unit="plate", mininterval=5):
        plate = renderer.render(np.random.default_rng((seed, i)), size_px=(WIDTH_PX, HEIGHT_PX))
        images[i] = plate.rgb
        text = plate.text.replace("O", "0") if plate.region.startswith(_ZERO_FOR_O) else plate.text
        labels.append({"text": text, "region": region_names.index(plate.region), "aspect": plate.aspect})
    images.flush()
    labels_path.write_text("".join(json.dumps(label) + "\n" for label in labels), encoding="utf-8")
