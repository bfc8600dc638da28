"""Connections to the pages end when a request arrives, or an answer is taken, too slowly; and they are bounded."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
from contextlib import closing, contextmanager

import pytest
import uvicorn

from protocol import http_limits
from protocol.http_limits import LOOP, BoundedHttp, BoundedListener
from provision.pki import issue, make_authority, write_private

MAX, MAX_OPEN = 4, 8
PATIENCE_S = 30
HEAD = b"POST / HTTP/1.1\r\nhost: x\r\n"
GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
LARGE = 32 * 2**20

pytestmark = pytest.mark.slow


class App:
    """Answers with what it got; and tells when a client is gone."""

    def __init__(self):
        self.gone = threading.Event()
        self.release = asyncio.Event()
        self.release_after_bytes = 0

    async def __call__(self, scope, receive, send):
        body = b""
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone.set()
                return
            body += message["body"]
            if not message["more_body"]:
                break
        answer = bytes(LARGE) if scope["path"] == "/large" else b"got %d" % len(body)
        headers = [(b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for start in range(0, len(answer), 2**20):
            await send({"type": "http.response.body", "body": answer[start : start + 2**20], "more_body": True})
        await send({"type": "http.response.body", "body": b""})


class Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self):
        yield


@pytest.fixture
def app():
    return App()


@pytest.fixture
def serve(app, monkeypatch):
    """Start a server with short times; returns its address."""
    for name, value in (("GRACE_S", 0.3), ("MAX_STALL_S", 0.3), ("HANDSHAKE_S", 0.3)):
        monkeypatch.setattr(http_limits, name, value)
    stopping = []

    def start(**options):
        listener = BoundedListener(socket.AF_INET, socket.SOCK_STREAM, max_open=MAX_OPEN)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        config = uvicorn.Config(
            app, http=BoundedHttp, ws="none", loop=LOOP, lifespan="off", log_config=None, limit_concurrency=MAX,
            timeout_keep_alive=options.pop("keep_alive", 60), timeout_graceful_shutdown=1, **options,
        )  # fmt: skip
        server = Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        start.servers.append(server)
        stopping.append((server, thread, listener))
        return listener.getsockname()

    start.servers = []
    yield start
    for server, thread, listener in stopping:
        server.should_exit = True
        thread.join()
        listener.close()


def connect(address):
    return closing(socket.create_connection(address, timeout=PATIENCE_S))


def end_of(client):
    """What comes until the server ends the connection; fails if it does not."""
    found = b""
    try:
        while part := client.recv(65536):
            found += part
    except ConnectionResetError:
        pass
    return found


def drip_until_end(client):
    """Send a byte whenever nothing came for a while; False if the server takes it all."""
    for _ in range(1000):
        try:
            client.sendall(b"x")
            if not client.recv(1):
                return True
        except TimeoutError:
            continue
        except OSError:
            return True
    return False


def answer(client, request=GET):
    client.sendall(request)
    found = b""
    while b"got " not in found and (part := client.recv(65536)):
        found += part
    return found


@pytest.mark.parametrize(
    "first",
    [b"", b"GET / HT", HEAD + b"x: ", HEAD + b"content-length: 9\r\n\r\n1234"],
    ids=["nothing", "half a line", "half the headers", "half a body"],
)
def test_a_request_that_does_not_arrive_ends_the_connection(serve, first):
    with connect(serve()) as client:
        client.sendall(first)
        assert end_of(client) == b""


def test_a_byte_at_a_time_is_too_slow(serve, monkeypatch):
    """However many come, as long as they come slower than the rate."""
    monkeypatch.setattr(http_limits, "MIN_BYTES_PER_S", 10_000)
    with connect(serve()) as client:
        client.sendall(HEAD)
        client.settimeout(0.02)
        assert drip_until_end(client)


def test_the_application_learns_that_the_rest_of_a_body_will_not_come(serve, app):
    with connect(serve()) as client:
        client.sendall(HEAD + b"content-length: 9\r\n\r\n1234")
        assert app.gone.wait(PATIENCE_S)


def test_each_byte_that_came_gives_a_large_file_more_time(serve, monkeypatch):
    """At the end of the grace the file is not there, and is taken all the same."""
    monkeypatch.setattr(http_limits, "MIN_BYTES_PER_S", 1)
    with connect(serve()) as client, connect(serve()) as other:
        client.sendall(HEAD + b"content-length: 100\r\n\r\n" + b"x" * 99)
        assert end_of(other) == b"", "the grace is over"
        assert b"got 100" in answer(client, b"x")


def test_requests_follow_each_other_on_one_connection(serve):
    """Each with the whole time."""
    address = serve()
    with connect(address) as client, connect(address) as other:
        assert b"got 0" in answer(client)
        assert end_of(other) == b"", "a grace is over"
        assert b"got 0" in answer(client)
        found = answer(client, GET * 2 + b"GET / HT") + end_of(client)
        assert found.count(b"got 0") == 2


def test_an_idle_connection_ends(serve):
    with connect(serve(keep_alive=0.2)) as client:
        assert b"got 0" in answer(client)
        assert end_of(client) == b""


@pytest.mark.parametrize("end", [b"\r\n", b"connection: close\r\n\r\n"])
def test_an_answer_that_is_not_taken_ends_the_connection(serve, end):
    """A part lies in the buffers of the kernel; the rest never comes."""
    address = serve(keep_alive=0.2)
    with connect(address) as client:
        client.sendall(b"GET /large HTTP/1.1\r\nhost: x\r\n" + end)
        assert client.recv(1)
        while serve.servers[0].server_state.connections:
            threading.Event().wait(0.01)
        assert len(end_of(client)) < LARGE


def test_too_many_connections_do_not_keep_a_new_one_out(serve):
    """The one that has waited longest makes room."""
    address = serve()
    waiting = [socket.create_connection(address, timeout=PATIENCE_S) for _ in range(MAX + 1)]
    with connect(address) as client:
        assert b"got 0" in answer(client)
        assert end_of(waiting[0]) == b""
    for one in waiting:
        one.close()


def test_above_the_bound_connections_are_closed_at_once():
    """Those in a handshake count."""
    with BoundedListener(socket.AF_INET, socket.SOCK_STREAM, max_open=2) as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        clients = [socket.create_connection(listener.getsockname(), timeout=PATIENCE_S) for _ in range(3)]
        first, _ = listener.accept()
        second, _ = listener.accept()
        with pytest.raises(ConnectionAbortedError):
            listener.accept()
        assert end_of(clients[2]) == b""
        first.close()
        clients.append(socket.create_connection(listener.getsockname(), timeout=PATIENCE_S))
        third, _ = listener.accept()
        for one in (second, third, *clients):
            one.close()


def test_a_handshake_that_does_not_go_on_ends(serve, tmp_path):
    authority = make_authority(tmp_path / "authority", "tests")
    key, cert = issue(authority, "server", hosts=("localhost",))
    write_private(tmp_path / "server.key", key)
    (tmp_path / "server.pem").write_bytes(cert)
    address = serve(ssl_certfile=tmp_path / "server.pem", ssl_keyfile=tmp_path / "server.key")
    with connect(address) as client:
        client.sendall(b"\x16\x03\x01")
        assert end_of(client) == b""
    trusting = ssl.create_default_context(cadata=authority.pem.decode())
    with connect(address) as client, trusting.wrap_socket(client, server_hostname="localhost") as tls:
        assert b"got 0" in answer(tls)
        tls.sendall(b"GET / HT")
        assert end_of(tls) == b""
