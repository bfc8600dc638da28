"""A console in a process of its own, beside an agent that was started by hand."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_STOP_S = 10.0


@contextmanager
def sockets() -> Iterator[tuple[Path, Path]]:
    """Paths for feed and command socket in a new folder that only this user can enter."""
    with tempfile.TemporaryDirectory(prefix="patrol-lpr-") as name:
        yield Path(name, "feed.sock"), Path(name, "command.sock")


def with_sockets(overrides: list[str], feed: Path, command: Path) -> list[str]:
    """Overrides of the configuration that make the agent use these sockets; what the user set is left as it is."""
    paths = {"feed.path": feed, "command.path": command}
    return [*(f'{key}="{path}"' for key, path in paths.items()), *overrides]


@contextmanager
def console_beside(feed: Path, command: Path, port: int) -> Iterator[None]:
    """Run a console as long as the agent runs; it prints its address, or why it cannot run."""
    program = [sys.executable, "-m", "cli", "console"]
    options = ["--feed", str(feed), "--command", str(command), "--port", str(port)]
    with subprocess.Popen([*program, *options]) as process:  # noqa: S603 - our own program
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
