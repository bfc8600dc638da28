"""The optional firewall rules, with real packets between two network namespaces."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.chroot import run

pytestmark = pytest.mark.integration
UNIT, WORLD = "10.99.7.1", "10.99.7.2"
_LISTEN = """
import socket, sys
with socket.create_server((sys.argv[1], 8080)) as server:
    print("ready", flush=True)
    while True:
        server.accept()[0].close()
"""
_CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], 8080), timeout=float(sys.argv[2])).close()
    print("through")
except OSError as error:
    print(type(error).__name__)
"""


class Networks:
    """A unit, a simulated peer, and the cable between them."""

    def __init__(self) -> None:
        self.unit, self.world = f"unit-{os.getpid()}", f"world-{os.getpid()}"
        self._listeners: list[subprocess.Popen[str]] = []
        for name in (self.unit, self.world):
            run("ip", "netns", "add", name)
            run("ip", "-n", name, "link", "set", "lo", "up")
        run("ip", "-n", self.unit, "link", "add", "cable", "type", "veth", "peer", "cable", "netns", self.world)
        for name, address in ((self.unit, UNIT), (self.world, WORLD)):
            run("ip", "-n", name, "addr", "add", f"{address}/24", "dev", "cable")
            run("ip", "-n", name, "link", "set", "cable", "up")
            self.listen(name, "0.0.0.0")  # noqa: S104 - in a network of its own

    def listen(self, where: str, address: str) -> None:
        command = ["ip", "netns", "exec", where, sys.executable, "-c", _LISTEN, address]
        listener = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self._listeners.append(listener)
        assert listener.stdout
        assert listener.stdout.readline() == "ready\n"

    def connect(self, where: str, address: str, *, patience_s: float = 20) -> str:
        return run("ip", "netns", "exec", where, sys.executable, "-c", _CONNECT, address, str(patience_s)).strip()

    def close(self) -> None:
        for listener in self._listeners:
            listener.kill()
            listener.communicate()
        for name in (self.unit, self.world):
            run("ip", "netns", "delete", name)


@pytest.fixture
def networks():
    made = Networks()
    yield made
    made.close()


@pytest.fixture
def rules(repo, tmp_path):
    """The shipped rules, with a folder for exceptions of the test's own."""
    path = tmp_path / "patrol-lpr.nft"
    shipped = (repo / "systemd/patrol-lpr.nft").read_text()
    path.write_text(shipped.replace("/etc/patrol-lpr/firewall.d", str(tmp_path / "firewall.d")))
    (tmp_path / "firewall.d").mkdir()
    return path


def load(networks, rules) -> None:
    run("ip", "netns", "exec", networks.unit, "nft", "-f", str(rules))


def test_shipped_firewall_rules_are_valid(repo, networks):
    run("ip", "netns", "exec", networks.unit, "nft", "--check", "--file", str(repo / "systemd/patrol-lpr.nft"))


def test_incoming_connections_are_blocked_and_outgoing_allowed(networks, rules):
    assert networks.connect(networks.world, UNIT) == "through"
    for _ in range(2):  # loading them again changes nothing
        load(networks, rules)
    assert networks.connect(networks.world, UNIT, patience_s=0.5) == "TimeoutError"
    assert networks.connect(networks.unit, WORLD) == "through"
    assert networks.connect(networks.unit, "127.0.0.1") == "through", "its own programs speak with each other"
    run("ip", "netns", "exec", networks.unit, "nft", "delete", "table", "inet", "patrol_lpr")
    assert networks.connect(networks.world, UNIT) == "through", "stopping the service takes the rules away"


def test_extra_rules_file_allows_a_technician(networks, rules, tmp_path):
    (tmp_path / "firewall.d/bench.nft").write_text(f"ip saddr {WORLD} tcp dport 8080 accept\n")
    load(networks, rules)
    assert networks.connect(networks.world, UNIT) == "through"
