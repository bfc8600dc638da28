"""A view on the unit that sends commands."""

from __future__ import annotations

import itertools
import json

from tests.socket_rig import LineClient


class CommandClient(LineClient):
    """One connection to the command socket."""

    def __init__(self, path) -> None:
        super().__init__(path)
        self._ids = itertools.count(1)

    def send(self, verb, **arguments) -> int:
        number = next(self._ids)
        self.socket.sendall(json.dumps({"id": number, "verb": verb, **arguments}).encode() + b"\n")
        return number

    def ask(self, verb, **arguments):
        number = self.send(verb, **arguments)
        answer = self.next()
        assert answer["id"] == number
        return answer
