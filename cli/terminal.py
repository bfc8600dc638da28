"""Untrusted texts on a terminal: shown in full, never interpreted as markup or escape codes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from agent.records import UNKNOWN_REGION

if TYPE_CHECKING:
    from pathlib import Path

    from rich.text import TextType

_LIKELY = 0.5


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
    """Write a message to standard error; lines after the first, which a file's name can make, are indented."""
    first, *others = text.split("\n")
    lines = [f"patrol-lpr: {first}", *(line if line.startswith(" ") else f"  {line}" for line in others)]
    sys.stderr.write("\n".join(map(plain, lines)) + "\n")


class PlainConsole(Console):
    """Prints strings as they are: no markup, no control characters, lines not wrapped.  Styled parts are ``Text``."""

    def __init__(self, *, stderr: bool = False) -> None:
        """``stderr``: for what is no result."""
        super().__init__(markup=False, highlight=False, emoji=False, soft_wrap=True, stderr=stderr)

    def print(self, *objects: Any, **options: Any) -> None:
        """As :meth:`rich.console.Console.print`."""
        super().print(*(_literal(one) for one in objects), **options)

    def rule(self, title: TextType = "", **options: Any) -> None:
        """As :meth:`rich.console.Console.rule`."""
        super().rule(_literal(title), **options)


def beside(path: Path) -> PlainConsole:
    """Return where to tell of a file that was written: not on standard output if that was the file."""
    try:
        written, out = path.stat(), os.fstat(sys.stdout.fileno())
    except (OSError, ValueError):
        return PlainConsole()
    return PlainConsole(stderr=(written.st_dev, written.st_ino) == (out.st_dev, out.st_ino))


def _literal(one: Any) -> Any:
    return Text("\n".join(map(plain, one.split("\n")))) if isinstance(one, str) else one


def shown_region(region: str, confidence: float) -> str:
    """A region for tables: with a question mark if it is more likely another one."""
    doubtful = region != UNKNOWN_REGION and confidence < _LIKELY
    return f"{region}?" if doubtful else region
