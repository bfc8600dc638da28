"""Serial formats of regions: optionally propose a text, and never change one.

I and 1, or B and 8, are often confused; the region's format often tells which is right.  But personal plates follow no
format, and a prior would "correct" the plate that is searched for.  So the text that was read is kept, above all for
hot lists, and the proposal is given in addition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.fusion.candidates import alternative_texts
from protocol.plate_formats import FORMATS

if TYPE_CHECKING:
    from agent.records import PlateText


_PERSONAL = 0.05
"""Likelihood of a text that fits none of its region's formats, relative to one that does: personal and older plates."""
_MIN_REGION_CONFIDENCE = 0.5
_MAX_TEXTS = 40
_MIN_PROBABILITY = 1e-4


def in_format(plate: PlateText) -> str:
    """Return the most likely text of the plate, given that most plates follow a format of their region.

    It is the text itself if the region is unknown or uncertain, or has no formats here.
    """
    formats = frozenset(FORMATS.get(plate.region, "").split())
    if not formats or not plate.chars or plate.region_confidence < _MIN_REGION_CONFIDENCE:
        return plate.text
    others = alternative_texts(plate, limit=_MAX_TEXTS, min_probability=_MIN_PROBABILITY)
    texts = ((plate.text, plate.confidence), *others)
    # Of equals the first is taken, which is the text that was read.
    return max(texts, key=lambda text: text[1] * (1.0 if _fits(text[0], formats) else _PERSONAL))[0]


def _fits(text: str, formats: frozenset[str]) -> bool:
    """The letter O and the digit 0 look alike and are treated as equal."""
    shapes = ["LD" if char in "O0" else "D" if char.isdigit() else "L" for char in text]
    return any(
        len(serial) == len(shapes) and all(kind in shape for kind, shape in zip(serial, shapes, strict=True))
        for serial in formats
    )
