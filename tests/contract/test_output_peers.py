"""Webhooks and TAK events over real sockets: signed, to the configured host alone, nothing lost when it fails."""

from __future__ import annotations

import base64
import hashlib
import hmac
import http.server
import json
import queue
import socket
import ssl
import threading
from contextlib import suppress
from xml.etree import ElementTree as ET

import pytest

from protocol.wire.enums import DispositionAction
from provision.pki import issue, make_authority, write_private
from station.errors import DeliveryError, RecordRefusedError, StationConfigError
from station.outputs.config import CotOutput, WebhookOutput
from station.outputs.tak import TakOutput
from station.outputs.webhook import WebhookSender, load_secret, new_secret
from tests.builders import UTC_NS, make_read_record, make_record
from tests.hit_builders import make_disposition, make_hit_body
from tests.unit.station.test_cot_events import parsed
from tests.unit.station.test_outputs import event

pytestmark = pytest.mark.slow
NOW_US = UTC_NS // 1000 + 5_000_000
PATIENCE_S = 20


class Authority:
    """An authority with a server's and a client's certificate."""

    def __init__(self, folder):
        self.folder = folder
        made = make_authority(folder / "authority", "tests")
        self.ca = folder / "ca.pem"
        self.ca.write_bytes(made.pem)
        for name, hosts in (("server", ("localhost", "127.0.0.1")), ("client", ())):
            key, cert = issue(made, name, hosts=hosts)
            write_private(folder / f"{name}.key", key)
            (folder / f"{name}.pem").write_bytes(cert)

    def server(self, *, wants_client=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "server.pem", self.folder / "server.key")
        if wants_client:
            context.load_verify_locations(self.ca)
            context.verify_mode = ssl.CERT_REQUIRED
        return context


@pytest.fixture
def authority(tmp_path):
    return Authority(tmp_path)


class Hook(http.server.ThreadingHTTPServer):
    """An HTTPS server that answers as told, and notes what it got."""

    daemon_threads = True

    def __init__(self, context):
        super().__init__(("127.0.0.1", 0), Handler)
        self.socket = context.wrap_socket(self.socket, server_side=True)
        self.answers = []
        self.got = []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        """A client that ended the handshake."""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append((self.path, dict(self.headers), body))
        status, headers = self.server.answers.pop(0) if self.server.answers else (204, {})
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def do_GET(self):
        self.do_POST()

    def log_message(self, *_):
        """Silent."""


@pytest.fixture
def hook(authority):
    server = Hook(authority.server())
    yield server
    server.shutdown()
    server.server_close()


def sender(authority, port, *, url="https://localhost:{port}/lpr?team=a", ca=True, **other):
    secret = authority.folder / "hook.secret"
    if not secret.exists():
        secret.write_text(new_secret() + "\n")
        secret.chmod(0o600)
    told = {
        "name": "hook", "kind": "webhook", "url": url.format(port=port), "secret_file": secret,
        "ca": authority.ca if ca else None, **other,
    }  # fmt: skip
    return WebhookSender(WebhookOutput.model_validate(told), lambda: NOW_US), load_secret(secret)


def test_request_is_signed_as_standard_webhooks_say(authority, hook):
    """A receiver verifies it with the secret, and knows duplicates by the id."""
    to, key = sender(authority, hook.server_port)
    told = event(make_hit_body())
    assert to.send([told]) == 1
    path, headers, body = hook.got[0]
    headers = {name.lower(): value for name, value in headers.items()}
    assert path == "/lpr?team=a"
    assert headers["webhook-id"] == told.id
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    assert int(headers["webhook-timestamp"]) == NOW_US // 1_000_000
    assert json.loads(body)["type"] == "hit.preview"
    assert to.where == f"https://localhost:{hook.server_port}"


@pytest.mark.parametrize("status", [301, 302, 307, 308, 401, 403, 404, 408, 410, 429, 500, 503])
def test_records_wait_for_what_an_operator_or_time_corrects(authority, hook, status):
    """Redirects are not followed."""
    to, _ = sender(authority, hook.server_port)
    hook.answers = [(status, {"location": f"https://localhost:{hook.server_port}/other"})]
    with pytest.raises(DeliveryError, match=str(status)):
        to.send([event(make_hit_body())])
    assert len(hook.got) == 1


@pytest.mark.parametrize("status", [400, 409, 413, 415, 422])
def test_refused_record_is_given_up(authority, hook, status):
    to, _ = sender(authority, hook.server_port)
    hook.answers = [(status, {})]
    with pytest.raises(RecordRefusedError, match=str(status)):
        to.send([event(make_hit_body())])


class Drip:
    """A TLS server that sends a part of an answer again and again, and never ends it."""

    def __init__(self, context, first, again):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._serve, args=(context, first, again))
        self.thread.start()

    def _serve(self, context, first, again):
        raw, _ = self.listener.accept()
        with suppress(OSError), context.wrap_socket(raw, server_side=True) as peer:
            peer.sendall(first)
            while not self.closing.wait(0.05):
                peer.sendall(again)

    def close(self):
        self.closing.set()
        self.listener.close()
        self.thread.join()


@pytest.mark.parametrize(
    ("first", "again", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\nx: ", b"a", "timed out"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 4096\r\n\r\n", b"a", "timed out"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n", "timed out"),
        (b"HTTP/1.1 200 OK\r\n", b"x: " + b"a" * 30_000 + b"\r\n", "more than 65536 bytes"),
    ],
)
def test_an_answer_that_never_ends_does_not_hold_the_output(authority, first, again, reason):
    """Each byte arrives in time, the whole does not."""
    server = Drip(authority.server(), first, again)
    to, _ = sender(authority, server.port, timeout_s=1)
    said = []

    def send():
        try:
            to.send([event(make_hit_body())])
        except DeliveryError as error:
            said.append(str(error))

    thread = threading.Thread(target=send)
    thread.start()
    thread.join(PATIENCE_S)
    is_held = thread.is_alive()
    server.close()
    thread.join()
    assert not is_held
    assert reason in said[0]


@pytest.mark.parametrize(("told", "waits_s"), [("12", 12), ("999999", 300), ("soon", None), ("-1", None)])
def test_receiver_may_ask_for_a_pause(authority, hook, told, waits_s):
    to, _ = sender(authority, hook.server_port)
    hook.answers = [(503, {"retry-after": told})]
    with pytest.raises(DeliveryError) as caught:
        to.send([event(make_hit_body())])
    assert caught.value.retry_after_s == waits_s


@pytest.mark.filterwarnings("ignore:Exception ignored in. <.*socket:pytest.PytestUnraisableExceptionWarning")
def test_nothing_goes_to_another_server(authority, hook):
    """One with a certificate of another authority."""
    to, _ = sender(authority, hook.server_port, ca=False)
    with pytest.raises(DeliveryError, match="certificate"):
        to.send([event(make_hit_body())])
    assert hook.got == []


def test_no_proxy_is_asked(authority, hook, monkeypatch):
    """An environment variable does not change where records go."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    to, _ = sender(authority, hook.server_port)
    assert to.send([event(make_hit_body())]) == 1


@pytest.mark.parametrize("text", ["", "whsec_!", "whsec_" + base64.b64encode(bytes(8)).decode(), "\u00e4"])
def test_bad_secret_is_refused(tmp_path, text):
    path = tmp_path / "secret"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(StationConfigError):
        load_secret(path)


def test_secret_that_others_can_read_is_refused(tmp_path):
    path = tmp_path / "secret"
    path.write_text(new_secret())
    path.chmod(0o640)
    with pytest.raises(StationConfigError, match="chmod 600"):
        load_secret(path)


# TAK


class TakServer:
    """Accepts one connection after another; each one's bytes come into a queue."""

    def __init__(self, context=None):
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._context = context
        self.port = self._socket.getsockname()[1]
        self.heard = queue.Queue()
        self.peers = queue.Queue()
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                peer = self._socket.accept()[0]
                if self._context is not None:
                    peer = self._context.wrap_socket(peer, server_side=True)
            except OSError:
                if self._socket.fileno() < 0:
                    return
                continue
            self.peers.put(peer)
            threading.Thread(target=self._read, args=(peer,), daemon=True).start()

    def _read(self, peer):
        """Read to the end, and close: by another thread, TLS could write to a file that has the same number by then."""
        with peer:
            self._read_messages(peer)

    def _read_messages(self, peer):
        data = b""
        while True:
            try:
                got = peer.recv(65536)
            except OSError:
                return
            if not got:
                return
            data += got
            while b"</event>" in data:
                message, _, data = data.partition(b"</event>")
                self.heard.put(message.strip() + b"</event>")

    def close(self):
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        while not self.peers.empty():
            self.end(self.peers.get())

    @staticmethod
    def end(peer):
        """End a connection, whose reader then closes it."""
        with suppress(OSError):
            socket.socket.shutdown(peer, socket.SHUT_RDWR)


@pytest.fixture
def tak(authority):
    server = TakServer(authority.server(wants_client=True))
    yield server
    server.close()


def output(authority, url, **other):
    files = {"ca": authority.ca, "cert": authority.folder / "client.pem", "key": authority.folder / "client.key"}
    told = {"name": "tak", "kind": "cot", "url": url, **files, **other}
    return TakOutput(CotOutput.model_validate(told), lambda: NOW_US)


def test_hits_and_units_go_to_a_tak_server_over_tls(authority, tak):
    """With this station's certificate; the position of a unit at most every few seconds."""
    to = output(authority, f"tls://localhost:{tak.port}")
    reads = [event(make_read_record(n).body, record_id=bytes([n] * 16)) for n in (1, 2)]
    assert to.send([event(make_hit_body()), *reads]) == 2
    hit, unit = (parsed(tak.heard.get(timeout=PATIENCE_S)) for _ in range(2))
    assert "NOT CONFIRMED" in hit.find("detail/remarks").text
    assert unit.get("uid") == "patrol-lpr.unit-07"
    to.close()


def test_decision_ends_the_hit_on_the_map(authority, tak):
    to = output(authority, f"tls://localhost:{tak.port}")
    to.send([event(make_hit_body())])
    assert to.send([event(make_disposition(DispositionAction.REJECTED))]) == 1
    first, second = (parsed(tak.heard.get(timeout=PATIENCE_S)) for _ in range(2))
    assert first.get("uid") == second.get("uid")
    assert second.get("stale") == second.get("time")
    to.close()


def test_connection_that_the_server_closed_is_opened_again(authority, tak):
    to = output(authority, f"tls://localhost:{tak.port}")
    to.send([event(make_hit_body())])
    tak.heard.get(timeout=PATIENCE_S)
    tak.end(tak.peers.get(timeout=PATIENCE_S))
    for _ in range(50):
        try:
            to.send([event(make_hit_body())])
        except DeliveryError:
            continue
        if not tak.peers.empty():
            break
    assert parsed(tak.heard.get(timeout=PATIENCE_S)) is not None
    to.close()


@pytest.mark.filterwarnings("ignore:Exception ignored in. <.*socket:pytest.PytestUnraisableExceptionWarning")
def test_server_of_another_authority_gets_nothing(authority, tak, tmp_path):
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    to = output(authority, f"tls://localhost:{tak.port}", ca=other.ca)
    with pytest.raises(DeliveryError, match="certificate"):
        to.send([event(make_hit_body())])
    assert tak.heard.empty()


def test_server_that_is_away_is_an_outage(authority):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(DeliveryError, match="refused"):
        output(authority, f"tcp://127.0.0.1:{port}").send([event(make_hit_body())])


def test_datagrams_hold_one_event_each(authority):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(PATIENCE_S)
        to = output(authority, f"udp://127.0.0.1:{receiver.getsockname()[1]}")
        assert to.send([event(make_hit_body(hit_id=bytes([n] * 16))) for n in (1, 2)]) == 2
        uids = [ET.fromstring(receiver.recv(65536)).get("uid") for _ in range(2)]  # noqa: S314 - our own output
        to.close()
    assert uids == [f"patrol-lpr.unit-07.{bytes([n] * 16).hex()}" for n in (1, 2)]


def test_plain_tcp_to_this_machine(authority):
    server = TakServer()
    to = output(authority, f"tcp://127.0.0.1:{server.port}")
    assert to.send([event(make_hit_body())]) == 1
    assert parsed(server.heard.get(timeout=PATIENCE_S)).get("version") == "2.0"
    to.close()
    server.close()


def test_certificates_that_cannot_be_used_are_an_error_of_the_configuration(authority):
    with pytest.raises(StationConfigError, match="cannot be used"):
        output(authority, "tls://localhost:1", cert=authority.folder / "absent.pem")


def test_record_made_for_a_test_is_one(authority):
    """The builders' record is what the store gives."""
    assert event(make_hit_body()).stored.record.body == make_record(make_hit_body()).body
