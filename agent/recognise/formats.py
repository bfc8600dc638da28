"""Serial formats of regions: optionally propose a text, and never change one.

I and 1, or B and 8, are often confused; the region's format often tells which is right.  But personal plates follow no
format, and a prior would "correct" the plate that is searched for.  So the text that was read is kept, above all for
hot lists, and the proposal is given in addition.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.fusion.candidates import alternative_texts

if TYPE_CHECKING:
    from agent.records import PlateText

FORMATS: dict[str, str] = {
    "BR": "LLLDDDD LLLDLDD",
    "CA": "DDDLLL LDDLLL LLDDDL LLLDDD LLLDDDD LLLLDDD",
    "EU": "DDDDDDDD DDDDLLL DDDLDDDDD DDDLLL DDLLDD DDLLLD DLDDDDD DLLDDDD DLLLDDD LDDDDDL LDDDDLL LDDDLLL "
    "LLDDDD LLDDDDD LLDDDDLL LLDDDL LLDDDLL LLDDLL LLDDLLL LLLDDD LLLDDDD LLLDDL LLLLDDDD LLLLLDDD",
    "MX": "LDDLLL LLDDDDL LLLDDDD LLLDDDL",
    "OTHER": "DLLDLL LLDDD LLDDDDL LLDDLLL LLLDDD LLLDDDD LLLDDL",
    "US-AK": "LLLDDD",
    "US-AL": "DDLDDLL DLDDLLL DLLDDDD",
    "US-AR": "DDDLLL LLLDDL",
    "US-AZ": "LLLDDDD LLLLDL",
    "US-CA": "DLDDDDD DLLLDDD",
    "US-CO": "DDDLLL LLLDDD LLLLDD",
    "US-CT": "DDDLLL DLLLLD LLDDDDD",
    "US-DC": "LLDDDD",
    "US-DE": "DDDDDD LDDDDD",
    "US-FL": "DDLLLL LLLDDL LLLLDD",
    "US-GA": "DDDDLL LLLDDDD",
    "US-HI": "LLLDDD",
    "US-IA": "DDDLLL LLLDDD",
    "US-ID": "DLLDDDD LDDDDDD",
    "US-IL": "DDDDDDD LDDDDDD LLDDDDD",
    "US-IN": "DDDL DDDLLL LLLDDD",
    "US-KS": "DDDDL DDDLLL",
    "US-KY": "DDDLLL LDLDDD",
    "US-LA": "DDDLLL LLLDDD",
    "US-MA": "DDDDLL DLLDDD DLLLDD",
    "US-MD": "DLLDDDD LLLDDD",
    "US-ME": "DDDDLL DDDLL",
    "US-MI": "DLLLDD LLLDDDD",
    "US-MN": "DDDLLL LLLDDD",
    "US-MO": "DDDLLL LLDLDL",
    "US-MS": "LLLDDD LLLDDDD",
    "US-MT": "DDDDDDL",
    "US-NC": "LLLDDDD",
    "US-ND": "DDDLLL",
    "US-NE": "DDLDDD DLDDDD LLLDDD",
    "US-NH": "DDDDDDD",
    "US-NJ": "LDDLLL LLLDDL",
    "US-NM": "DDDLLL LLLDDD LLLLDD",
    "US-NV": "DDDLDD DDDLLL DDLDDD",
    "US-NY": "LLLDDDD",
    "US-OH": "LLLDDDD",
    "US-OK": "DDDLLL LLLDDD",
    "US-OR": "DDDLLL",
    "US-OTHER": "DDDDDD LLDDDD LLLDDD",
    "US-PA": "LLLDDDD",
    "US-RI": "DDDDDD DLLDDD LLDDD",
    "US-SC": "DDDDLL LLLDDD",
    "US-SD": "DDLDDD DLDDDD",
    "US-TN": "DDDLLL DDDLLLL LDDDDL LLLDDDD",
    "US-TX": "DLLLDDD LLDLDDD LLLDDDD",
    "US-UT": "DLDDLL LDDDLL",
    "US-VA": "LLLDDDD",
    "US-VT": "DDDLD LLLDDD",
    "US-WA": "DDDLLL LLLDDDD",
    "US-WI": "DDDLLL LLLDDDD",
    "US-WV": "DLLDDD LLLDDD",
    "US-WY": "DDDDDD DDDDDDD DDDDDDL",
}
"""Serial formats by region, from common knowledge of current plates: L letter, D digit; gaps and dashes left out."""

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
