"""Serves the web application: beside the receiving station in a thread, or as a process of its own."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from protocol.http_limits import BoundedListener
from protocol.http_page import server_config
from protocol.http_server import NotifyingServer
from protocol.notify import Notifier
from station.errors import WebError
from station.web.app import build_app

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import uvicorn

    from protocol.seal import KeyRing
    from station.accounts.passwords import Hasher
    from station.store import Store
    from station.web.desk import Desk, OidcPort
    from station.web.request_counts import RequestCounts
    from station.web.settings import WebSettings

MAX_CONNECTIONS = 256
MAX_OPEN = 2 * MAX_CONNECTIONS
"""With those that are no connections of HTTP yet."""
_STOP_S = 5
_START_S = 15.0


class WebServer:
    """Listens from its making on; serves between ``start`` and ``close``, or in :meth:`run`."""

    def __init__(
        self,
        store: Store,
        settings: WebSettings,
        clock_us: Callable[[], int],
        *,
        ring: KeyRing | None = None,
        hasher: Hasher | None = None,
        oidc: OidcPort | None = None,
        notifier: Notifier | None = None,
    ) -> None:
        """Raises WebError if the address or the certificate cannot be used."""
        self._listener = _listen(settings)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        port = self._listener.getsockname()[1]
        self.address = f"{settings.scheme}://{host}:{port}"
        try:
            app = build_app(store, settings, clock_us, port=port, ring=ring, hasher=hasher, oidc=oidc)
            self._server = _Server(_config(app, settings), notifier or Notifier({}))
        except BaseException:
            self._listener.close()
            raise
        self.desk: Desk = app.state.desk
        self.accounts = self.desk.accounts
        self.requests: RequestCounts = app.state.requests
        """For metrics."""
        self._workers = app.state.workers
        self._thread = threading.Thread(target=self._serve, name="web", daemon=True)

    def start(self) -> None:
        """Serve in a thread."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """True unless the thread has ended."""
        return self._thread.is_alive()

    def run(self) -> None:
        """Serve in this thread until :meth:`stop`."""
        self._serve()

    def stop(self) -> None:
        """Finish open requests and end; returns at once, and may be called in a signal's handler."""
        self._server.should_exit = True

    def close(self) -> None:
        """End the thread."""
        self.stop()
        self.desk.counts.close()
        self.desk.list_checks.jobs.close()
        for worker in self._workers:
            worker.close()
        if self._thread.is_alive():
            self._thread.join(_START_S)
        self._listener.close()

    def _serve(self) -> None:
        for worker in self._workers:
            worker.start()
        with self._listener:
            self._server.run(sockets=[self._listener])


class _Server(NotifyingServer):
    """Leaves signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def _config(app: object, settings: WebSettings) -> uvicorn.Config:
    try:
        return server_config(
            app,
            max_connections=MAX_CONNECTIONS,
            stop_s=_STOP_S,
            lifespan="off",
            tls_cert=settings.tls_cert,
            tls_key=settings.tls_key,
        )
    except OSError as error:
        raise WebError(f"{settings.tls_cert}, {settings.tls_key}: {error.strerror or error}") from error


def _listen(settings: WebSettings) -> socket.socket:
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        listener = BoundedListener(family, kind, protocol, max_open=MAX_OPEN)
    except OSError as error:
        raise WebError(f"{settings.host} cannot be used: {error.strerror or error}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(MAX_CONNECTIONS)
    except OSError as error:
        listener.close()
        raise WebError(
            f"the page cannot be served at {settings.host}:{settings.port}: {error.strerror or error}; choose another "
            "address with --web HOST:PORT, or --no-web"
        ) from error
    return listener
