"""Serves metrics on a loopback port: GET /metrics and nothing else.

Loopback alone, without a switch: names of units and their state are for this machine's Prometheus, or for a proxy that
knows who asks.
"""

from __future__ import annotations

import http.server
import socket
import threading
from http import HTTPStatus
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import structlog

from protocol.metrics import CONTENT_TYPE, Sample, exposition
from station.errors import StationConfigError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

_LOG = structlog.get_logger(__name__)
_TIMEOUT_S = 10
_MAX_PORT = 65_535


def parse_listen(text: str) -> tuple[str, int]:
    """Parse ``ADDRESS:PORT`` or ``PORT``.  Raises StationConfigError for another machine's address."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]") or "127.0.0.1"
    try:
        is_own = ip_address(host).is_loopback
    except ValueError:
        is_own = False
    if not port.isdecimal() or int(port) > _MAX_PORT:
        raise StationConfigError(f"{text!r} is not ADDRESS:PORT such as 127.0.0.1:9470")
    if not is_own:
        raise StationConfigError(f"{host}: metrics are served on this machine alone: use 127.0.0.1, and a proxy")
    return host, int(port)


class MetricsServer:
    """A thread that answers.  One request at a time: nobody can start many collections."""

    def __init__(self, host: str, port: int, collect: Callable[[], list[Sample]]) -> None:
        """``collect`` may raise StoreError; port 0 selects a free one.  Raises StationConfigError for a port in use."""
        names = {f"{name}:{{}}" for name in (host if ":" not in host else f"[{host}]", "localhost")}
        try:
            self._server = _Server((host, port), collect)
        except OSError as error:
            raise StationConfigError(f"{host}:{port} cannot be used for metrics: {error.strerror}") from error
        self._server.names = frozenset(name.format(self.port) for name in names)
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)

    @property
    def port(self) -> int:
        """The port."""
        return int(self._server.server_address[1])

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """End."""
        if self._thread.ident is not None:
            self._server.shutdown()
            self._thread.join(_TIMEOUT_S)
        self._server.server_close()


def start_metrics(listen: str, collect: Callable[[], list[Sample]]) -> MetricsServer:
    """Serve metrics at ``ADDRESS:PORT``.  Raises StationConfigError."""
    server = MetricsServer(*parse_listen(listen), collect)
    server.start()
    return server


class _Server(http.server.HTTPServer):
    names: frozenset[str] = frozenset()

    def __init__(self, address: tuple[str, int], collect: Callable[[], list[Sample]]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, _Handler)
        self.collect = collect

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away, or sent nonsense, is no error of the station."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: _Server
    timeout = _TIMEOUT_S
    server_version = "patrol-lpr"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer with the metrics."""
        if self.headers.get("host", "") not in self.server.names:
            # A page in a browser on this machine that found the port by a name of its own.
            self._answer(HTTPStatus.MISDIRECTED_REQUEST, "unknown host\n")
        elif self.path != "/metrics":
            self._answer(HTTPStatus.NOT_FOUND, "only /metrics\n")
        else:
            try:
                self._answer(HTTPStatus.OK, exposition(self.server.collect()))
            except StoreError as error:
                _LOG.warning("metrics_failed", reason=str(error))
                self._answer(HTTPStatus.SERVICE_UNAVAILABLE, "the store cannot be read\n")

    def _answer(self, status: HTTPStatus, text: str) -> None:
        data = text.encode()
        self.send_response(status)
        self.send_header("content-type", CONTENT_TYPE)
        self.send_header("content-length", str(len(data)))
        self.send_header("cache-control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Prometheus asks every few seconds."""
