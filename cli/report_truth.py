"""What the reads of a drive are by its ground truth: right, wrong, and which plates were missed."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from agent.track import text_similarity
from hw.images import PictureError, load_rgb

if TYPE_CHECKING:
    from collections.abc import Iterable

    from agent.records import Read
    from hw.drive_format import Drive, Truth

_US_PER_S = 1_000_000
_NS_PER_S = 1_000_000_000
_NEAR_S = 0.5
"""A read is compared with the plates of the frame at its time, or of the nearest one no further away."""
_MARGIN = 0.4
"""Around a plate, in widths of it."""
_WIDTH_PX = 320


@dataclass(frozen=True, slots=True)
class Missed:
    """A plate that was shown and not read."""

    plate: str
    region: str
    from_s: float
    to_s: float
    frames: int
    width_px: int
    """At its largest."""
    picture: str
    """JPEG of its largest view, base64; empty if the drive has a video instead of pictures."""


def verdict(drive: Drive, read: Read) -> tuple[bool, str]:
    """Whether a read is right by the ground truth, and in words: if it is wrong, the likest plate shown then."""
    if any(truth.plate == read.body.text for truth in drive.truth):
        return True, "right"
    shown = {truth.plate for truth in _at(drive, read.body.mono_us / _US_PER_S)}
    likest = max(sorted(shown), key=lambda plate: text_similarity(plate, read.body.text), default=None)
    return False, "wrong: no plate shown" if likest is None else f"wrong: {likest} shown"


def _at(drive: Drive, t_s: float) -> tuple[Truth, ...]:
    near = min(drive.frames, key=lambda frame: abs(frame.t_ns / _NS_PER_S - t_s), default=None)
    if near is None or abs(near.t_ns / _NS_PER_S - t_s) > _NEAR_S:
        return ()
    return drive.truth_of(near.seq)


def missed(drive: Drive, shown: Iterable[str], reads: Iterable[Read]) -> list[Missed]:
    """The plates of ``shown`` that no read has, in the order of the drive."""
    texts = {read.body.text for read in reads}
    times = {frame.seq: frame.t_ns / _NS_PER_S for frame in drive.frames}
    found = []
    for plate in set(shown) - texts:
        views = [truth for truth in drive.truth if truth.plate == plate]
        largest = max(views, key=lambda truth: truth.x1 - truth.x0)
        seen_s = [times[truth.seq] for truth in views if truth.seq in times] or [0.0]
        found.append(
            Missed(
                plate, largest.region, min(seen_s), max(seen_s), len(views), round(largest.x1 - largest.x0),
                _picture(drive, largest),
            )
        )  # fmt: skip
    return sorted(found, key=lambda one: (one.from_s, one.plate))


def _picture(drive: Drive, truth: Truth) -> str:
    file = next((frame.file for frame in drive.frames if frame.seq == truth.seq), None)
    if file is None:
        return ""
    try:
        rgb = load_rgb(drive.root / file)
    except PictureError:
        return ""
    margin = _MARGIN * (truth.x1 - truth.x0)
    left, top = (max(0, round(value - margin)) for value in (truth.x0, truth.y0))
    part = rgb[top : round(truth.y1 + margin), left : round(truth.x1 + margin)]
    if not part.size:
        return ""
    size = (_WIDTH_PX, max(1, round(_WIDTH_PX * part.shape[0] / part.shape[1])))
    larger = cv2.resize(np.ascontiguousarray(part[:, :, ::-1]), size, interpolation=cv2.INTER_CUBIC)
    return base64.b64encode(cv2.imencode(".jpg", larger)[1].tobytes()).decode()
