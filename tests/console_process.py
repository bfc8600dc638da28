"""A console in a process of its own, for tests and benches."""

from __future__ import annotations

import http.client
import re
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fake_agent import FakeAgent

ROOT = Path(__file__).resolve().parent.parent
PATIENCE_MS = 30_000
SMALL, LARGE = (1024, 600), (1280, 800)
CHROMIUM = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--force-color-profile=srgb", "--font-render-hinting=none",
)  # fmt: skip


class Console:
    """A console in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], address: str) -> None:
        self.process, self.address = process, address
        self.host = address.split("/")[2]

    def request(
        self, method: str, path: str, body: Any = None, *, source: str = "127.0.0.1", **headers: str
    ) -> tuple[int, bytes, dict[str, str]]:
        """``source``: address from which it is sent; all of 127.0.0.0/8 is this machine."""
        connection = http.client.HTTPConnection(self.host, timeout=PATIENCE_MS / 1000, source_address=(source, 0))
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
        finally:
            connection.close()


@contextmanager
def run_console(agent: FakeAgent, *options: str) -> Iterator[Console]:
    command = [
        sys.executable, "-m", "cli", "console", "--feed", str(agent.feed_path), "--command", str(agent.command_path),
        "--port", "0", *options,
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        line = process.stderr.readline()
        found = re.search(r"the console is at (\S+)", line)
        try:
            assert found, line + process.stderr.read()
            yield Console(process, found[1])
        finally:
            process.terminate()
            # Else a full pipe would keep it from ending.
            process.stderr.read()
        assert process.wait() == 0
