"""The servers of both pages end connections that are slow (the limits themselves: ``test_http_limits.py``)."""

from __future__ import annotations

import socket
from contextlib import closing

import pytest

from console.config import ConsoleConfig
from console.serve import _listen, _server_config
from protocol import http_limits
from protocol.http_limits import BoundedHttp, BoundedListener, ServingLoop
from station.store import open_store
from station.web.serve import WebServer
from station.web.settings import WebSettings
from tests.station_web import CHEAP, NOW_US

PATIENCE_S = 30
pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(http_limits, "GRACE_S", 0.2)


def assert_ends(client):
    client.sendall(b"GET / HT")
    assert client.recv(1) == b""


def test_the_station_ends_a_request_that_does_not_arrive(tmp_path):
    store = open_store(tmp_path / "station.db")
    server = WebServer(store, WebSettings(port=0), lambda: NOW_US, hasher=CHEAP)
    server.start()
    try:
        address = "127.0.0.1", int(server.address.rsplit(":", 1)[1])
        with closing(socket.create_connection(address, timeout=PATIENCE_S)) as client:
            assert_ends(client)
    finally:
        server.close()
        store.close()


def test_the_console_has_the_same_limits(tmp_path):
    """Behind a proxy, too."""
    config = ConsoleConfig(unix=tmp_path / "console.sock", names=("console",))
    made = _server_config(config, object())
    assert issubclass(made.http, BoundedHttp)
    assert made.get_loop_factory() is ServingLoop
    for one in (config, ConsoleConfig(port=0)):
        with _listen(one) as listener:
            assert isinstance(listener, BoundedListener)
