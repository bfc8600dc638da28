"""Boards with writing that are no plates: bumper stickers, phone numbers, shop signs, speed limits, fleet numbers.

A detector that has seen only plates takes every board with letters for one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from models.training.plates.fonts import NAME_FACES, FontBank, fetch

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_HEIGHT_PX = 96
_WORDS = (
    "TAXI", "POLICE", "RENT", "SALE", "PIZZA", "SCHOOL BUS", "STOP", "DELIVERY", "PARKING", "OPEN", "EXIT", "NO ENTRY",
    "HYBRID", "TURBO", "DIESEL", "4X4", "SPORT", "AWD", "V6", "GTI", "BABY ON BOARD", "WIDE LOAD", "HOW AM I DRIVING",
    "KEEP DISTANCE", "PLUMBING", "ELECTRIC", "ROOFING", "CALL NOW", "WWW.EXAMPLE.COM", "MAIN ST", "1ST AVE", "HWY 101",
)  # fmt: skip


class SignPainter:
    """Draws boards with one font bank."""

    def __init__(self, fonts: Path | None = None) -> None:
        self._fonts = FontBank(fetch(fonts) if fonts else fetch())

    def paint(self, rng: np.random.Generator, *, min_chars: int = 1) -> NDArray[np.uint8]:
        """A BGR board, 96 pixels high, with one to three lines of writing.

        With `min_chars` letters and digits at least, no reader can take the board for a personal plate.
        """
        lines = [_writing(rng) for _ in range(int(rng.choice((1, 1, 2, 3))))]
        while sum(c.isalnum() for line in lines for c in line) < min_chars:
            lines = [*lines, _writing(rng)]
        face = NAME_FACES[rng.integers(len(NAME_FACES))]
        masks = [self._fonts.line(face, line) for line in lines]
        tall = _HEIGHT_PX * rng.uniform(0.5, 0.85) / len(masks)
        widths = [tall * mask.shape[1] / mask.shape[0] for mask in masks]
        board = np.empty((_HEIGHT_PX, int(np.clip(max(widths) * rng.uniform(1.05, 1.5), 48, 640)), 3), np.float32)
        ground = rng.uniform(0, 255, 3)
        # Writing stands out from its ground, light on dark or dark on light.
        ink = rng.uniform(0, 70, 3) if ground.mean() > 110 else rng.uniform(180, 255, 3)
        board[:] = ground
        for number, (mask, width) in enumerate(zip(masks, widths, strict=True)):
            wide = max(4, min(board.shape[1] - 4, round(width)))
            scaled = cv2.resize(mask, (wide, max(4, round(tall * 0.85))), interpolation=cv2.INTER_AREA)
            y = round((number + 0.5) * _HEIGHT_PX / len(masks) - scaled.shape[0] / 2)
            x = (board.shape[1] - wide) // 2
            part = board[y : y + scaled.shape[0], x : x + wide]
            part += scaled[..., None] / np.float32(255) * (ink - part)
        if rng.random() < 0.3:
            cv2.rectangle(board, (2, 2), (board.shape[1] - 3, _HEIGHT_PX - 3), tuple(map(float, ink)), 3)
        return np.clip(board, 0, 255).astype(np.uint8)


def _writing(rng: np.random.Generator) -> str:
    kind = rng.random()
    if kind < 0.2:
        a, b, c = rng.integers((200, 200, 0), (999, 999, 9999))
        return f"{a}-{b}-{c:04d}" if rng.random() < 0.5 else f"({a}) {b}-{c:04d}"
    if kind < 0.3:
        return str(rng.choice((25, 30, 35, 45, 50, 55, 65, 70, 80, 120)))
    if kind < 0.38:
        return f"${rng.integers(1, 99)}.{rng.integers(100):02d}"
    return " ".join(_WORDS[i] for i in rng.integers(len(_WORDS), size=int(rng.integers(1, 3))))
