"""A view on the unit that sends commands."""

from __future__ import annotations

import itertools
import json
import socket

PATIENCE_S = 60


class CommandClient:
    """One connection to the command socket."""

    def __init__(self, path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(PATIENCE_S)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self._lines = self.socket.makefile("rb")
        self._ids = itertools.count(1)

    def send(self, verb, **arguments) -> int:
        number = next(self._ids)
        self.socket.sendall(json.dumps({"id": number, "verb": verb, **arguments}).encode() + b"\n")
        return number

    def next(self):
        """The next answer; None at the end."""
        line = self._lines.readline()
        return json.loads(line) if line.endswith(b"\n") else None

    def ask(self, verb, **arguments):
        number = self.send(verb, **arguments)
        answer = self.next()
        assert answer["id"] == number
        return answer

    def close(self) -> None:
        self._lines.close()
        self.socket.close()
