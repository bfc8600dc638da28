"""A console in a process of its own, beside an agent that was started by hand."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

from protocol.notify import SOCKET

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
def console_beside(feed: Path, command: Path, port: int) -> Iterator[threading.Event]:
    """Run a console as long as the agent runs; it prints its address, or why it cannot run.

    The event is set when it has printed: it listens then, or has ended.
    """
    program = [sys.executable, "-m", "cli", "console"]
    options = ["--feed", str(feed), "--command", str(command), "--port", str(port)]
    told = threading.Event()
    # What systemd waits for is the agent.
    environment = {name: value for name, value in os.environ.items() if name != SOCKET}
    with subprocess.Popen(  # noqa: S603 - our own program
        [*program, *options], stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        threading.Thread(target=_pass_on, args=(process.stderr, told), name="console-log", daemon=True).start()
        try:
            yield told
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _pass_on(lines: IO[str], told: threading.Event) -> None:
    for line in lines:
        sys.stderr.write(line)
        sys.stderr.flush()
        told.set()
    told.set()
