"""A server on a local socket in a thread of its own, and clients outside the process."""

from __future__ import annotations

import json
import os
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from agent.runtime.supervisor import Supervisor
from hw.clock import RealClock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE_S = 60
ROUNDS = 2000


class LineClient:
    """One connection over which JSON objects come, one a line."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE_S)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self._lines = self.socket.makefile("rb")

    def next(self) -> Any:
        """The next object; None at the end."""
        line = self._lines.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


class SocketRig:
    """A running server and its clients."""

    def __init__(self, path: Path, server: Any, connect: Callable[[Path], Any]) -> None:
        self.path = path
        self.server = server
        self.supervisor = Supervisor(RealClock())
        self._connect = connect
        self._clients: list[Any] = []
        self.supervisor.spawn("server", server.run)

    def client(self) -> Any:
        client = self._connect(self.path)
        self._clients.append(client)
        return client

    def stop(self) -> None:
        self.supervisor.ask_to_stop("server")
        self.server.wake()
        self.supervisor.stop("server", timeout_s=PATIENCE_S)

    def close(self) -> None:
        self.stop()
        for client in self._clients:
            client.close()
        assert self.supervisor.failure is None


@contextmanager
def running(rig: SocketRig) -> Iterator[SocketRig]:
    """Until the end of the block, from when the socket is there."""
    try:
        wait_for(rig.path.exists, rig)
        yield rig
    finally:
        rig.close()


def wait_for(condition: Callable[[], bool], rig: SocketRig) -> None:
    """Wake the server until something holds."""
    for _ in range(ROUNDS):
        if condition():
            return
        rig.server.wake()
        os.sched_yield()
        rig.supervisor.wait(0.01)
    raise AssertionError("it never came")
