"""The command socket: verbs for views on the unit.  Off if no path is configured."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from agent.runtime.command_server import CommandCounts, CommandServer
from agent.runtime.component import Component
from hw.paths import COMMAND_DIR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agent.runtime.commands import Commands
    from agent.runtime.config import CommandTable
    from agent.runtime.supervisor import Supervisor
    from hw.ports import Clock

_DEADLINE_S = 10.0
_STOP_S = 5.0
_FILE = "command.sock"


def build_command_server(
    config: CommandTable,
    clock: Clock,
    commands: Commands,
    environment: Mapping[str, str] | None = None,
    folder: Path = COMMAND_DIR,
) -> CommandServer | None:
    """Create the server; None if there is none.

    ``auto`` is ``command.sock`` in ``folder`` for the systemd service, if the folder exists.
    """
    if isinstance(config.path, Path):
        return CommandServer(config.path, clock, commands)
    in_service = bool((os.environ if environment is None else environment).get("RUNTIME_DIRECTORY"))
    if config.path == "off" or not in_service or not folder.is_dir():
        return None
    return CommandServer(folder / _FILE, clock, commands)


class CommandSocket(Component):
    """The command thread."""

    name = "command"

    def __init__(self, server: CommandServer | None, supervisor: Supervisor) -> None:
        """``server`` is None if the socket is off."""
        self._server = server
        self._supervisor = supervisor

    def start(self) -> None:
        """Start the thread."""
        if self._server is not None:
            self._supervisor.spawn(self.name, self._server.run, deadline_s=_DEADLINE_S)

    def quiesce(self) -> None:
        """Accept no more commands."""
        if self._server is not None:
            self._supervisor.ask_to_stop(self.name)
            self._server.wake()

    def stop(self) -> None:
        """Disconnect all clients, end the thread, remove the socket.  Raises ThreadStuckError."""
        if self._server is not None:
            self.quiesce()
            self._supervisor.stop(self.name, timeout_s=_STOP_S)

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`; zeros if the socket is off."""
        counts = CommandCounts() if self._server is None else self._server.counts
        return {f"command.{name}": value for name, value in asdict(counts).items()}

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {"command.clients": 0 if self._server is None else self._server.clients}
