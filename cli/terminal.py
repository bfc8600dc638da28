"""Untrusted texts on a terminal: shown in full, never interpreted as markup or escape codes."""

from __future__ import annotations

import os
import sys

from rich.console import Console

from agent.records import UNKNOWN_REGION

_LIKELY = 0.5
_UNLIMITED = 10_000
"""Width of what is piped: nothing is wrapped."""


def plain(text: str) -> str:
    """Return the text with control characters and bytes that are not UTF-8 as hexadecimal escapes."""
    return "".join(_shown(char) for char in text)


def _shown(char: str) -> str:
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # noqa: PLR2004 - how Python holds a byte of a name that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    if char.isprintable():
        return char
    return f"\\x{code:02x}" if code <= 0xFF else f"\\u{code:04x}"  # noqa: PLR2004 - what two digits hold


def explained(error: BaseException) -> str:
    """Return the message of an error, with advice if rights were missing."""
    text = str(error)
    if isinstance(error, OSError):
        name = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        text = f"{name}{error.strerror or error}"
    return f"{text}; run the command with sudo, or as the owner" if _is_denied(error) and os.geteuid() else text


def _is_denied(error: BaseException | None) -> bool:
    """True if the error, or what caused it, is a missing right."""
    while error is not None and not isinstance(error, PermissionError):
        error = error.__cause__ or error.__context__
    return error is not None


def say(text: str) -> None:
    """Write a message to standard error."""
    sys.stderr.write("patrol-lpr: " + "\n".join(map(plain, text.split("\n"))) + "\n")


def console() -> Console:
    """Return a console without markup: as wide as the terminal, unlimited when piped."""
    return _console(markup=False)


def marked_console(*, stderr: bool = False) -> Console:
    """Return the same with markup; untrusted texts must be passed to it as :class:`Text`."""
    return _console(markup=True, stderr=stderr)


def _console(*, markup: bool, stderr: bool = False) -> Console:
    out = Console(markup=markup, highlight=False, emoji=False, stderr=stderr)
    if out.is_terminal:
        return out
    return Console(markup=markup, highlight=False, emoji=False, stderr=stderr, width=_UNLIMITED)


def shown_region(region: str, confidence: float) -> str:
    """A region for tables: with a question mark if it is more likely another one."""
    doubtful = region != UNKNOWN_REGION and confidence < _LIKELY
    return f"{region}?" if doubtful else region
