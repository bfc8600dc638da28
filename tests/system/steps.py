"""How long each step took and what was measured: shown while it happens and kept in a file."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Steps:
    """One log for the whole run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.unlink(missing_ok=True)

    def note(self, text: str) -> None:
        with self._path.open("a") as file:
            file.write(text + "\n")
        # The terminal itself: pytest holds back what tests print.
        print(f"  {text}", file=sys.__stderr__, flush=True)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        began_s = time.monotonic()
        yield
        self.note(f"{time.monotonic() - began_s:7.1f} s  {name}")
