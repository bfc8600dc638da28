"""A real mosquitto on a free port, for tests that must see one."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from provision.pki import issue, make_authority, write_private
from tests.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path

_TRIES = 200


class Mosquitto:
    """Started, killed and started again on the same port."""

    def __init__(self, folder: Path, *extra: str) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        assert program, "mosquitto is missing; run: make system-packages"
        self._program = program
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        lines = [
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence false",
            "set_tcp_nodelay true",
            *extra,
        ]
        self._write("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    def _write(self, text: str) -> None:
        self._config.write_text(text, encoding="utf-8")

    def start(self) -> Mosquitto:
        self._process = subprocess.Popen(
            [self._program, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for _ in range(_TRIES):
            # A client's own connection attempt is the only proof that it listens.
            probe = Client(CallbackAPIVersion.VERSION2)
            self._prepare(probe)
            try:
                probe.connect("127.0.0.1", self.port)
            except ConnectionRefusedError:
                assert self._process.poll() is None, "mosquitto ended at once"
                try:
                    self._process.wait(0.05)
                except subprocess.TimeoutExpired:
                    continue
            else:
                probe.disconnect()
                return self
        raise AssertionError("mosquitto does not listen")

    def wait_for(self, port: int) -> Mosquitto:
        """Wait for a further listener, which is opened after the first one."""
        assert self._process is not None
        for _ in range(_TRIES):
            try:
                socket.create_connection(("127.0.0.1", port)).close()
            except ConnectionRefusedError:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(0.05)
            else:
                return self
        raise AssertionError(f"mosquitto does not listen on {port}")

    def _prepare(self, probe: Client) -> None:
        """A plain listener needs nothing."""

    def reload(self) -> None:
        """Read certificates, revocations and access list again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class FleetBroker(Mosquitto):
    """The broker as it is shipped: its own configuration and access list, with an authority made for the test."""

    def __init__(
        self, folder: Path, repo: Path, *, hosts: tuple[str, ...] = ("127.0.0.1",), has_workers: bool = False
    ) -> None:
        """``hosts`` are the names clients may know it by; ``has_workers`` enables the listener of the workers."""
        super().__init__(folder)
        self.workers_port = free_port()
        self.authority = make_authority(folder / "ca", "Example fleet")
        shipped = repo / "provision" / "broker"
        self.home = folder / "broker"
        self.home.mkdir()
        self.give("broker", hosts=hosts, into=self.home)
        # All that mosquitto reads lies there before it starts: a file written anew under its eyes is an empty file.
        self.give("probe", into=self.home)
        shutil.copy(folder / "ca" / "crl.pem", self.home / "crl.pem")
        shutil.copy(shipped / "acl", self.home / "acl")
        text = (shipped / "mosquitto.conf").read_text().replace("/etc/mosquitto/lpr", str(self.home))
        text = text.replace("listener 8883", f"listener {self.port} 127.0.0.1")
        if has_workers:
            first, marked, listener = text.partition("#listener 8884 127.0.0.1")
            text = first + (marked + listener).replace("#", "")
            text = text.replace("listener 8884", f"listener {self.workers_port}")
        self._write(f"{text}user root\npersistence_location {self.home}/\n")

    def give(self, name: str, *, hosts: tuple[str, ...] = (), into: Path, **options: Any) -> Path:
        """Make NAME.key and NAME.pem; return the folder, which also gets ca.pem."""
        into.mkdir(exist_ok=True)
        key, cert = issue(self.authority, name, hosts=hosts, **options)
        write_private(into / f"{name}.key", key)
        (into / f"{name}.pem").write_bytes(cert)
        if not (into / "ca.pem").exists():
            (into / "ca.pem").write_bytes(self.authority.pem)
        return into

    def _prepare(self, probe: Client) -> None:
        probe.tls_set(str(self.home / "ca.pem"), str(self.home / "probe.pem"), str(self.home / "probe.key"))
