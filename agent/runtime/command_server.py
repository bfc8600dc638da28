"""The command thread: takes lines of clients and answers them, at a bounded rate."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from agent.runtime.commands import MAX_LINE_BYTES, too_long
from agent.runtime.local_server import ClientCounts, ClientLimits, LocalServer

if TYPE_CHECKING:
    from pathlib import Path

    from agent.runtime.commands import Commands
    from agent.runtime.local_client import LocalClient
    from hw.ports import Clock

_LINE_END = b"\n"


@dataclass(frozen=True, slots=True)
class CommandLimits(ClientLimits):
    """Limits of the command socket."""

    max_waiting_bytes: int = 1024 * 1024
    max_commands_per_s: int = 50
    """Commands of one client per second; further ones wait."""


@dataclass(slots=True)
class CommandCounts(ClientCounts):
    """Since the start of the process."""

    answered: int = 0
    """Commands carried out."""
    rejected: int = 0
    """Commands refused."""
    delayed: int = 0
    """Times that a client had to wait because it sent too many."""


class _Intake:
    """What one client has sent and what it may still send in this second."""

    def __init__(self, commands_left: int) -> None:
        self.data = bytearray()
        self.left = commands_left


class CommandServer(LocalServer):
    """Commands of local clients.  A verb that takes long delays other clients of this socket, and nothing else."""

    name = "command"

    def __init__(self, path: Path, clock: Clock, commands: Commands, limits: CommandLimits | None = None) -> None:
        """Creates no socket; the thread does."""
        self._limits = limits or CommandLimits()
        super().__init__(path, clock, self._limits)
        self._commands = commands
        self._intakes: dict[LocalClient, _Intake] = {}
        self._delayed = 0

    @property
    def counts(self) -> CommandCounts:
        """A snapshot."""
        return CommandCounts(
            **asdict(self.client_counts),
            answered=self._commands.answered,
            rejected=self._commands.refused,
            delayed=self._delayed,
        )

    def connected(self, client: LocalClient) -> None:
        """Prepare for its commands."""
        self._intakes[client] = _Intake(self._limits.max_commands_per_s)

    def gone(self, client: LocalClient) -> None:
        """Forget what it sent."""
        self._intakes.pop(client, None)

    def wants_data(self, client: LocalClient) -> bool:
        """False while it has sent too many commands in this second."""
        intake = self._intakes.get(client)
        return intake is None or intake.left > 0

    def renew(self) -> None:
        """Allow new commands, and answer those that wait."""
        for client, intake in tuple(self._intakes.items()):
            intake.left = self._limits.max_commands_per_s
            self._answer(client, intake)

    def received(self, client: LocalClient, data: bytes) -> bool:
        """Answer complete lines; False for a line that is too long."""
        intake = self._intakes[client]
        intake.data += data
        self._answer(client, intake)
        if len(intake.data) < MAX_LINE_BYTES or _LINE_END in intake.data:
            return True
        self.offer(client, too_long())
        return False

    def _answer(self, client: LocalClient, intake: _Intake) -> None:
        while intake.left > 0 and (end := intake.data.find(_LINE_END)) >= 0:
            line = bytes(intake.data[:end])
            del intake.data[: end + 1]
            intake.left -= 1
            self.offer(client, too_long() if end >= MAX_LINE_BYTES else self._commands.answer(line))
            if not self.is_connected(client):
                return
        self._delayed += intake.left == 0
