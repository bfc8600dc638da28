"""What the unit says about a hit: bounded, plain, and without anything that a person should read instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent.hotlist.records import Priority, RegionMatch, Rule

if TYPE_CHECKING:
    from agent.hits.records import Hit

MAX_WORDS = 12
"""Words besides the characters of the plate."""
_MAX_REASON_WORDS = 4
_MAX_CHARS = 10
_PHRASES = {
    "en": {
        Priority.HIGH: "high priority",
        Priority.MEDIUM: "hit",
        Priority.LOW: "low priority",
        "plate": "plate",
        "uncertain": "not exact",
        "region": "other state",
        "stale": "old list",
    },
    "es": {
        Priority.HIGH: "prioridad alta",
        Priority.MEDIUM: "aviso",
        Priority.LOW: "prioridad baja",
        "plate": "placa",
        "uncertain": "no exacta",
        "region": "otro estado",
        "stale": "lista vieja",
    },
}


def spoken(hit: Hit, language: str = "en") -> str:
    """Return the line for a hit in English or Spanish: priority, reason, doubts, and the plate character by character.

    At most ``MAX_WORDS`` words besides at most ten characters of the plate.
    """
    phrases = _PHRASES[language]
    match = hit.match
    doubts = [
        phrases["uncertain"] if match.rule in {Rule.APPROXIMATE, Rule.WILDCARD, Rule.PARTIAL} else "",
        phrases["region"] if match.region_match is RegionMatch.DIFFERENT else "",
        phrases["stale"] if hit.stale else "",
    ]
    parts = [phrases[hit.priority], " ".join(_words(match.entry.reason)), *[d for d in doubts if d][:2]]
    plate = " ".join(hit.plate.text[:_MAX_CHARS])
    said = ", ".join(part for part in parts if part)
    return f"{said}, {phrases['plate']} {plate}."


def _words(reason: str) -> list[str]:
    """The first words of a reason, letters and digits alone: it is handed to another program."""
    return [word[:20] for word in re.findall(r"[^\W_]+", reason)][:_MAX_REASON_WORDS]
