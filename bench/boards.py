"""How many signs, boards, inscriptions and overlays are reported as plates, by detector and reader together.

usage: python -m bench.boards [--boards 2400] [--models models] [--seed 20]

Each picture is a drawn road without vehicles and one board in words and faces that training never showed, 60 to 300
pixels wide, turned by up to 25 degrees; it is read as `patrol-lpr read` does.  The card's figure for boards is the
reader's alone, given the exact box of every board; here the detector has to take it for a plate first.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.recognise import Recogniser, load_active
from agent.recognise.models_folder import default_models_folder
from agent.recognise.photo import read_photo
from models.training.plates.boards import BoardPainter
from models.training.render.camera import Camera
from models.training.render.drives import PLANS
from models.training.render.picture import Picture
from models.training.render.scenery import Scenery

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_ROADS = 12
_BETWEEN_M = 23.0
_WIDTHS_PX = (60.0, 300.0)
_MAX_YAW_DEG = 25.0
_BLUR_PX = 0.6


def roads(number: int) -> list[NDArray[np.uint8]]:
    """Frames of a drawn road by day, without vehicles: RGB uint8 [720, 1280, 3]."""
    plan, camera = PLANS["city-day"], Camera()
    picture = Picture(camera, Scenery(camera, plan.light, plan.seed), plan.light, [])
    return [picture.take(0.0, i * _BETWEEN_M, 0.0, np.random.default_rng((plan.seed, i))) for i in range(number)]


def put(road: NDArray[np.uint8], board: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The road with the board somewhere in it, turned about its upright axis."""
    aspect = board.shape[1] / board.shape[0]
    narrow, wide = _WIDTHS_PX
    width = math.exp(rng.uniform(math.log(narrow), math.log(wide)))
    yaw = math.radians(rng.uniform(-_MAX_YAW_DEG, _MAX_YAW_DEG))
    near, far = width / aspect * (1 + 0.1 * abs(math.sin(yaw))), width / aspect
    left, right = (near, far) if yaw > 0 else (far, near)
    x1 = width * math.cos(yaw)
    quad = np.array([[0, -left / 2], [x1, -right / 2], [x1, right / 2], [0, left / 2]], np.float32)
    room_x, room_y = road.shape[1] - x1 - 20, road.shape[0] - near - 20
    quad += np.array([rng.uniform(20, room_x), rng.uniform(20, room_y) + near / 2], np.float32)
    scale = min(1.0, width / board.shape[1])
    small = cv2.resize(board, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, across = small.shape[:2]
    source = np.array([[0, 0], [across, 0], [across, height], [0, height]], np.float32)
    seen = road.copy()
    warp = cv2.getPerspectiveTransform(source, quad)
    cv2.warpPerspective(small, warp, (road.shape[1], road.shape[0]), dst=seen, borderMode=cv2.BORDER_TRANSPARENT)
    # OpenCV's stubs leave the dtype open.
    return cv2.GaussianBlur(seen, (0, 0), _BLUR_PX)  # type: ignore[return-value]


def pictures(number: int, seed: int) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Kind of the board, and the picture."""
    rng, grounds = np.random.default_rng(seed), roads(min(_ROADS, number))
    painter = BoardPainter(None, grounds, held_out=True)
    for i in range(number):
        board = painter.paint(rng)
        yield board.kind, put(grounds[i % len(grounds)], board.rgb, rng)


def main() -> None:
    """Print, by kind, how many boards were found, and how many were reported."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--boards", type=int, default=2400)
    parser.add_argument("--models", type=Path, default=default_models_folder())
    parser.add_argument("--seed", type=int, default=20)
    options = parser.parse_args()
    number = options.boards
    recogniser = Recogniser(*load_active(options.models))
    shown: Counter[str] = Counter()
    found: Counter[str] = Counter()
    reported: Counter[str] = Counter()
    for kind, rgb in track(pictures(number, options.seed), total=number, description="boards"):
        plates = read_photo(recogniser, rgb)
        shown[kind] += 1
        found[kind] += bool(plates)
        reported[kind] += any(plate.refusal is None for plate in plates)
    table = Table("kind", "boards", "taken for a plate by the detector", "reported")
    for kind in sorted(shown):
        table.add_row(kind, str(shown[kind]), str(found[kind]), str(reported[kind]))
    table.add_row("all", str(number), str(found.total()), str(reported.total()))
    console = Console()
    console.print(table)
    console.print(f"reported: {100 * reported.total() / number:.2f} %")


if __name__ == "__main__":
    main()
