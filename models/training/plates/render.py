"""Draw a licence plate.

Everything is drawn at 260 px of width for a 2:1 plate (same height for others), glyph masks scaled into place and
blended; about 2 ms a plate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import cv2
import numpy as np

from models.training.plates.designs import FAMILY_SHARES, Colour, Design, designs_of
from models.training.plates.fonts import NAME_FACES, SERIAL_FACES, FontBank, dictionary, fetch
from models.training.plates.strokes import FACES
from models.training.plates.words import CITIES, DEALERS, SIDE_WORDS, SLOGANS, personal_serial

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_HEIGHT_PX = 130
_DIGITS = "0123456789"
_LETTERS = {
    "EU": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "BR": "ABCDEFGHIJKLMNOPQRSTUVWXYZ",
    "US": "AABBCCDDEEFFGGHHIJJKKLLMMNNOPPQRRSSTTUUVVWWXXYYZZ",
}
"""On North American plates I, O and Q are rarer than the rest, not absent."""
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_GAP = {" ": 0.45, "-": 0.42, "*": 0.75, "!": 0.6, "|": 0.34}
_NARROW = {"US": 0.5, "EU": 0.54, "BR": 0.62}
"""Width of a character, share of its height."""
_STROKE_SHARE = {"US": 0.45, "EU": 0.15, "BR": 0.5}
_STACKED_SHARE, _PERSONAL_SHARE, _SPECIALTY_SHARE, _OLD_SHARE, _OTHER_SLOGAN_SHARE = 0.11, 0.13, 0.2, 0.22, 0.25
_OLD_FORMATS = (
    "DD-DDD", "LL-DDD", "DDD-DDD", "DDDDDD", "L-DDDDD", "LDDDDD", "DDDD", "LLL-DDD", "DDDLLL", "LL DDDD", "D DDDD",
    "LLLDDD", "DD*DDDD", "D-LDDDD", "DDD LLL", "DLDDDD",
)  # fmt: skip
_DIES = ((24, 24, 26), (20, 40, 95), (15, 75, 55), (110, 25, 35), (90, 55, 30), (40, 85, 130), (150, 60, 20))
_PALES = ((238, 238, 232), (240, 200, 70), (225, 220, 195), (190, 195, 195), (250, 225, 90), (240, 150, 60))

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Plate:
    """A drawn plate: RGB uint8, the text to read (A-Z0-9), region, true width/height, a box per character."""

    rgb: NDArray[np.uint8]
    text: str
    region: str
    aspect: float
    character_boxes: tuple[Box, ...]


@dataclass(frozen=True, slots=True)
class _Layout:
    """One glyph or emblem of the serial: what it is and where it goes (x0, width in em)."""

    kind: str
    x: float
    width: float


class PlateRenderer:
    """Draws plates with one font bank."""

    def __init__(self, fonts: Path | None = None) -> None:
        folder = fetch(fonts) if fonts else fetch()
        self._fonts, self._words = FontBank(folder), dictionary(folder)

    def render(
        self,
        rng: np.random.Generator,
        *,
        region: str | None = None,
        text: str | None = None,
        design: Design | None = None,
        clean: bool = False,
        size_px: tuple[int, int] | None = None,
    ) -> Plate:
        """A plate of `region` ("US-CA", "US", "MX", ...; random when None) with `text` (a format's string, random
        when None; blanks, dashes and * are drawn but not read).

        `clean` leaves out dirt, dealer frames and odd glyph weights.  `size_px` is (width, height) of the picture.
        Raises KeyError for an unknown region.
        """
        varied = design is None and text is None and not clean
        design = design or _pick(rng, region or _family(rng))
        if varied and design.faces == "US":
            design = _revised(rng, design)
        serial = text.upper() if text else _serial(rng, design, self._words)
        width = round(_HEIGHT_PX * design.aspect)
        canvas = _background(rng, design, width)
        if not clean and rng.random() < 0.3:
            _scenery(rng, canvas)
        self._band(rng, canvas, design)
        self._small_print(rng, canvas, design)
        left, right = self._specialty(rng, canvas, design) if varied and design.faces == "US" else (0.0, 1.0)
        boxes = self._draw_serial(rng, canvas, design, serial, clean=clean, span=(left, right))
        self._extras(rng, canvas, design, clean=clean)
        picture = np.clip(canvas, 0, 255).astype(np.uint8)
        if size_px is not None and size_px != (width, _HEIGHT_PX):
            picture = cv2.resize(picture, size_px, interpolation=cv2.INTER_AREA)
            sx, sy = size_px[0] / width, size_px[1] / _HEIGHT_PX
            boxes = [(a * sx, b * sy, c * sx, d * sy) for a, b, c, d in boxes]
        read = "".join(c for c in serial if c.isalnum())
        return Plate(picture, read, design.region, design.aspect, tuple(boxes))

    def _draw_serial(
        self,
        rng: np.random.Generator,
        canvas: NDArray[np.float32],
        design: Design,
        serial: str,
        *,
        clean: bool,
        span: tuple[float, float] = (0.0, 1.0),
    ) -> list[Box]:
        height, width = canvas.shape[:2]
        faces = SERIAL_FACES[design.faces]
        if not clean and rng.random() < _STROKE_SHARE[design.faces]:
            faces = FACES
        face = faces[rng.integers(len(faces))]
        weight = 0 if clean else int(rng.choice((0, 0, 0, 2, 4)))
        tall = height * design.serial_height * (1.0 if clean else rng.uniform(0.9, 1.1))
        narrow = _NARROW[design.faces] * (1.0 if clean else rng.uniform(0.88, 1.12))
        gap = narrow * rng.uniform(0.12, 0.3)
        items = _laid_out(serial, narrow, gap)
        left = width * max(span[0], 0.12 if design.band == "left" else 0.04)
        room = (width * min(span[1], 0.96) - left) * (1.0 if clean else rng.uniform(0.82, 1.0))
        em = min(tall, room / (items[-1].x + items[-1].width))
        covered = em * (items[-1].x + items[-1].width)
        x0 = left + (room - covered) * (0.5 if clean else rng.uniform(0.3, 0.7))
        y0 = (height - tall) / 2 + height * _drop(design) * (1.0 if clean else rng.uniform(0.6, 1.3))
        boxes: list[Box] = []
        emboss = rng.random() < 0.5
        for item in items:
            box = (x0 + em * item.x, y0, x0 + em * (item.x + item.width), y0 + tall)
            if item.kind == "*":
                _emblem(rng, canvas, box, design)
            elif item.kind == "!":
                self._stacked(rng, canvas, box, face, design.ink)
            elif item.kind == "|":
                self._side_word(rng, canvas, box, design)
            elif item.kind == "-":
                middle = (box[1] + box[3]) / 2
                _blend(
                    canvas, np.full((8, 24), 255, np.uint8), (box[0], middle - 3, box[2], middle + 4), design.ink
                )
            else:
                mask = self._fonts.glyph(face, item.kind, weight)
                box = _fitted(mask, box)
                if emboss:
                    _blend(canvas, mask, (box[0] + 1, box[1] + 1, box[2] + 1, box[3] + 1), (90, 90, 90), 0.35)
                _blend(canvas, mask, box, design.ink)
                boxes.append(box)
        return boxes

    def _stacked(
        self, rng: np.random.Generator, canvas: NDArray[np.float32], box: Box, face: str, ink: Colour
    ) -> None:
        middle = (box[1] + box[3]) / 2
        pool = str(rng.choice((_LETTERS["US"], _DIGITS, _LETTERS["US"] + _DIGITS)))
        thin = (box[2] - box[0]) * rng.uniform(0.0, 0.2)
        for top, bottom in ((box[1], middle - 2), (middle + 2, box[3])):
            char = pool[rng.integers(len(pool))]
            place = _fitted(self._fonts.glyph(face, char, 0), (box[0] + thin, top, box[2] - thin, bottom))
            _blend(canvas, self._fonts.glyph(face, char, 0), place, ink)

    def _side_word(self, rng: np.random.Generator, canvas: NDArray[np.float32], box: Box, design: Design) -> None:
        """A word written downwards beside the serial, as DEALER or a year."""
        word = SIDE_WORDS[rng.integers(len(SIDE_WORDS))]
        step = min((box[3] - box[1]) / len(word), 1.35 * (box[2] - box[0]))
        top = (box[1] + box[3] - step * len(word)) / 2
        ink = design.ink if rng.random() < 0.6 else design.name_colour
        for number, char in enumerate(word):
            mask = self._fonts.glyph("LiberationSansNarrow-Bold.ttf", char, 0)
            y = top + step * number
            _blend(canvas, mask, _fitted(mask, (box[0] + 1, y + 1, box[2] - 1, y + step - 1)), ink)

    def _specialty(
        self, rng: np.random.Generator, canvas: NDArray[np.float32], design: Design
    ) -> tuple[float, float]:
        """At times a picture beside the serial; returns what it leaves free, as shares of the width."""
        if rng.random() > _SPECIALTY_SHARE:
            return 0.0, 1.0
        height, width = canvas.shape[:2]
        share = float(rng.uniform(0.16, 0.32))
        on_left = rng.random() < 0.75
        x0, x1 = (0.03, share) if on_left else (1 - share, 0.97)
        top, bottom = height * rng.uniform(0.1, 0.3), height * rng.uniform(0.72, 0.92)
        middle = ((x0 + x1) / 2 * width, (top + bottom) / 2)
        size = np.array([(x1 - x0) * width, bottom - top]) / 2
        if rng.random() < 0.4:
            colour = tuple(float(v) for v in rng.uniform(30, 240, 3))
            axes = (round(size[0] * 0.9), round(size[1] * 0.9))
            centre = (round(middle[0]), round(middle[1]))
            cv2.ellipse(canvas, (centre, (2 * axes[0], 2 * axes[1]), 0), colour, -1 if rng.random() < 0.6 else 2)
        for _ in range(int(rng.integers(1, 5))):
            x, y = np.array(middle) + rng.normal(0, 0.3, 2) * size
            w, h = size * rng.uniform(0.3, 0.9, 2)
            _emblem(rng, canvas, (x - w, y - h, x + w, y + h), design)
        if rng.random() < 0.4:
            word = str(rng.choice(SIDE_WORDS))
            mask = self._fonts.line(NAME_FACES[rng.integers(len(NAME_FACES))], word)
            w, h = size * rng.uniform(0.4, 0.8), size[1] * rng.uniform(0.15, 0.35)
            _blend(canvas, mask, (middle[0] - w[0], middle[1] - h, middle[0] + w[0], middle[1] + h), design.ink)
        return (share, 1.0) if on_left else (0.0, 1 - share)

    def _band(self, rng: np.random.Generator, canvas: NDArray[np.float32], design: Design) -> None:
        height, width = canvas.shape[:2]
        if design.band == "left":
            edge = round(width * rng.uniform(0.085, 0.105))
            canvas[:, :edge] = (25, 55, 150)
            cv2.circle(canvas, (edge // 2, round(height * 0.3)), round(edge * 0.3), (240, 210, 60), 2, cv2.LINE_AA)
            mask = self._fonts.line("LiberationSans-Bold.ttf", design.name)
            wide = min(edge * 0.8, height * 0.2 * mask.shape[1] / mask.shape[0])
            _blend(
                canvas, mask, ((edge - wide) / 2, height * 0.66, (edge + wide) / 2, height * 0.86), (240, 240, 240)
            )
        elif design.band == "top":
            canvas[: round(height * 0.24)] = (25, 55, 150)

    def _small_print(self, rng: np.random.Generator, canvas: NDArray[np.float32], design: Design) -> None:
        if design.band == "left":
            return
        height, width = canvas.shape[:2]
        face = NAME_FACES[rng.integers(len(NAME_FACES))]
        colour = (240, 240, 240) if design.band == "top" else design.name_colour
        name, slogan = design.name, design.slogan
        if name == "BR":
            name = CITIES[rng.integers(len(CITIES))]
        lines = ((name, 0.04, 0.17), (slogan, 0.86, 0.1))
        if design.faces == "US" and rng.random() < 0.15:  # many older plates carry the name below
            lines = ((slogan, 0.04, 0.11), (name, 0.82, 0.15))
        for text, y, share in lines:
            if not text:
                continue
            mask = self._fonts.line(face, text)
            tall = height * share * rng.uniform(0.85, 1.1)
            wide = min(width * 0.7, tall * mask.shape[1] / mask.shape[0] * rng.uniform(0.9, 1.2))
            x = (width - wide) / 2
            _blend(canvas, mask, (x, height * y, x + wide, height * y + tall), colour)

    def _extras(
        self, rng: np.random.Generator, canvas: NDArray[np.float32], design: Design, *, clean: bool
    ) -> None:
        height, width = canvas.shape[:2]
        if design.faces == "US" and rng.random() < 0.6:
            self._stickers(rng, canvas)
        if rng.random() < 0.6:
            for x, y in ((0.2, 0.07), (0.8, 0.07), (0.2, 0.93), (0.8, 0.93))[: 2 if rng.random() < 0.4 else 4]:
                shade = float(rng.uniform(20, 190))
                cv2.circle(
                    canvas, (round(x * width), round(y * height)), 4, (shade, shade, shade), -1, cv2.LINE_AA
                )
        rim = design.ink if rng.random() < 0.4 else (200, 200, 200)
        cv2.rectangle(canvas, (1, 1), (width - 2, height - 2), rim, 2, cv2.LINE_AA)
        if clean:
            return
        if design.faces == "US" and rng.random() < 0.4:
            self._frame(rng, canvas)
        if rng.random() < 0.35:
            _dirt(rng, canvas)

    def _stickers(self, rng: np.random.Generator, canvas: NDArray[np.float32]) -> None:
        height, width = canvas.shape[:2]
        for x in rng.permutation([0.03, 0.85])[: rng.integers(1, 3)]:
            colour = rng.uniform(30, 255, 3)
            box = (x * width, height * 0.04, (x + 0.12) * width, height * rng.uniform(0.18, 0.24))
            _blend(canvas, np.full((4, 4), 255, np.uint8), box, tuple(colour))
            text = _MONTHS[rng.integers(12)] if rng.random() < 0.4 else f"{rng.integers(8, 30):02d}"
            inner = (box[0] + 3, box[1] + 3, box[2] - 3, box[3] - 3)
            ink = (20, 20, 20) if colour.mean() > 110 else (240, 240, 240)
            _blend(canvas, self._fonts.line("LiberationSans-Bold.ttf", text), inner, ink)

    def _frame(self, rng: np.random.Generator, canvas: NDArray[np.float32]) -> None:
        """A dealer's frame: it hides the rim, often the state's name, and carries words of its own."""
        height, width = canvas.shape[:2]
        colour = tuple(
            float(v) for v in rng.choice(((25, 25, 28), (185, 185, 190), (60, 30, 30), (230, 230, 230)))
        )
        side = round(width * rng.uniform(0.015, 0.035))
        top, bottom = (round(height * rng.uniform(0.04, 0.2)) for _ in range(2))
        cv2.rectangle(canvas, (0, 0), (width, top), colour, -1)
        cv2.rectangle(canvas, (0, height - bottom), (width, height), colour, -1)
        cv2.rectangle(canvas, (0, 0), (side, height), colour, -1)
        cv2.rectangle(canvas, (width - side, 0), (width, height), colour, -1)
        ink = (235, 235, 235) if sum(colour) < 300 else (25, 25, 30)
        if rng.random() < 0.2:
            ink = tuple(float(v) for v in rng.uniform(0, 255, 3))
        face = NAME_FACES[rng.integers(len(NAME_FACES))] if rng.random() < 0.5 else "LiberationSans-Bold.ttf"
        for y, tall in ((0, top), (height - bottom, bottom)):
            if tall > 7 and rng.random() < 0.8:
                mask = self._fonts.line(face, DEALERS[rng.integers(len(DEALERS))])
                inner = tall * rng.uniform(0.55, 0.85)
                wide = min(width * 0.9, inner * mask.shape[1] / mask.shape[0] * rng.uniform(0.9, 1.6))
                x = (width - wide) / 2
                _blend(canvas, mask, (x, y + (tall - inner) / 2, x + wide, y + (tall + inner) / 2), ink)


@cache
def _default_renderer() -> PlateRenderer:
    return PlateRenderer()


def render_plate(
    rng: np.random.Generator,
    *,
    region: str | None = None,
    text: str | None = None,
    clean: bool = False,
    size_px: tuple[int, int] | None = None,
) -> Plate:
    """`PlateRenderer.render` with the default font cache; fetches the fonts on first use."""
    return _default_renderer().render(rng, region=region, text=text, clean=clean, size_px=size_px)


def _family(rng: np.random.Generator) -> str:
    return str(rng.choice(list(FAMILY_SHARES), p=list(FAMILY_SHARES.values())))


def _pick(rng: np.random.Generator, region: str) -> Design:
    designs = designs_of(region)
    weights = np.array([d.weight for d in designs])
    return designs[int(rng.choice(len(designs), p=weights / weights.sum()))]


def _revised(rng: np.random.Generator, design: Design) -> Design:
    """The design with another slogan, or as an older plate of the same issuer: one ground, one ink, plain formats."""
    if rng.random() < _OTHER_SLOGAN_SHARE:
        design = replace(design, slogan=SLOGANS[rng.integers(len(SLOGANS))])
    if rng.random() > _OLD_SHARE:
        return design
    ground, ink = (tuple(map(int, pool[rng.integers(len(pool))])) for pool in (_PALES, _DIES))
    if rng.random() < 0.5:
        ground, ink = ink, ground
    formats = _OLD_FORMATS if design.region.startswith("US") else design.formats + design.others
    name = design.name if rng.random() < 0.7 else f"{design.name} {rng.integers(30, 99)}"
    return replace(
        design, top=ground, bottom=ground, ink=ink, name_colour=ink, formats=formats, name=name, others=()
    )


def _serial(rng: np.random.Generator, design: Design, words: Sequence[str]) -> str:
    letters = _LETTERS[design.faces]
    patterns = design.formats + design.others
    pattern = patterns[rng.integers(len(patterns))]
    if design.region.startswith("US") and rng.random() < _PERSONAL_SHARE:
        return _with_small(rng, personal_serial(rng, words))
    pools = {"L": letters, "D": _DIGITS}
    text = "".join(pools[c][rng.integers(len(pools[c]))] if c in pools else c for c in pattern)
    return _with_small(rng, text) if design.faces == "US" else text


def _with_small(rng: np.random.Generator, serial: str) -> str:
    """The serial, at times with small stacked characters or a word written downwards: left, right or both."""
    if rng.random() > _STACKED_SHARE:
        return serial
    if len(serial) > 6 and rng.random() < 0.8:
        serial = serial[: int(rng.integers(4, 7))].rstrip(" -*")
    mark = "!" if rng.random() < 0.7 else "|"
    gap = str(rng.choice(("", "", " ", "*")))
    side = rng.random()
    if side < 0.5:
        return mark + gap + serial
    if side < 0.85:
        return serial + gap + mark
    return f"{mark}{gap}{serial}{gap}{rng.choice(('!', '|'))}"


def _laid_out(serial: str, narrow: float, gap: float) -> list[_Layout]:
    items, x = [], 0.0
    for char in serial:
        width = _GAP.get(char, 1.0) * narrow
        if char != " ":
            items.append(_Layout(char, x, width))
        x += width + (gap if char != " " else 0.0)
    return items


def _drop(design: Design) -> float:
    """How far below the middle the serial sits, as a share of the height."""
    if design.band == "top":
        return 0.11
    return 0.03 if design.name and design.band != "left" else 0.0


def _fitted(mask: NDArray[np.uint8], box: Box) -> Box:
    """Narrow glyphs (I, 1) keep their shape inside the cell; wide ones fill it."""
    natural = mask.shape[1] / mask.shape[0] * (box[3] - box[1])
    width = box[2] - box[0]
    if natural >= 0.75 * width:
        return box
    middle, half = (box[0] + box[2]) / 2, max(natural, 0.2 * width) / 2 * 1.1
    return middle - half, box[1], middle + half, box[3]


def _blend(
    canvas: NDArray[np.float32],
    mask: NDArray[np.uint8],
    box: Box,
    colour: tuple[float, ...],
    strength: float = 1.0,
) -> None:
    """Paint `colour` through a mask stretched into `box`, clipped to the canvas."""
    height, width = canvas.shape[:2]
    x0, y0, x1, y1 = (round(v) for v in box)
    if x1 - x0 < 1 or y1 - y0 < 1:
        return
    scaled = cv2.resize(mask, (x1 - x0, y1 - y0), interpolation=cv2.INTER_AREA)
    left, top, right, bottom = max(x0, 0), max(y0, 0), min(x1, width), min(y1, height)
    if right <= left or bottom <= top:
        return
    alpha = scaled[top - y0 : bottom - y0, left - x0 : right - x0, None] * np.float32(strength / 255)
    region = canvas[top:bottom, left:right]
    region += alpha * (np.asarray(colour, np.float32) - region)


def _background(rng: np.random.Generator, design: Design, width: int) -> NDArray[np.float32]:
    ramp = np.linspace(0, 1, _HEIGHT_PX, dtype=np.float32)[:, None, None] ** rng.uniform(0.6, 2.5)
    top, bottom = (
        np.asarray(c, np.float32) + rng.normal(0, 6, 3).astype(np.float32) for c in (design.top, design.bottom)
    )
    return np.ascontiguousarray(np.broadcast_to(top + ramp * (bottom - top), (_HEIGHT_PX, width, 3)), np.float32)


def _scenery(rng: np.random.Generator, canvas: NDArray[np.float32]) -> None:
    """Pale hills or a pale disc behind the serial, as on many US designs."""
    height, width = canvas.shape[:2]
    layer = canvas.copy()
    colour = tuple(float(v) for v in rng.uniform(60, 240, 3))
    if rng.random() < 0.6:
        xs = np.linspace(0, width, 7)
        ys = height * rng.uniform(0.45, 0.95, 7)
        points = np.concatenate([np.stack([xs, ys], 1), [[width, height], [0, height]]]).astype(np.int32)
        cv2.fillPoly(layer, [points], colour)
    else:
        centre = (int(width * rng.uniform(0.2, 0.8)), int(height * rng.uniform(0.3, 0.7)))
        cv2.circle(layer, centre, int(height * rng.uniform(0.15, 0.4)), colour, -1)
    share = np.float32(rng.uniform(0.15, 0.5))
    canvas += share * (layer - canvas)


def _emblem(rng: np.random.Generator, canvas: NDArray[np.float32], box: Box, design: Design) -> None:
    """A seal, star or outline between groups: a random blob of about a character's width."""
    centre = np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
    half = np.array([box[2] - box[0], (box[3] - box[1]) * rng.uniform(0.3, 0.7)]) / 2
    angles = np.sort(rng.uniform(0, 2 * np.pi, int(rng.integers(5, 12))))
    points = centre + np.stack([np.cos(angles), np.sin(angles)], 1) * half * rng.uniform(
        0.6, 1.0, (len(angles), 1)
    )
    colour = design.name_colour if rng.random() < 0.5 else tuple(float(v) for v in rng.uniform(30, 230, 3))
    cv2.fillPoly(canvas, [points.astype(np.int32)], colour, cv2.LINE_AA)


def _dirt(rng: np.random.Generator, canvas: NDArray[np.float32]) -> None:
    height, width = canvas.shape[:2]
    coarse = rng.random((int(rng.integers(4, 14)), int(rng.integers(6, 24)))).astype(np.float32)
    cloud = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    alpha = np.clip((cloud - rng.uniform(0.4, 0.8)) * 2, 0, 1)[..., None] * np.float32(rng.uniform(0.2, 0.8))
    canvas += alpha * (rng.uniform(40, 150) * np.array([1.0, 0.92, 0.8], np.float32) - canvas)
