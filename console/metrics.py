"""The console's own metrics, in the text format of Prometheus; nothing of the feed but its age."""

from __future__ import annotations

from dataclasses import dataclass

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
PREFIX = "patrol_lpr_console"


@dataclass(slots=True)
class ConsoleCounts:
    """Since the start of the process."""

    requests: int = 0
    """Requests that passed the guard."""
    refused: int = 0
    """Requests that the guard refused: host, origin, size or rate."""
    commands: int = 0
    """Commands sent to the agent."""
    commands_refused: int = 0
    """Commands that the agent refused, or could not take."""


def exposition(counts: ConsoleCounts, *, terminals: int, is_fresh: bool) -> str:
    """Return the text."""
    values = (
        ("requests_total", "counter", counts.requests),
        ("refused_total", "counter", counts.refused),
        ("commands_total", "counter", counts.commands),
        ("commands_refused_total", "counter", counts.commands_refused),
        ("terminals", "gauge", terminals),
        ("feed_fresh", "gauge", int(is_fresh)),
    )
    return "".join(f"# TYPE {PREFIX}_{name} {kind}\n{PREFIX}_{name} {value}\n" for name, kind, value in values)
