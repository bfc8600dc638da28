"""Structured logs on standard error: events in snake_case, values as keys.  Read ids, never plate texts."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from collections.abc import MutableMapping

_FORBIDDEN = frozenset({"plate", "text", "raw", "plate_text", "alternatives"})
"""Keys that could carry a plate text into a log."""


class PlateInLogError(ValueError):
    """A log call uses a key reserved for plate texts: a defect of the program."""


def configure(level: str, style: str) -> None:
    """Set up logging for the process; ``style`` is ``auto``, ``json`` or ``console``."""
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    renderer: Any = structlog.dev.ConsoleRenderer() if console else structlog.processors.JSONRenderer()
    structlog.configure(
        processors=[
            refuse_plates,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


def refuse_plates(_: Any, __: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Raise PlateInLogError when an event carries a forbidden key."""
    if found := _FORBIDDEN & event.keys():
        raise PlateInLogError(f"log event {event.get('event')!r} carries {sorted(found)}: log the read id instead")
    return event
