"""Write synthetic plates, or boards, to a folder: `images.npy` uint8 [n, 80, 160, 3] and `labels.jsonl`.

A plate's label has text, region and aspect, a board's aspect and kind.  Seeded per picture, so any count
gives the same first ones.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import trange

from models.training.plates.boards import BoardPainter
from models.training.plates.render import PlateRenderer
from models.training.plates.signs import SignPainter
from models.training.plates.two_lines import two_line_plate

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    Draw = Callable[[np.random.Generator], tuple[NDArray[np.uint8], dict[str, object]]]

HEIGHT_PX, WIDTH_PX = 80, 160
_TWO_LINES, _OLD_SIGNS = 0.2, 0.2
_SIGN_CHARS, _WIDEST = 9, 5.0
_ZERO_FOR_O = ("US", "MX", "CA")
"""Issuers whose letter O is written as digit 0, as the labels of real North American plates have it."""


def write_shards(folder: Path, count: int, seed: int, fonts: Path, region_names: tuple[str, ...]) -> None:
    """Render `count` plates into `folder`; does nothing when it already holds as many."""
    if holds(folder, count):
        return
    renderer = PlateRenderer(fonts)

    def plate_of(rng: np.random.Generator) -> tuple[NDArray[np.uint8], dict[str, object]]:
        plate = renderer.render(rng, size_px=(WIDTH_PX, HEIGHT_PX))
        text = plate.text.replace("O", "0") if plate.region.startswith(_ZERO_FOR_O) else plate.text
        return plate.rgb, {"text": text, "region": region_names.index(plate.region), "aspect": plate.aspect}

    write_pictures(folder, count, seed, plate_of)


def write_boards(folder: Path, count: int, seed: int, fonts: Path, grounds: Sequence[NDArray[np.uint8]]) -> None:
    """Draw `count` boards of all kinds, every fifth a plate in two lines; does nothing when they are there.

    `grounds` are RGB pictures without writing for what lies over a picture.
    """
    if holds(folder, count):
        return
    boards, signs, renderer = BoardPainter(fonts, grounds), SignPainter(fonts), PlateRenderer(fonts)

    def board_of(rng: np.random.Generator) -> tuple[NDArray[np.uint8], dict[str, object]]:
        kind = rng.random()
        if kind < _TWO_LINES:
            rgb, name = two_line_plate(renderer, rng), "two lines"
        elif kind < _TWO_LINES + _OLD_SIGNS:
            rgb, name = signs.paint(rng, min_chars=_SIGN_CHARS)[..., ::-1], "board"
        else:
            board = boards.paint(rng)
            rgb, name = board.rgb, board.kind
        aspect = min(rgb.shape[1] / rgb.shape[0], _WIDEST)
        small = cv2.resize(np.ascontiguousarray(rgb), (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA)
        return small, {"aspect": aspect, "kind": name}

    write_pictures(folder, count, seed, board_of)


def holds(folder: Path, count: int) -> bool:
    """Whether `folder` already has that many pictures."""
    path = folder / "labels.jsonl"
    return path.exists() and sum(1 for _ in path.open(encoding="utf-8")) == count


def write_pictures(folder: Path, count: int, seed: int, draw: Draw) -> None:
    """Write `count` pictures of `draw`, which gets a generator of its own for each."""
    folder.mkdir(parents=True, exist_ok=True)
    images = np.lib.format.open_memmap(folder / "images.npy", "w+", np.uint8, (count, HEIGHT_PX, WIDTH_PX, 3))
    labels = []
    for i in trange(count, desc=folder.name, unit="picture", mininterval=5):
        images[i], label = draw(np.random.default_rng((seed, i)))
        labels.append(label)
    images.flush()
    (folder / "labels.jsonl").write_text("".join(json.dumps(label) + "\n" for label in labels), encoding="utf-8")
