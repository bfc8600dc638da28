"""How well boxes are found: recall at IoU 0.5, mean IoU, false boxes, on photographs that were not trained on."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from agent.recognise.detector import fuse, shrink
from models.training.detector.data import GREY, HEIGHT_PX, WIDTH_PX, Photo
from models.training.detector.net import SIZE_BASE_PX, STRIDE, Exported

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from models.training.detector.net import DetectorNet

    Look = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], ...]]
    """An RGB network input to score, offset and size maps [H/8, W/8, ...]."""

SCORE_THRESHOLD = 0.4
_NMS_IOU, _MERGE_IOU = 0.4, 0.55
OVERSIZE_PX = (1.5, 1.0)
"""Boxes come out larger than the plates by this much: people label with a rim, and the network sees blurred edges.
Measured on the drawn drives, whose truth is exact: with it the mean IoU there is 0.69, 0.80, 0.83 for plates of
26-36, 36-50 and 50-100 pixels in 1280, without it 0.54, 0.72, 0.80."""


@dataclass(slots=True)
class Score:
    """Counts over photographs."""

    photos: int = 0
    plates: int = 0
    found: int = 0
    iou: float = 0.0
    false: int = 0

    def figures(self) -> dict[str, float]:
        """Shares, and false boxes a photograph."""
        plates, photos = max(1, self.plates), max(1, self.photos)
        return {"recall": self.found / plates, "mean_iou": self.iou / plates, "false_img": self.false / photos}


def look_with(net: DetectorNet) -> Look:
    """The float network as a function of one network input."""
    wrapped = Exported(net).eval()

    @torch.inference_mode()
    def look(rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        device = next(net.parameters()).device
        tensor = torch.from_numpy(rgb[np.newaxis].copy()).to(device).float().div_(255)
        return tuple(t[0].float().cpu().numpy() for t in wrapped(tensor))

    return look


def find(look: Look, rgb: NDArray[np.uint8], *, threshold: float = SCORE_THRESHOLD) -> NDArray[np.float32]:
    """Boxes with scores [n, 5] in pixels of the picture, decoded as the agent does."""
    height, width = rgb.shape[:2]
    scale = min(WIDTH_PX / width, HEIGHT_PX / height)
    w, h = max(1, round(width * scale)), max(1, round(height * scale))
    canvas = np.full((HEIGHT_PX, WIDTH_PX, 3), GREY, np.uint8)
    canvas[:h, :w] = shrink(rgb, w, h)
    score, offset, size = look(canvas)
    rows, columns = np.nonzero(score[..., 0] > threshold)
    scores = score[rows, columns, 0]
    order = np.argsort(-scores)
    rows, columns, scores = rows[order], columns[order], scores[order]
    centre = (np.stack([columns, rows], 1) + 0.5 + offset[rows, columns]) * STRIDE
    full = np.exp(size[rows, columns]) * SIZE_BASE_PX
    half = np.maximum(full - np.array(OVERSIZE_PX, np.float32), full / 2) / 2
    boxes = (np.concatenate([centre - half, centre + half], 1) / scale).astype(np.float32)
    kept = fuse(boxes, scores, nms_iou=_NMS_IOU, merge_iou=_MERGE_IOU)
    return np.array([[*box, s] for box, s in kept], np.float32).reshape(-1, 5)


def score_photo(found: NDArray[np.float32], plates: NDArray[np.float32], score: Score) -> None:
    """Add one photograph to a tally."""
    score.photos += 1
    used: set[int] = set()
    for plate in plates:
        overlaps = [_iou(plate, box[:4]) for box in found]
        best = int(np.argmax(overlaps)) if overlaps else -1
        overlap = overlaps[best] if overlaps else 0.0
        score.plates += 1
        score.found += overlap >= 0.5
        score.iou += overlap
        if overlap >= 0.3:
            used.add(best)
    score.false += len(found) - len(used)


def validate(net: DetectorNet, photos: list[Photo]) -> dict[str, float]:
    """Figures on validation photographs; false boxes only where every plate is labelled."""
    look = look_with(net)
    all_photos, complete = Score(), Score()
    for photo in photos:
        found = find(look, np.ascontiguousarray(photo.bgr[..., ::-1]))
        score_photo(found, photo.plates, all_photos)
        if photo.complete:
            score_photo(found, photo.plates, complete)
    return {**all_photos.figures(), "false_img": complete.figures()["false_img"]}


def measure(look: Look, data: Path) -> dict[str, dict[str, float]]:
    """Figures on the measuring set by region; it is never trained on."""
    scores: dict[str, Score] = defaultdict(Score)
    folder = data / "dev"
    for line in (folder / "labels.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        rgb = np.ascontiguousarray(cv2.imread(str(folder / row["image"]))[..., ::-1])
        plates = np.array([plate["box"] for plate in row["plates"]], np.float32).reshape(-1, 4)
        score_photo(find(look, rgb), plates, scores[row["region"]])
    return {region: score.figures() for region, score in sorted(scores.items())}


def _iou(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    shared = np.prod(np.maximum(0, np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])))
    union = np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared
    return float(shared / union) if union > 0 else 0.0
