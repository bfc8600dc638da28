"""Labelled crops and synthetic plates as seeded batches, the validation split, crops cut as the agent does."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

import cv2
import numpy as np
from torch.utils.data import DataLoader, Dataset
from torch.utils.data import Sampler as TorchSampler

from models.training.ocr.augment import Image, Source, View, augmented
from models.training.ocr.labels import OWN, REFUSED, UNUSED, Label, folded, read_finds, read_labels, read_own
from models.training.ocr.net import HEIGHT_PX, WIDTH_PX
from models.training.ocr.regions import UNLABELLED, encode, region_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

VALIDATION_PERCENT = 6
LONGEST = 10
_TRUE_ASPECT = {"us_state": 2.0}
_STATE_SHARE, _STATE_UNREAD_SHARE = 0.50, 0.01
_SET_WEIGHT = {"oi": 1.5, OWN: 4.0}
"""`oi`: sharp photographs from all over the world, a third of them North American, worth more than one more of a car
park.  A fleet's own 500 crops are an eighth of the labelled ones."""
PART = 32
"""Crops of a batch; a step of the training takes two or more of them."""
_HARD_MAX, _HARD_AFTER_BATCHES = 0.92, 6000
"""Sharp views first: on hard ones alone CTC takes far longer to leave the all-blank plateau."""
_EXACT_CORNERS, _LOOSE_CORNERS = frozenset({"us_state", "synthetic"}), 0.2
"""Plates on vehicles are labelled by upright boxes, which say little about corners."""
BOARD = "board"
"""Label set of boards that are no plates, and of plates in two lines: nothing is to be read there."""
_REAL_REFUSED = 0.3
_SWAPPED_SHARE = 0.15


@dataclass(frozen=True, slots=True)
class Crop:
    """One labelled plate picture; `text` is empty where only the region is known; `weight` is of its loss."""

    source: Source
    text: str
    region: int
    label_set: str
    weight: float
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """Network input uint8 [n, 64, 128, 3] with CTC targets [n, LONGEST], their lengths, weights and regions.

    `corners` float32 [n, 4, 2] are the plates' corners in the input, `corner_weights` how far they can be trusted.
    `sharp` are the images before light, blur and noise; `boards` tells which show no plate.
    """

    images: NDArray[np.uint8]
    targets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    weights: NDArray[np.float32]
    regions: NDArray[np.int64]
    corners: NDArray[np.float32]
    corner_weights: NDArray[np.float32]
    sharp: NDArray[np.uint8]
    boards: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Crops:
    """What the labels give: crops to learn from, crops to measure on, and crops in which nothing is to be read.

    `counts` tells how many of each origin went where.
    """

    training: list[Crop]
    validation: list[Crop]
    refused: list[Crop]
    refused_validation: list[Crop]
    counts: dict[str, int]


def load_crops(
    data: Path, extra_labels: Path | None = None, negatives: Path | None = None, own: Path | None = None
) -> Crops:
    """All crops of `data`/ocr that are of use, and those of a fleet's `own` folder.

    A plate goes to one side by a hash of its text, so copies of it never sit on both; a crop without a text goes by
    its name.  Crops whose text also occurs in the measuring set are dropped: they may show the same car.
    `extra_labels` (image,text,weight) fills empty labels.  Raises ValueError for labels that contradict each other.
    """
    measured = measuring_texts(data / "dev")
    training: list[Crop] = []
    validation: list[Crop] = []
    refused: list[Crop] = []
    refused_validation: list[Crop] = []
    counts: Counter[str] = Counter()
    labels = [(data / "ocr", label) for label in read_labels(data / "ocr", extra_labels)]
    if own is not None:
        labels += [(own, label) for label in read_own(own)]
    for folder, label in labels:
        text = label.text
        if label.kind == UNUSED or len(text) > LONGEST or (len(text) >= 5 and folded(text) in measured):
            counts[f"left out: {label.origin}"] += 1
            continue
        held_out = _held_out(text or label.image)
        if label.kind in REFUSED:
            side = refused_validation if held_out else refused
            name = f"refused{', validation' if held_out else ''}: {label.kind}"
        elif text:
            side, name = (validation, "validation") if held_out else (training, "training")
            name = f"{name}: {label.origin}, {label.label_set}"
        else:
            side, name = training, "training, region only"
        counts[name] += 1
        side.append(_crop(folder / label.image, label))
    if negatives is not None:
        for label, held_out in read_finds(negatives):
            (refused_validation if held_out else refused).append(_crop(negatives / label.image, label))
            counts[f"refused{', validation' if held_out else ''}: finds of the detector"] += 1
    return Crops(training, validation, refused, refused_validation, dict(sorted(counts.items())))


def measuring_texts(dev: Path) -> frozenset[str]:
    """Texts of the measuring set, O folded to 0: only to keep possible copies of its plates out of training."""
    texts = set()
    with (dev / "labels.jsonl").open(encoding="utf-8") as file:
        for line in file:
            texts |= {folded(plate["text"]) for plate in json.loads(line)["plates"] if plate.get("text")}
    with (dev / "crops.csv").open(encoding="utf-8") as file:
        texts |= {folded(row["text"]) for row in csv.DictReader(file)}
    return frozenset(texts)


def _held_out(text: str) -> bool:
    return int.from_bytes(hashlib.sha256(folded(text).encode()).digest()[:4], "big") % 100 < VALIDATION_PERCENT


def _crop(path: Path, label: Label) -> Crop:
    rgb = read_rgb(path)
    height, width = rgb.shape[:2]
    box = label.box or (1.0, 1.0, width - 1.0, height - 1.0)
    aspect = _TRUE_ASPECT.get(label.label_set, (box[2] - box[0]) / (box[3] - box[1]))
    refused = label.kind in REFUSED
    region = UNLABELLED if refused else region_of(label.label_set, label.state, label.text)
    weight = 0.0 if refused else label.weight
    return Crop(
        Source(rgb, box, aspect), label.text, region, BOARD if refused else label.label_set, weight, label.origin
    )


def read_rgb(path: Path) -> Image:
    """An image file as RGB.  Raises ValueError when it cannot be decoded."""
    bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if bgr is None:
        raise ValueError(f"{path}: not a readable image")
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)


class Shards:
    """Synthetic plates, or boards, on disk: images uint8 [n, 80, 160, 3], texts, regions and true aspects."""

    def __init__(self, folder: Path) -> None:
        self._images = np.load(folder / "images.npy", mmap_mode="r")
        with (folder / "labels.jsonl").open(encoding="utf-8") as file:
            self._labels = [json.loads(line) for line in file]

    def __len__(self) -> int:
        return len(self._labels)

    def crop(self, index: int) -> Crop:
        """One plate or board; its picture is that alone, edge to edge."""
        label = self._labels[index]
        rgb = np.array(self._images[index])
        height, width = rgb.shape[:2]
        box = (1.0, 1.0, width - 1.0, height - 1.0)
        source = Source(rgb, box, label["aspect"])
        if "text" not in label:
            return Crop(source, "", UNLABELLED, BOARD, 0.0, label["kind"])
        return Crop(source, label["text"], label["region"], "synthetic", 1.0)


@dataclass(frozen=True, slots=True)
class Refused:
    """Drawn boards and real crops in which nothing is to be read, as `share` of what is drawn for a batch."""

    drawn: Shards
    real: list[Crop]
    share: float

    def draw(self, rng: np.random.Generator) -> Crop:
        """One of them."""
        if self.real and rng.random() < _REAL_REFUSED:
            return self.real[int(rng.integers(len(self.real)))]
        return self.drawn.crop(int(rng.integers(len(self.drawn))))


class Sampler(Dataset[Batch]):
    """Draws augmented batches.  A batch depends on seed and number alone, so a resumed run repeats nothing."""

    def __init__(
        self,
        crops: list[Crop],
        shards: Shards | None,
        synthetic_share: float,
        seed: int,
        size: int = PART,
        *,
        refused: Refused | None = None,
        swapped: Shards | None = None,
        sharp_first: bool = True,
    ) -> None:
        self._refused, self._swapped = refused, swapped
        self._hard_after = _HARD_AFTER_BATCHES if sharp_first else 1
        self._crops, self._shards, self._seed, self._size = crops, shards, seed, size
        self._share = synthetic_share if shards else 0.0
        self._cumulative = np.cumsum(_draw_weights(crops))
        self._backdrops = backdrops_of(crops, np.random.default_rng(seed))

    def __getitem__(self, number: int) -> Batch:
        """Batch `number`."""
        cv2.setNumThreads(1)
        rng = np.random.default_rng((self._seed, number))
        drawn = [self._draw(rng) for _ in range(self._size)]
        hard_share = min(_HARD_MAX, number / self._hard_after)
        return labelled([augmented(rng, crop.source, self._backdrops, hard_share) for crop in drawn], drawn)

    def stream(self, first: int, workers: int) -> Iterable[Batch]:
        """Batches from `first` on without end, drawn in `workers` processes (0: in this one)."""
        return DataLoader(self, batch_size=None, sampler=_CountFrom(first), num_workers=workers)

    def _draw(self, rng: np.random.Generator) -> Crop:
        if self._refused is not None and rng.random() < self._refused.share:
            return self._refused.draw(rng)
        if self._swapped is not None and rng.random() < _SWAPPED_SHARE:
            return self._swapped.crop(int(rng.integers(len(self._swapped))))
        if self._shards is not None and rng.random() < self._share:
            return self._shards.crop(int(rng.integers(len(self._shards))))
        return self._crops[int(np.searchsorted(self._cumulative, rng.random() * self._cumulative[-1]))]


class _CountFrom(TorchSampler[int]):
    def __init__(self, first: int) -> None:
        self._first = first

    def __iter__(self) -> Iterator[int]:
        return count(self._first)


def _draw_weights(crops: list[Crop]) -> NDArray[np.float64]:
    """Fixed shares for the close-ups by state; among the rest a plate counts by the root of its sightings."""
    seen = Counter((crop.label_set, crop.text) for crop in crops)
    weights = np.empty(len(crops))
    kinds = np.empty(len(crops), int)
    for i, crop in enumerate(crops):
        kinds[i] = 2 if crop.label_set != "us_state" else int(not crop.text)
        often = seen[crop.label_set, crop.text] ** -0.5
        weights[i] = 1.0 if kinds[i] < 2 else often * _SET_WEIGHT.get(crop.label_set, 1.0)
    for kind, share in enumerate((_STATE_SHARE, _STATE_UNREAD_SHARE, 1 - _STATE_SHARE - _STATE_UNREAD_SHARE)):
        weights[kinds == kind] *= share / max(weights[kinds == kind].sum(), 1e-9)
    return weights


def backdrops_of(crops: list[Crop], rng: np.random.Generator, number: int = 400) -> list[Image]:
    """What lies around a plate: upside-down blurred vehicle crops, in which nothing can be read."""
    vehicles = [crop for crop in crops if crop.label_set != "us_state"] or crops
    backdrops = []
    for _ in range(number):
        rgb = vehicles[rng.integers(len(vehicles))].source.rgb[::-1]
        small = cv2.resize(rgb, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA)
        blurred = cv2.GaussianBlur(small, (0, 0), rng.uniform(3, 12))
        backdrops.append(np.clip(blurred * rng.uniform(0.4, 1.2, 3), 0, 255).astype(np.uint8))
    return backdrops


@dataclass(frozen=True, slots=True)
class Texts:
    """CTC targets [n, LONGEST], their lengths [n] and the weights of their losses [n]."""

    targets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    weights: NDArray[np.float32]


def labelled_texts(crops: list[Crop]) -> Texts:
    """Targets of crops; those whose text is not known, or that have none, get weight 0."""
    targets = np.zeros((len(crops), LONGEST), np.int64)
    for i, crop in enumerate(crops):
        targets[i, : len(crop.text)] = encode(crop.text)
    return Texts(
        targets,
        np.array([max(1, len(crop.text)) for crop in crops]),
        np.array([crop.weight if crop.text else 0.0 for crop in crops], np.float32),
    )


def labelled(views: list[View], crops: list[Crop]) -> Batch:
    """Views with the targets of their crops."""
    texts = labelled_texts(crops)
    return Batch(
        np.stack([view.rgb for view in views]),
        texts.targets,
        texts.lengths,
        texts.weights,
        np.array([crop.region for crop in crops]),
        np.stack([view.corners for view in views]),
        np.array([_corner_trust(crop) for crop in crops], np.float32),
        np.stack([view.sharp for view in views]),
        np.array([crop.label_set == BOARD for crop in crops]),
    )


def _corner_trust(crop: Crop) -> float:
    if crop.label_set == BOARD:
        return 0.0
    return 1.0 if crop.label_set in _EXACT_CORNERS else _LOOSE_CORNERS


def cut(rgb: Image, box: tuple[float, float, float, float], margin_x: float, margin_y: float) -> Image:
    """The crop the agent feeds to the network: box and margins, clipped to the image, without letterbox."""
    x0, y0, x1, y1 = box
    mx, my = (x1 - x0) * margin_x, (y1 - y0) * margin_y
    height, width = rgb.shape[:2]
    left, top = min(max(0, round(x0 - mx)), width - 1), min(max(0, round(y0 - my)), height - 1)
    right, bottom = max(min(width, round(x1 + mx)), left + 1), max(min(height, round(y1 + my)), top + 1)
    part = rgb[top:bottom, left:right]
    shrinking = part.shape[1] > WIDTH_PX or part.shape[0] > HEIGHT_PX
    return cv2.resize(part, (WIDTH_PX, HEIGHT_PX), interpolation=cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR)
