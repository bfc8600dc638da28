"""``patrol-lpr console``: the page for the terminal in the vehicle."""

from __future__ import annotations

from typing import Any, NoReturn

from console.__main__ import become_console
from console.config import ConsoleConfig


def run(**options: Any) -> NoReturn:
    """Become the console; raises ConsoleConfigError for options that do not fit together."""
    become_console(ConsoleConfig(**options))
