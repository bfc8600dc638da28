"""Unit and station talk only to a broker whose certificate is of the fleet's authority and for the host's name."""

from __future__ import annotations

import queue
import socket
import ssl
import threading

import pytest
from structlog.testing import capture_logs

from hw.backoff import Backoff
from hw.mqtt_connection import MqttConnection, MqttOptions, TlsFiles, tls_context
from provision.pki import issue, make_authority, write_private
from station.service import BrokerAddress, StationService
from tests.fake_broker import PATIENCE_S

PEERS = {
    "right": (("localhost", "127.0.0.1"), True),
    "another host": (("broker.example.org",), True),
    "another authority": (("localhost", "127.0.0.1"), False),
}


class TlsServer:
    """Accepts connections and notes what it gets after each handshake; None if the client ended it."""

    def __init__(self, folder, hosts, *, ours: bool) -> None:
        fleet, other = (make_authority(folder / name, name) for name in ("fleet", "other"))
        self.ca = folder / "fleet" / "ca.pem"
        self.ca.write_bytes(fleet.pem)
        key, cert = issue(fleet if ours else other, "broker", hosts=hosts)
        write_private(folder / "broker.key", key)
        (folder / "broker.pem").write_bytes(cert)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(folder / "broker.pem", folder / "broker.key")
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.heard: queue.Queue[bytes | None] = queue.Queue()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                accepted = self._socket.accept()[0]
            except OSError:
                return
            accepted.settimeout(PATIENCE_S)
            try:
                with self._context.wrap_socket(accepted, server_side=True) as peer:
                    self.heard.put(peer.recv(1) or None)
            except OSError:
                self.heard.put(None)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE_S)


@pytest.fixture(params=PEERS)
def peer(request, tmp_path):
    hosts, ours = PEERS[request.param]
    server = TlsServer(tmp_path, hosts, ours=ours)
    yield server, request.param == "right"
    server.close()


@pytest.mark.filterwarnings("ignore:Exception ignored in. <.*socket:pytest.PytestUnraisableExceptionWarning")
def test_a_unit_sends_nothing_to_another_peer(peer):
    server, is_right = peer
    options = MqttOptions("localhost", server.port, "unit-07", tls=TlsFiles(ca=server.ca))
    connection = MqttConnection(options, on_up=lambda *_: None, on_message=lambda _: None)
    opened = connection.open()
    heard = server.heard.get(timeout=PATIENCE_S)
    connection.close()
    assert (opened, heard) == ((True, b"\x10") if is_right else (False, None))
    assert is_right or "certificate verify failed" in connection.reason


@pytest.mark.filterwarnings("ignore:Exception ignored in. <.*socket:pytest.PytestUnraisableExceptionWarning")
def test_a_station_sends_nothing_to_another_peer(peer):
    server, is_right = peer
    service = StationService(
        BrokerAddress("localhost", server.port, ca=server.ca), None, station="s", backoff=Backoff(0.01, 0.02)
    )
    with capture_logs() as logs:
        service.start()
        heard = [server.heard.get(timeout=PATIENCE_S) for _ in range(1 if is_right else 3)]
        service.close()
    assert heard == ([b"\x10"] if is_right else [None] * 3)
    assert is_right or "certificate verify failed" in logs[0]["reason"]


def test_old_versions_of_tls_are_refused(tmp_path):
    authority = make_authority(tmp_path / "fleet", "fleet")
    (tmp_path / "ca.pem").write_bytes(authority.pem)
    context = tls_context(TlsFiles(ca=tmp_path / "ca.pem"))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
