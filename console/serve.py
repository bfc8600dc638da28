"""Runs the console on its address until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import contextmanager
from typing import TYPE_CHECKING

from console.app import build_app
from console.errors import ConsoleConfigError
from protocol.http_limits import BoundedListener
from protocol.http_page import server_config
from protocol.http_server import NotifyingServer
from protocol.notify import Notifier

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import uvicorn

    from console.config import ConsoleConfig
    from console.hub import Hub

MAX_CONNECTIONS = 64
MAX_OPEN = 2 * MAX_CONNECTIONS
"""With those that are no connections of HTTP yet."""
STOP_S = 2
_UNIX_MODE = 0o660


class _Server(NotifyingServer):
    """Stops at SIGTERM and SIGINT, event streams first: uvicorn waits for open answers."""

    def __init__(self, config: uvicorn.Config, hub: Hub, notifier: Notifier) -> None:
        super().__init__(config, notifier)
        self._hub = hub

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Uvicorn's own raises the signal again at the end: the process would not exit with 0."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        yield

    def _stop(self) -> None:
        self._hub.close()
        self.should_exit = True


def run_console(
    config: ConsoleConfig,
    on_listening: Callable[[str], None] = lambda _: None,
    *,
    notifier: Notifier | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT; ``on_listening`` gets the address.

    Raises ConsoleConfigError, and whatever ended a task of the console: the process must exit then.
    """
    listener = _listen(config)
    with listener:
        port = 0 if config.unix is not None else listener.getsockname()[1]
        app = build_app(config, port or config.port, on_fault=lambda: os.kill(os.getpid(), signal.SIGTERM))
        # Connections wait in the kernel from here on: whoever is told the address can use it.
        listener.listen(MAX_CONNECTIONS)
        server = _Server(_server_config(config, app), app.state.hub, notifier or Notifier({}))
        on_listening(f"unix:{config.unix}" if config.unix else f"{config.scheme}://{config.host}:{port}/")
        server.run(sockets=[listener])
        for fault in app.state.faults:
            raise fault


def _server_config(config: ConsoleConfig, app: object) -> uvicorn.Config:
    try:
        return server_config(
            app,
            max_connections=MAX_CONNECTIONS,
            stop_s=STOP_S,
            lifespan="on",
            tls_cert=config.tls_cert,
            tls_key=config.tls_key,
        )
    except OSError as error:
        raise ConsoleConfigError(f"{config.tls_cert}, {config.tls_key}: {error.strerror or error}") from error


def _listen(config: ConsoleConfig) -> socket.socket:
    if config.unix is not None:
        return _listen_unix(config)
    try:
        family, kind, proto, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
        listener = BoundedListener(family, kind, proto, max_open=MAX_OPEN)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        raise ConsoleConfigError(
            f"{config.host}:{config.port}: {error.strerror}; another console may be running, or use --port"
        ) from error
    return listener


def _listen_unix(config: ConsoleConfig) -> socket.socket:
    assert config.unix is not None  # noqa: S101 - checked by the caller
    listener = BoundedListener(socket.AF_UNIX, socket.SOCK_STREAM, max_open=MAX_OPEN)
    try:
        if config.unix.is_socket():
            config.unix.unlink()
        listener.bind(os.fspath(config.unix))
        config.unix.chmod(_UNIX_MODE)
    except OSError as error:
        raise ConsoleConfigError(f"{config.unix}: {error.strerror}") from error
    return listener
