"""What else carries writing on a road and in its pictures: signs, fleet numbers, lettering, camera overlays, displays.

A reader takes each for a personal plate.  `held_out` boards use words and faces that the others never show, so that
what is measured on them was not learned by heart.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from models.training.plates.fonts import FontBank, dictionary, fetch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_TALL_PX = 72
_WORDS = (
    "STOP", "EXIT", "YIELD", "SPEED", "LIMIT", "ONE WAY", "DETOUR", "SLOW", "POLICE", "SHERIFF", "TAXI",
    "AMBULANCE", "FIRE", "RESCUE", "SCHOOL BUS", "DELIVERY", "PLUMBING", "ROOFING", "ELECTRIC", "TOWING",
    "RENTAL", "FOR SALE", "SALE", "OPEN", "PARKING", "NO PARKING", "LOADING", "AUTO PARTS", "CAR WASH", "TIRES",
    "BRAKES", "PIZZA", "BAKERY", "COFFEE", "HOTEL", "MARKET", "PHARMACY", "BANK", "SECURITY", "FREIGHT",
    "LOGISTICS", "EXPRESS", "TRUCKING", "MOVERS", "CLEANING", "PAINTING", "LANDSCAPE", "FLOWERS", "CATERING",
    "SPORT", "TURBO", "HYBRID", "DIESEL", "LIMITED", "PREMIUM", "TOURING", "OFF ROAD", "QUATTRO", "XDRIVE",
    "GRAND", "CLASSIC", "CUSTOM", "SUPER DUTY", "RANGER", "PATROL", "VOYAGER", "EXPLORER", "OUTBACK",
    "STATE TROOPER", "TRANSIT", "METRO", "AIRPORT", "SHUTTLE", "CHARTER", "WELCOME", "NORTH", "SOUTH", "EAST",
    "WEST", "MAIN ST", "PARK AVE", "BROADWAY", "OAK DR", "HILL RD", "BRIDGE", "TUNNEL", "TOLL", "EZ LANE",
    "KEEP RIGHT", "NO TURNS", "WRONG WAY", "BUMP", "WORK ZONE", "FLAGGER", "CAUTION", "DANGER", "PRIVATE",
    "RESERVED", "VISITORS", "STAFF", "DOCTORS", "CHURCH", "LIBRARY", "MUSEUM", "STADIUM", "BEACH", "HARBOR",
    "FERRY", "GARAGE", "SERVICE", "REPAIR", "GLASS", "PAINT",
)  # fmt: skip
_FACES = (
    "LiberationSans-Bold.ttf", "Roboto-Bold.ttf", "Lato-Black.ttf", "OpenSans-Semibold.ttf",
    "LiberationSansNarrow-Bold.ttf", "URWGothic-Demi.otf", "RG2014D.ttf", "RG2014C.ttf",
    "DejaVuSansMono-Bold.ttf", "BarlowSemiCondensed-Bold.ttf", "DejaVuSerif-Bold.ttf", "C059-BdIta.otf",
    "RobotoCondensed-Bold.ttf", "BebasNeue-Bold.otf",
)  # fmt: skip
_MORE_FACES = (
    "Lato-Heavy.ttf", "Lato-BoldItalic.ttf", "Roboto-Black.ttf", "Roboto-Medium.ttf", "Roboto-BoldItalic.ttf",
    "DejaVuSans-Bold.ttf", "LiberationSerif-Bold.ttf", "LiberationSans-BoldItalic.ttf", "NimbusSans-Bold.otf",
    "NimbusSansNarrow-Bold.otf", "NimbusRoman-Bold.otf", "URWBookman-Demi.otf", "URWGothic-DemiOblique.otf",
    "P052-BoldItalic.otf", "Z003-MediumItalic.otf", "RG2014B.ttf", "RG2014E.ttf", "RG2014F.ttf", "RG2014EM.ttf",
    "OpenSans-ExtraBold.ttf", "OpenSans-CondBold.ttf", "BarlowCondensed-Bold.ttf", "BarlowSemiCondensed-Black.ttf",
    "Tuffy_Bold.ttf", "B612-Bold.otf", "OSP-DIN.ttf", "RobotoCondensed-Regular.ttf", "BebasNeue-Regular.otf",
    "LeagueMono-ExtendedBold.otf", "LiberationSansNarrow-BoldItalic.ttf",
)  # fmt: skip
"""For training alone: what is held out stays the same."""
_OVERLAY_FACES = (
    "DejaVuSansMono-Bold.ttf", "LiberationMono-Bold.ttf", "LeagueMono-CondensedSemiBold.otf", "Roboto-Bold.ttf",
    "LiberationSans-Bold.ttf", "B612Mono-Bold.otf",
)  # fmt: skip
_SIGN_COLOURS = (
    ((240, 240, 238), (25, 25, 25)), ((25, 25, 25), (240, 240, 238)), ((180, 20, 30), (245, 245, 245)),
    ((10, 105, 65), (245, 245, 245)), ((20, 60, 150), (245, 245, 245)), ((250, 210, 20), (20, 20, 20)),
    ((240, 120, 20), (20, 20, 20)), ((240, 240, 238), (180, 20, 30)), ((240, 240, 238), (20, 50, 130)),
    ((110, 65, 35), (245, 245, 245)),
)  # fmt: skip
_NUMBERED = ("TRK", "UNIT", "BUS", "CAR", "NO", "RT", "HWY", "I")
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


@dataclass(frozen=True, slots=True)
class Board:
    """RGB uint8, edge to edge as a detector would box it, and its kind."""

    rgb: NDArray[np.uint8]
    kind: str


class BoardPainter:
    """Draws boards with one font bank; `grounds` are RGB pictures without writing that overlays lie on."""

    def __init__(
        self, fonts: Path | None, grounds: Sequence[NDArray[np.uint8]], *, held_out: bool = False
    ) -> None:
        folder = fetch(fonts) if fonts else fetch()
        self._fonts, self._grounds = FontBank(folder), grounds
        # Every fourth word and face is held out.
        self._words = [w for i, w in enumerate(_WORDS) if (i % 4 == 3) == held_out]
        self._more_words = [w for i, w in enumerate(dictionary(folder)) if (i % 4 == 3) == held_out]
        self._faces = [f for i, f in enumerate(_FACES) if (i % 4 == 3) == held_out]
        if not held_out:
            self._faces += _MORE_FACES

    def paint(self, rng: np.random.Generator) -> Board:
        """A board of a random kind."""
        kind = str(rng.choice(("sign", "lettering", "overlay", "display"), p=(0.4, 0.25, 0.25, 0.1)))
        if kind == "overlay":
            return Board(self._overlay(rng), kind)
        if kind == "display":
            return Board(self._display(rng), kind)
        lines = [self._sign_text(rng) for _ in range(int(rng.choice((1, 2), p=(0.8, 0.2))))]
        if kind == "sign":
            ground, ink = _SIGN_COLOURS[rng.integers(len(_SIGN_COLOURS))]
        else:
            ground = tuple(int(v) for v in rng.integers(0, 256, 3))
            ink = (240, 240, 240) if sum(ground) < 330 else (25, 25, 30)
            if rng.random() < 0.4:
                ink = tuple(int(v) for v in rng.integers(0, 256, 3))
        face = self._faces[rng.integers(len(self._faces))]
        rgb = self._lines(rng, lines, face, ground, ink)
        if kind == "sign" and rng.random() < 0.6:
            height, width = rgb.shape[:2]
            inset = int(rng.integers(1, 5))
            cv2.rectangle(
                rgb, (inset, inset), (width - 1 - inset, height - 1 - inset), ink, int(rng.integers(1, 4))
            )
        return Board(_fragment(rng, rgb), kind)

    def _sign_text(self, rng: np.random.Generator) -> str:
        words = self._words if rng.random() < 0.5 else self._more_words
        word = words[rng.integers(len(words))]
        number, wide = int(rng.integers(1, 10 ** int(rng.integers(2, 5)))), int(rng.integers(10**5, 10**7))
        area, exchange, line = rng.integers((200, 200, 0), (999, 999, 9999))
        texts = (
            word,
            f"{word} {number}",
            str(number),
            f"{area}-{exchange}-{line:04d}",
            f"555-{line:04d}",
            f"USDOT {wide}",
            f"{rng.choice(_NUMBERED)}{rng.choice((' ', '-'))}{number}",
            f"WWW.{word.replace(' ', '')}.COM",
        )
        return str(rng.choice(texts, p=(0.4, 0.15, 0.13, 0.1, 0.06, 0.06, 0.05, 0.05)))

    def _lines(
        self,
        rng: np.random.Generator,
        lines: Sequence[str],
        face: str,
        ground: Sequence[float],
        ink: Sequence[float],
    ) -> NDArray[np.uint8]:
        masks = [self._fonts.line(face, line) for line in lines]
        tall = _TALL_PX * rng.uniform(0.45, 0.85) / len(masks)
        widths = [max(6, round(tall * mask.shape[1] / mask.shape[0] * rng.uniform(0.85, 1.25))) for mask in masks]
        board = np.empty((_TALL_PX, round(max(widths) * rng.uniform(1.05, 1.4)) + 6, 3), np.float32)
        board[:] = ground
        for number, (mask, wide) in enumerate(zip(masks, widths, strict=True)):
            scaled = cv2.resize(mask, (wide, max(4, round(tall * 0.9))), interpolation=cv2.INTER_AREA)
            x, y = (
                (board.shape[1] - wide) // 2,
                round((number + 0.5) * _TALL_PX / len(masks) - scaled.shape[0] / 2),
            )
            part = board[y : y + scaled.shape[0], x : x + wide]
            part += scaled[..., None] / np.float32(255) * (np.asarray(ink, np.float32) - part)
        return np.clip(board, 0, 255).astype(np.uint8)

    def _overlay(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """A date, a position, a speed or a camera's name, as recorders write them over a picture."""
        face = _OVERLAY_FACES[rng.integers(len(_OVERLAY_FACES))]
        mask = self._fonts.line(face, _overlay_text(rng))
        tall = round(_TALL_PX * rng.uniform(0.4, 0.9))
        wide = max(8, round(tall * mask.shape[1] / mask.shape[0]))
        size = (round(wide * rng.uniform(1.02, 1.25)) + 4, _TALL_PX)
        ground = self._grounds[rng.integers(len(self._grounds))]
        board = cv2.resize(ground, size, interpolation=cv2.INTER_LINEAR).astype(np.float32)
        if rng.random() < 0.3:
            board *= np.float32(rng.uniform(0.0, 0.5))  # on a dark bar
        ink = ((245, 245, 245), (250, 240, 60), (90, 250, 90), (250, 90, 60))[
            int(rng.choice(4, p=(0.6, 0.2, 0.1, 0.1)))
        ]
        x, y = (size[0] - wide) // 2, (_TALL_PX - tall) // 2
        scaled = cv2.resize(mask, (wide, tall), interpolation=cv2.INTER_AREA)
        if rng.random() < 0.5:  # a dark edge around the letters
            edge = cv2.dilate(scaled, np.ones((5, 5), np.uint8))
            board[y : y + tall, x : x + wide] *= 1 - edge[..., None] / np.float32(255)
        part = board[y : y + tall, x : x + wide]
        part += scaled[..., None] / np.float32(255) * (np.asarray(ink, np.float32) - part)
        return _fragment(rng, np.clip(board, 0, 255).astype(np.uint8))

    def _display(self, rng: np.random.Generator) -> NDArray[np.uint8]:
        """Lamps in rows, as buses and message boards show text."""
        text = f"{rng.integers(1, 999)}" if rng.random() < 0.5 else self._words[rng.integers(len(self._words))]
        mask = self._fonts.line("LeagueMono-CondensedBold.otf", text)
        rows = int(rng.integers(9, 18))
        coarse = cv2.resize(
            mask, (max(6, round(rows * mask.shape[1] / mask.shape[0])), rows), interpolation=cv2.INTER_AREA
        )
        lit = np.pad(coarse, 3)
        step = max(3, _TALL_PX // lit.shape[0])
        big = cv2.resize(lit, None, fx=step, fy=step, interpolation=cv2.INTER_NEAREST).astype(np.float32) / 255
        gaps = np.ones(step, np.float32)
        gaps[-max(1, step // 4) :] = 0.35
        big *= np.tile(gaps, lit.shape[0])[:, None] * np.tile(gaps, lit.shape[1])[None]
        colour = np.array(((255, 150, 20), (255, 60, 40), (240, 250, 255))[rng.integers(3)], np.float32)
        return np.clip(12 + big[..., None] * colour, 0, 255).astype(np.uint8)


def _overlay_text(rng: np.random.Generator) -> str:
    hour, minute, second = rng.integers((24, 60, 60))
    year, month, day = rng.integers((2012, 1, 1), (2031, 13, 29))
    clock = f"{hour:02d}:{minute:02d}:{second:02d}"
    kind = int(rng.integers(9))
    return (
        f"{year}-{month:02d}-{day:02d} {clock}",
        f"{month:02d}/{day:02d}/{year}",
        f"{day:02d} {_MONTHS[month - 1]} {year}",
        clock,
        f"{rng.integers(0, 130)}{rng.choice((' MPH', ' KM/H', 'KM/H'))}",
        f"N{rng.uniform(20, 60):.5f} W{rng.uniform(60, 120):.5f}",
        f"{rng.choice(('CAM', 'CAM ', 'CH', 'CAMERA ', 'FRONT ', 'REAR '))}{rng.integers(1, 20):02d}",
        f"{rng.choice(('A', 'UNIT ', 'CAR ', 'BWC', 'AX'))}{rng.integers(1, 9999)}",
        f"{rng.choice(('REC', 'LIVE', 'FRONT', '1080P', 'GPS', 'IR ON', '4K 30FPS', 'PARK MODE'))}",
    )[kind]


def _fragment(rng: np.random.Generator, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """At times only a part, as a detector boxes it."""
    if rng.random() > 0.25:
        return rgb
    width = rgb.shape[1]
    share = rng.uniform(0.4, 0.9)
    left = round(width * rng.uniform(0, 1 - share))
    return np.ascontiguousarray(rgb[:, left : left + max(12, round(width * share))])
