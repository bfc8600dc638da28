"""Photographs with plate boxes -> network inputs: zoomed, pasted together, sheared, blurred, darkened.

The photographs show plates large; patrol frames hold them 6 to 30 network pixels wide.  So each input is one
photograph as a background with up to six others pasted onto it at the sizes that matter, drawn plates, and boards with
writing that are no plates.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from tqdm import tqdm

from models.training.detector.lay import lay, perspective
from models.training.detector.net import SIZE_BASE_PX, STRIDE
from models.training.detector.replace import replace_plates
from models.training.plates import PlateRenderer
from models.training.plates.boards import BoardPainter
from models.training.plates.signs import SignPainter
from models.training.plates.two_lines import two_line_plate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

WIDTH_PX, HEIGHT_PX = 384, 256
GREY = 114
UNSEEN = 10**9
"""Batches from this number on are seen by no training step."""
_VALIDATION_SHARE = 20
_SHRINK = {
    "openlpr": (0.92, 0.80),
    "oi": (0.95, 0.85),
    "rl": (0.91, 0.79),
    "tech": (0.96, 0.92),
    "rhit": (0.97, 0.94),
}
"""Width and height by which the boxes of a set are drawn in: people there labelled plates with a rim around them
(looked at on 40 to 60 of each).  A reader pays for every loose box."""
_DRAWN_SHARE = 0.4
"""Share of pasted plates that are drawn ones, whose boxes are exact."""
_REPLACED_SHARE = 0.4
"""Share of photographs whose plates are replaced by drawn ones."""
_TWO_LINE_SHARE = 0.06
_SIGN_SHARE = 0.12
"""Share of pasted pictures that are boards with writing."""
_NARROWEST_PX, _WIDEST_PX = 6.0, 80.0
"""Widths of pasted plates in network pixels."""
_MIN_WIDTH_PX = 4.5
"""Narrower plates are neither rewarded nor punished."""
_PASTES = (0, 1, 2, 3, 4, 6)
_PASTE_SHARES = (0.25, 0.2, 0.2, 0.15, 0.12, 0.08)


@dataclass(frozen=True, slots=True)
class Photo:
    """One photograph; `plates` is n x 4 in its pixels, `complete` says that no plate is unlabelled."""

    bgr: NDArray[np.uint8]
    plates: NDArray[np.float32]
    complete: bool


@dataclass(frozen=True, slots=True)
class Batch:
    """uint8 images [n, H, W, 3] RGB; positive and unsure cells [n, H/8, W/8], boxes [n, 4, H/8, W/8]."""

    images: NDArray[np.uint8]
    positive: NDArray[np.bool_]
    boxes: NDArray[np.float32]
    unsure: NDArray[np.bool_]


def load_photos(data: Path) -> tuple[list[Photo], list[Photo]]:
    """Training and validation photographs; those that look alike (`gid`) stay on one side."""
    training: list[Photo] = []
    validation: list[Photo] = []
    folder = data / "detect"
    for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        bgr = cv2.imread(str(folder / row["image"]))
        plates = _drawn_in(np.array(row["plates"], np.float32).reshape(-1, 4), _SHRINK.get(row["set"], (1.0, 1.0)))
        photo = Photo(bgr, plates, row["complete"])
        (validation if hash((row["gid"], 7)) % _VALIDATION_SHARE == 0 else training).append(photo)
    return training, validation


def _drawn_in(boxes: NDArray[np.float32], shrink: tuple[float, float]) -> NDArray[np.float32]:
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * np.array(shrink, np.float32)
    return np.concatenate([middle - half, middle + half], 1)


@dataclass(frozen=True, slots=True)
class Drawn:
    """Drawn pictures to paste, BGR, 96 pixels high: clean plates of random designs, and boards that are none."""

    plates: list[NDArray[np.uint8]]
    signs: list[NDArray[np.uint8]]


def draw(count: int, seed: int, fonts: Path) -> Drawn:
    """`count` plates and a third as many boards."""
    renderer, painter = PlateRenderer(fonts), SignPainter(fonts)
    boards = BoardPainter(fonts, [np.full((120, 240, 3), grey, np.uint8) for grey in (25, 70, 120, 170)])
    rng = np.random.default_rng(seed)
    return Drawn(
        [_drawn_plate(renderer, rng) for _ in tqdm(range(count), "plates")],
        [painter.paint(rng) if rng.random() < 0.5 else _tall(boards.paint(rng).rgb) for _ in range(count // 3)],
    )


def _drawn_plate(renderer: PlateRenderer, rng: np.random.Generator) -> NDArray[np.uint8]:
    if rng.random() < _TWO_LINE_SHARE:
        return _tall(two_line_plate(renderer, rng))
    plate = renderer.render(rng, clean=bool(rng.random() < 0.5))
    return _tall(plate.rgb, plate.aspect)


def _tall(rgb: NDArray[np.uint8], aspect: float | None = None) -> NDArray[np.uint8]:
    """BGR, 96 pixels high."""
    aspect = aspect or rgb.shape[1] / rgb.shape[0]
    return np.ascontiguousarray(cv2.resize(rgb, (round(96 * aspect), 96), interpolation=cv2.INTER_AREA)[..., ::-1])


class Sampler:
    """Draws batches; the n-th is the same in every run with the same seed, so a resumed run goes on as it was."""

    def __init__(self, photos: list[Photo], drawn: Drawn, seed: int, size: int) -> None:
        self._photos = photos
        self._drawn = drawn
        self._seed = seed
        self._size = size
        noise = np.random.default_rng(seed).normal(0, 1, (4, HEIGHT_PX * 2, WIDTH_PX * 2, 3))
        self._noise = (noise * 32).astype(np.int16)

    def stream(self, first: int, workers: int = 0) -> Iterator[Batch]:
        """Batches from number `first` on, for ever; drawn in other processes when `workers` says so."""
        if not workers:
            while True:
                yield self[first]
                first += 1
        from torch.utils.data import DataLoader  # noqa: PLC0415 - only with workers

        sampler = range(first, 10**9)
        loader = DataLoader(self, batch_size=None, sampler=sampler, num_workers=workers)  # type: ignore[arg-type]
        yield from loader

    def __getitem__(self, number: int) -> Batch:
        rng = np.random.default_rng((self._seed, number))
        scenes = [_Scene(self._photos, self._drawn, self._noise, rng).draw() for _ in range(self._size)]
        targets = [cells_of(boxes, unsure) for _, boxes, unsure in scenes]
        return Batch(
            np.stack([image for image, _, _ in scenes]),
            np.stack([t[0] for t in targets]),
            np.stack([t[1] for t in targets]),
            np.stack([t[2] for t in targets]),
        )


def cells_of(
    boxes: list[NDArray[np.float32]], unsure: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.float32], NDArray[np.bool_]]:
    """Cells near the centre of a plate are positive; its other cells are unsure."""
    rows, columns = unsure.shape
    positive = np.zeros((rows, columns), bool)
    wanted = np.zeros((4, rows, columns), np.float32)
    nearest = np.full((rows, columns), np.inf, np.float32)
    x, y = np.meshgrid(np.arange(columns) + 0.5, np.arange(rows) + 0.5)
    unsure = unsure.copy()
    for box in boxes:
        width, height = box[2] - box[0], box[3] - box[1]
        dx, dy = (box[0] + box[2]) / 2 / STRIDE - x, (box[1] + box[3]) / 2 / STRIDE - y
        reach_x = max(0.8, min(1.9, 0.2 * width / STRIDE))
        reach_y = max(0.8, min(1.9, 0.25 * height / STRIDE))
        distance = (dx / reach_x) ** 2 + (dy / reach_y) ** 2
        core = (np.abs(dx) < reach_x) & (np.abs(dy) < reach_y) & (distance < nearest)
        inside = (np.abs(dx) < width / 2 / STRIDE) & (np.abs(dy) < height / 2 / STRIDE)
        unsure |= inside & ~core & ~positive
        nearest[core] = distance[core]
        positive[core] = True
        sizes = (math.log(width / SIZE_BASE_PX), math.log(height / SIZE_BASE_PX))
        for plane, values in zip(wanted, (dx, dy, *sizes), strict=True):
            plane[core] = values[core] if isinstance(values, np.ndarray) else values
    return positive, wanted, unsure


class _Scene:
    """One network input in the making."""

    def __init__(
        self,
        photos: list[Photo],
        drawn: Drawn,
        noise: NDArray[np.int16],
        rng: np.random.Generator,
    ) -> None:
        self._photos = photos
        self._drawn = drawn
        self._noise = noise
        self._rng = rng
        self._canvas = np.full((HEIGHT_PX, WIDTH_PX, 3), GREY, np.uint8)
        self._boxes: list[NDArray[np.float32]] = []
        self._unsure = np.zeros((HEIGHT_PX // STRIDE, WIDTH_PX // STRIDE), bool)

    def draw(self) -> tuple[NDArray[np.uint8], list[NDArray[np.float32]], NDArray[np.bool_]]:
        rng = self._rng
        self._background()
        for _ in range(int(rng.choice(_PASTES, p=_PASTE_SHARES))):
            kind = rng.random()
            if kind < _SIGN_SHARE:
                self._paste_drawn(self._drawn.signs, is_plate=False)
            elif kind < _SIGN_SHARE + _DRAWN_SHARE:
                self._paste_drawn(self._drawn.plates, is_plate=True)
            else:
                self._paste_small()
        if rng.random() < 0.15:
            self._letterbox()
        return photographed(self._canvas, self._noise, rng), self._boxes, self._unsure

    def _any(self) -> Photo:
        return self._photos[self._rng.integers(len(self._photos))]

    def _background(self) -> None:
        rng, photo = self._rng, self._any()
        height, width = photo.bgr.shape[:2]
        aspect = math.exp(rng.uniform(-0.2, 0.2))
        zoom = max(WIDTH_PX / (width * aspect), HEIGHT_PX * aspect / height) * 1.02
        # Half the large photographs stay whole: their plates already have patrol sizes.
        if width > 640 and rng.random() < 0.5:
            zoom, aspect = max(WIDTH_PX / width, HEIGHT_PX / height) * 1.02, 1.0
        else:
            zoom *= math.exp(abs(rng.normal(0, 0.35)))
        spare_x, spare_y = int(width * zoom * aspect) - WIDTH_PX, int(height * zoom / aspect) - HEIGHT_PX
        x, y = -int(rng.integers(0, max(1, spare_x + 1))), -int(rng.integers(0, max(1, spare_y + 1)))
        self._paste(photo, zoom, aspect, x, y)

    def _paste_small(self) -> None:
        rng, photo = self._rng, self._any()
        if not len(photo.plates):
            return
        width_px = float(np.median(photo.plates[:, 2] - photo.plates[:, 0]))
        zoom = _paste_width(rng) / max(width_px, 4.0)
        if photo.bgr.shape[1] * zoom > WIDTH_PX * 0.9 or zoom > 2.5:
            return
        aspect = math.exp(rng.uniform(-0.22, 0.22))
        self._paste(
            photo, zoom, aspect, int(rng.integers(-20, WIDTH_PX - 20)), int(rng.integers(-20, HEIGHT_PX - 20))
        )

    def _paste_drawn(self, pictures: list[NDArray[np.uint8]], *, is_plate: bool) -> None:
        """A drawn plate or board on a patch of bodywork, in perspective; its box is exact."""
        rng = self._rng
        if not pictures:
            return
        plate = pictures[rng.integers(len(pictures))]
        width = _paste_width(rng)
        height = width * plate.shape[0] / plate.shape[1]
        corners = perspective(rng, width, height)
        reach = np.array([width * rng.uniform(0.3, 1.1), height * rng.uniform(0.5, 1.6)])
        room = np.array([WIDTH_PX - width, HEIGHT_PX - height]) - reach - 2
        if (room <= reach).any():
            return
        corners += rng.uniform(reach, room)
        low, high = corners.min(0), corners.max(0)
        x0, y0 = np.floor(np.maximum(low - reach, 0)).astype(int)
        x1, y1 = np.ceil(np.minimum(high + reach, [WIDTH_PX, HEIGHT_PX])).astype(int)
        if (low < 0).any() or high[0] > WIDTH_PX or high[1] > HEIGHT_PX or x1 - x0 < STRIDE or y1 - y0 < STRIDE:
            return
        self._canvas[y0:y1, x0:x1] = _bodywork(rng, (y1 - y0, x1 - x0))
        self._cover((x0, y0, x1, y1), unsure=False)
        lay(self._canvas, plate, corners.astype(np.float32), rng)
        if is_plate:
            self._add_box(np.array([*low, *high], np.float32))

    def _letterbox(self) -> None:
        rows = int(self._rng.integers(8, 60))
        self._canvas[HEIGHT_PX - rows :] = GREY
        self._boxes = [box for box in self._boxes if box[3] < HEIGHT_PX - rows]
        self._unsure[(HEIGHT_PX - rows) // STRIDE :] = False
        self._unsure[(HEIGHT_PX - rows) // STRIDE - 1] = True

    def _paste(self, photo: Photo, zoom: float, aspect: float, x: int, y: int) -> None:
        image, plates = self._transformed(photo, zoom, aspect)
        height, width = image.shape[:2]
        x0, y0, x1, y1 = max(0, x), max(0, y), min(WIDTH_PX, x + width), min(HEIGHT_PX, y + height)
        if x1 - x0 < STRIDE or y1 - y0 < STRIDE:
            return
        self._canvas[y0:y1, x0:x1] = image[y0 - y : y1 - y, x0 - x : x1 - x]
        self._cover((x0, y0, x1, y1), unsure=not photo.complete)
        for plate in plates:
            self._add_box(plate + np.array([x, y, x, y], np.float32))

    def _cover(self, by: tuple[int, int, int, int], *, unsure: bool) -> None:
        """What is left of a plate that was covered is no plate and no background either."""
        for box in (b for b in self._boxes if _covered(b, by)):
            self._ignore(box)
        self._boxes = [b for b in self._boxes if not _covered(b, by)]
        x0, y0, x1, y1 = by
        rows, columns = (slice(a // STRIDE, (b + STRIDE - 1) // STRIDE) for a, b in ((y0, y1), (x0, x1)))
        self._unsure[rows, columns] = unsure

    def _ignore(self, box: NDArray[np.float32]) -> None:
        x0, y0, x1, y1 = (int(v) // STRIDE for v in box)
        self._unsure[y0 : y1 + 1, x0 : x1 + 1] = True

    def _add_box(self, box: NDArray[np.float32]) -> None:
        clipped = np.clip(box, 0, [WIDTH_PX, HEIGHT_PX, WIDTH_PX, HEIGHT_PX]).astype(np.float32)
        area, seen = np.prod(box[2:] - box[:2]), np.prod(np.maximum(0, clipped[2:] - clipped[:2]))
        if area <= 0 or seen < 0.2 * area:
            return
        if seen < 0.75 * area or clipped[2] - clipped[0] < _MIN_WIDTH_PX:
            # Cut off or too small to tell: neither reward nor punish.
            self._ignore(clipped)
        else:
            self._boxes.append(clipped)

    def _transformed(
        self, photo: Photo, zoom: float, aspect: float
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
        rng = self._rng
        height, width = photo.bgr.shape[:2]
        size = max(8, int(width * zoom * aspect)), max(8, int(height * zoom / aspect))
        method = cv2.INTER_AREA if size[0] < width else cv2.INTER_LINEAR
        image = cv2.resize(photo.bgr, size, interpolation=method)
        plates = photo.plates * np.array([size[0] / width, size[1] / height] * 2, np.float32)
        if rng.random() < 0.5:
            image = image[:, ::-1]
            plates = plates.copy()
            plates[:, [0, 2]] = size[0] - plates[:, [2, 0]]
        if len(plates) and rng.random() < _REPLACED_SHARE:
            image, plates = replace_plates(image, plates, self._drawn.plates, rng)
        if rng.random() < 0.35:
            image, plates = _sheared(image, plates, rng)
        return image, plates


def _paste_width(rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(math.log(_NARROWEST_PX), math.log(_WIDEST_PX)))


def _bodywork(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Paint with a light falling off, an edge or two, and a dark recess now and then."""
    colour = rng.uniform(15, 235) + rng.normal(0, 14, 3)
    rows = np.linspace(rng.uniform(0.8, 1.3), rng.uniform(0.5, 1.1), size[0])[:, np.newaxis, np.newaxis]
    patch = np.clip(colour * rows * np.ones((1, size[1], 1)), 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 3))):
        y = int(rng.integers(size[0]))
        shade = tuple(float(v) for v in np.clip(colour * rng.uniform(0.3, 1.4), 0, 255))
        cv2.line(patch, (0, y), (size[1], y + int(rng.integers(-2, 3))), shade, int(rng.integers(1, 4)))
    return patch


def _covered(box: NDArray[np.float32], by: tuple[int, int, int, int]) -> bool:
    width = min(box[2], by[2]) - max(box[0], by[0])
    height = min(box[3], by[3]) - max(box[1], by[1])
    return bool(width > 0 and height > 0 and width * height > 0.15 * np.prod(box[2:] - box[:2]))


def _sheared(
    image: NDArray[np.uint8], plates: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    down, across = rng.uniform(-0.25, 0.25), rng.uniform(-0.12, 0.12)
    height, width = image.shape[:2]
    matrix = np.array([[1, across, 0], [down, 1, 0]], np.float32)
    matrix[:, 2] = [-min(0, across * height), -min(0, down * width)]
    size = int(width + abs(across) * height), int(height + abs(down) * width)
    image = cv2.warpAffine(np.ascontiguousarray(image), matrix, size, borderMode=cv2.BORDER_REFLECT)
    corners = np.stack([plates[:, [0, 1]], plates[:, [2, 1]], plates[:, [2, 3]], plates[:, [0, 3]]], 1)
    moved = corners @ matrix[:, :2].T + matrix[:, 2]
    return image, np.concatenate([moved.min(1), moved.max(1)], 1).astype(np.float32)


def photographed(bgr: NDArray[np.uint8], noise: NDArray[np.int16], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blur, exposure, colour, noise and compression of a moving camera by day and night; returns RGB."""
    bgr = _blurred(bgr, rng)
    ramp = np.arange(256, dtype=np.float32)
    dark = rng.random() < 0.25
    gain = math.exp(rng.uniform(math.log(0.2), math.log(1.1)) if dark else rng.normal(0, 0.25))
    curve = 255 * (ramp / 255) ** math.exp(rng.normal(0, 0.35)) * gain + rng.normal(0, 8)
    tints = np.exp(rng.normal(0, 0.12, 3)) if rng.random() < 0.5 else np.ones(3)
    table = np.clip(curve[:, np.newaxis] * tints, 0, 255).astype(np.uint8)
    bgr = cv2.LUT(bgr, table[np.newaxis])
    if rng.random() < 0.12:
        bgr = np.repeat(cv2.cvtColor(bgr, cv2.COLOR_BGR2GRAY)[..., np.newaxis], 3, 2)
    if rng.random() < 0.4:
        y, x = int(rng.integers(HEIGHT_PX)), int(rng.integers(WIDTH_PX))
        grain = noise[rng.integers(len(noise))][y : y + HEIGHT_PX, x : x + WIDTH_PX]
        bgr = np.clip(bgr.astype(np.int16) + ((grain * int(rng.uniform(1, 10) * 8)) >> 8), 0, 255).astype(np.uint8)
    if rng.random() < 0.3:
        packed = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 85))])[1]
        bgr = cv2.imdecode(packed, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(bgr[..., ::-1])


def _blurred(bgr: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    kind = rng.random()
    if kind < 0.18:
        return cv2.filter2D(bgr, -1, motion_kernel(float(rng.integers(2, 6)), _angle(rng)))
    if kind < 0.33:
        return cv2.GaussianBlur(bgr, (0, 0), rng.uniform(0.4, 1.3))
    if kind < 0.45:
        small = cv2.resize(bgr, None, fx=(f := rng.uniform(0.4, 0.8)), fy=f, interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (WIDTH_PX, HEIGHT_PX))
    return bgr


def _angle(rng: np.random.Generator) -> float:
    return math.radians(rng.uniform(0, 180) if rng.random() < 0.3 else rng.uniform(-10, 10))


def motion_kernel(length_px: float, angle_rad: float) -> NDArray[np.float32]:
    """A line of the given length through the middle, normalised."""
    reach = math.ceil(length_px)
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    for along in np.linspace(-length_px / 2, length_px / 2, 15):
        kernel[round(reach + along * math.sin(angle_rad)), round(reach + along * math.cos(angle_rad))] += 1
    return kernel / kernel.sum()
