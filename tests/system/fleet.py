"""The other end, on this machine: authority, enrolment, broker and station, reached by the guest through QEMU alone."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from protocol.seal.keys import SigningKey, StationKey
from provision.ca_store import CaStore
from provision.card import Card
from provision.enrol import server
from provision.pki import now_utc
from station.store import open_store
from tests.chroot import tool
from tests.mosquitto import FleetBroker
from tests.nmea_lines import gga, rmc
from tests.ports import free_port
from tests.station_files import each_read

if TYPE_CHECKING:
    import socket
    from pathlib import Path

    from station.query import StoredRecord

UNIT = "unit-07"
ADDRESS = "10.0.2.100"
"""What the guest knows of the world; QEMU carries two of its ports to this machine's loopback and nothing else."""
ENROL_PORT, BROKER_PORT = 8443, 8883


class Fleet:
    """Started piece by piece; all is gone after ``close``."""

    def __init__(self, folder: Path, repo: Path) -> None:
        self._folder, self._repo = folder, repo
        self.broker = FleetBroker(folder, repo, hosts=("127.0.0.1", ADDRESS))
        self.ca_store = CaStore(folder / "ca")
        self.broker.give("enrol", hosts=(ADDRESS,), into=folder / "enrol")
        self.broker.give("station", into=folder / "station-tls")
        self.keys = folder / "keys"
        self.keys.mkdir()
        key = StationKey.generate()
        key.save(self.keys / "station.key")
        self._station_pem = key.pem().decode()
        receipts = SigningKey.generate()
        receipts.save(self.keys / "receipt.key")
        self._receipt_pem = receipts.public.pem().decode()
        self._enrol_port = free_port()
        self._enrolment: threading.Thread | None = None
        self._station: subprocess.Popen[str] | None = None
        self.db = folder / "station.db"

    def card(self) -> Path:
        expires = now_utc() + timedelta(hours=3)
        made = Card(
            unit=UNIT, agency="Example Sheriff", enrol_host=ADDRESS, enrol_port=ENROL_PORT, broker_host=ADDRESS,
            broker_port=BROKER_PORT, token=self.ca_store.new_token(UNIT, expires_s=int(expires.timestamp())),
            ca_pem=self.ca_store.ca_pem.decode(), station_pem=self._station_pem, receipt_pem=self._receipt_pem,
        )  # fmt: skip
        path = self._folder / "provision.json"
        path.write_text(made.model_dump_json())
        return path

    def network(self) -> list[str]:
        """QEMU's arguments: the guest reaches enrolment and broker, and nothing else."""
        to = f"{tool('nc')} 127.0.0.1"
        forwards = ((ENROL_PORT, self._enrol_port), (BROKER_PORT, self.broker.port))
        rules = "".join(f",guestfwd=tcp:{ADDRESS}:{there}-cmd:{to} {here}" for there, here in forwards)
        return ["-netdev", f"user,id=net,restrict=on{rules}", "-device", "virtio-net-pci,netdev=net,romfile="]

    def open_enrolment(self) -> None:
        home = self._folder / "enrol"
        made = server(
            self.ca_store, "127.0.0.1", self._enrol_port, cert=home / "enrol.pem", key=home / "enrol.key"
        )
        self._enrolment = threading.Thread(target=made.serve_forever, daemon=True)
        self._enrolment.start()

    def start_station(self) -> None:
        """After the unit has enrolled: its public key is what its reads are checked with."""
        name = f"unit-{UNIT}.pub"
        shutil.copy(self._folder / "ca/units" / name, self.keys / name)
        tls = self._folder / "station-tls"
        command = [
            sys.executable, "-u", "-m", "cli", "station", "--broker", f"127.0.0.1:{self.broker.port}",
            "--db", str(self.db), "--keys", str(self.keys), "--ca", str(tls / "ca.pem"),
            "--cert", str(tls / "station.pem"), "--key", str(tls / "station.key"),
        ]  # fmt: skip
        with (self._folder / "station.log").open("a") as errors:
            self._station = subprocess.Popen(
                command, cwd=self._repo, stdout=subprocess.PIPE, stderr=errors, text=True,
                env={**os.environ, "COLUMNS": "120"},
            )  # fmt: skip

    def hear_reads(self, count: int, *, timeout_s: float) -> int:
        """Wait until the station has stored so many more; return the sequence number of the last."""
        assert self._station is not None
        assert self._station.stdout is not None
        timer = threading.Timer(timeout_s, self._station.kill)
        timer.start()
        seen = last = 0
        while seen < count:
            line = self._station.stdout.readline()
            assert line, f"the station heard {seen} of {count} reads within {timeout_s:g} s"
            if "#" in line:
                seen += 1
                last = int(line.split("#")[1].split()[0])
        timer.cancel()
        return last

    def hear_seq(self, seq: int, *, timeout_s: float) -> None:
        """Wait until the station has stored the read with this number."""
        while self.hear_reads(1, timeout_s=timeout_s) < seq:
            pass

    def reads(self) -> list[StoredRecord]:
        """All that the station has, in the order of the unit."""
        store = open_store(self.db, must_exist=True)
        rows = sorted(each_read(store, unit=UNIT), key=lambda read: read.seq)
        store.close()
        return rows

    def state(self) -> str:
        """What the station last heard of the unit."""
        store = open_store(self.db, must_exist=True)
        (row,) = (row for row in store.units() if row.unit == UNIT)
        store.close()
        return row.state

    def audit(self) -> tuple[int, str]:
        """`station audit`: exit code and what it said."""
        done = subprocess.run(
            [sys.executable, "-m", "cli", "station", "audit", "--db", str(self.db)],
            cwd=self._repo, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def close(self) -> None:
        self.broker.kill()
        if self._station is not None:
            self._station.send_signal(signal.SIGTERM)
            self._station.communicate()


class Receiver:
    """A GNSS receiver at the other end of the guest's serial port: one fix a second, driving north."""

    def __init__(self, port: socket.socket) -> None:
        self._port = port
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        moved_deg = 0.0
        self._port.settimeout(0.5)
        while not self._stop.wait(1.0):
            moved_deg += 0.0001
            now = datetime.now(UTC)
            lines = [rmc(now, lat_deg=45 + moved_deg, course="0.0"), gga(now, lat_deg=45 + moved_deg)]
            try:
                self._port.sendall("".join(f"{line}\r\n" for line in lines).encode())
            except TimeoutError:
                continue  # the guest is not listening yet
            except OSError:
                return

    def close(self) -> None:
        self._stop.set()
        self._thread.join()
