"""A web server that tells systemd when it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

import uvicorn

if TYPE_CHECKING:
    import socket

    from protocol.notify import Notifier


class NotifyingServer(uvicorn.Server):
    """Reports to systemd that it is ready once it takes connections, and that it stops before it closes them."""

    def __init__(self, config: uvicorn.Config, notifier: Notifier) -> None:
        super().__init__(config)
        self._notifier = notifier

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Take connections."""
        await super().startup(sockets=sockets)
        if self.started:
            self._notifier.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish open requests."""
        self._notifier.stopping()
        await super().shutdown(sockets=sockets)
