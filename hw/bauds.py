"""Baud rate detection: rates are tried in turn until a sentence with a valid checksum arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pynmea2

from hw.clock import NS_PER_S

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hw.ports import NmeaLine

BAUDS = (9600, 115200, 38400, 4800, 57600, 19200, 230400)
"""Common rates first."""
PATIENCE_S = 2.5
"""Receivers speak once a second; a binary greeting may come first."""


class FixedBaud:
    """The baud rate is fixed."""

    def __init__(self, baud: int) -> None:
        self.baud = baud

    def judge(self, lines: Iterable[NmeaLine], t_mono_ns: int, *, heard: bool = False) -> bool:
        """Return whether the port must be reopened: never."""
        del lines, t_mono_ns, heard
        return False


class BaudSearch:
    """Tries the baud rates until one is correct, and keeps it during silence; continued garbage restarts the search."""

    def __init__(self) -> None:
        self._at = 0
        self._since_ns: int | None = None
        self._found = False

    @property
    def baud(self) -> int:
        """Baud rate for opening the port."""
        return BAUDS[self._at]

    def judge(self, lines: Iterable[NmeaLine], t_mono_ns: int, *, heard: bool = False) -> bool:
        """Add received lines; return whether the port must be reopened with another baud rate.

        ``heard`` is True if bytes were received, even if they complete no line.
        """
        if self._since_ns is None:
            self._since_ns = t_mono_ns
        came = list(lines)
        if any(is_sentence(line.text) for line in came):
            self._found, self._since_ns = True, t_mono_ns
        elif self._found and not came and not heard:
            # Silence is an unplugged antenna lead, or a receiver asleep: no reason to doubt the speed.
            self._since_ns = t_mono_ns
        if t_mono_ns - self._since_ns < PATIENCE_S * NS_PER_S:
            return False
        self._at = (self._at + 1) % len(BAUDS)
        self._since_ns, self._found = None, False
        return True


def is_sentence(text: str) -> bool:
    """True for NMEA 0183 framing with a valid checksum, including AIS."""
    body, star, told = text[1:].partition("*")
    if not text.startswith(("$", "!")) or not star or len(told) != 2:  # noqa: PLR2004 - two hexadecimal digits
        return False
    try:
        return text.isascii() and pynmea2.NMEASentence.checksum(body) == int(told, 16)
    except ValueError:
        return False
