"""How regions write their serials: an option that proposes a text, and never changes one.

A reader takes I for 1 and B for 8; the way a region writes its plates often tells which it was.  But a personal plate
follows no format, and a prior would "correct" the very plate somebody looks for.  So what was read stays as it is, for
hot lists above all; the proposal stands beside it.
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
"""How likely a text that fits none of its region's formats is, against one that does: personal and older plates."""
_MAX_TEXTS = 40
_MIN_PROBABILITY = 1e-4


def in_format(plate: PlateText) -> str:
    """Return the likeliest text of the plate if it is taken to follow its region's formats more often than not.

    That is the text itself where its region is not known, or has no formats here.
    """
    formats = frozenset(FORMATS.get(plate.region, "").split())
    if not formats or not plate.chars:
        return plate.text
    others = alternative_texts(plate, limit=_MAX_TEXTS, min_probability=_MIN_PROBABILITY)
    texts = ((plate.text, plate.confidence), *others)
    # Of equals the first is taken, and what was read stands first.
    return max(texts, key=lambda text: text[1] * (1.0 if _fits(text[0], formats) else _PERSONAL))[0]


def _fits(text: str, formats: frozenset[str]) -> bool:
    """The letter O and the digit 0 look alike and stand for each other."""
    shapes = ["LD" if char in "O0" else "D" if char.isdigit() else "L" for char in text]
    return any(
        len(serial) == len(shapes) and all(kind in shape for kind, shape in zip(serial, shapes, strict=True))
        for serial in formats
    )
