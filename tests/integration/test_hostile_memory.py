"""What a hostile broker may cost the whole agent and the whole station: at most 64 MiB above normal, and no restart."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from protocol.wire.codec import encode
from protocol.wire.control.receipt import Receipt
from protocol.wire.control.transfer import FileOffer, FilePart
from tests.builders import make_read_record
from tests.fake_broker import PATIENCE_S, TOPIC, Broker, packet, text

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.integration, pytest.mark.slow]
MAX_ABOVE_MIB = 64
ATTACK_S = 3.0
ROUNDS = 2
UNIT = "unit-07"
SETTLE_S = 4.0
TINY_BYTES = 60_000


def messages(topic: bytes, payloads: list[bytes], *, qos: int = 0) -> list[bytes]:
    """PUBLISH packets of MQTT 5."""
    head = 0x30 | qos << 1
    return [
        packet(head, text(topic) + ((n + 1).to_bytes(2, "big") if qos else b"") + b"\x00" + payload)
        for n, payload in enumerate(payloads)
    ]


def receipts() -> list[bytes]:
    """Of records that the unit does not have."""
    named = tuple((seq, seq.to_bytes(16, "big")) for seq in range(1, 257))
    return [encode(Receipt(unit=UNIT, station="s", stored_us=1, records=named, pictures=()))]


def offers() -> list[bytes]:
    """Of more kinds of files than there are."""
    made = []
    for number in range(200):
        kind = f"k{number}"
        offer = FileOffer(
            unit=UNIT, release=1, sha256=bytes(32), size_bytes=2**62, attempt=number, parts=(), kind=kind
        )
        made += messages(f"lpr/1/{UNIT}/dn/offer/{kind}".encode(), [encode(offer)])
    return made


def update() -> list[bytes]:
    offer = FileOffer(unit=UNIT, release=9, sha256=bytes(32), size_bytes=2**62, attempt=1, parts=("code",))
    part = FilePart(unit=UNIT, sha256=bytes(32), offset=0, data=bytes(32_768))
    return [
        *messages(f"lpr/1/{UNIT}/dn/cmd".encode(), [encode(offer)]),
        *messages(f"lpr/1/{UNIT}/dn/part".encode(), [encode(part)]) * 20,
    ]


def any_client() -> dict[str, list[bytes]]:
    """Attacks on whatever connects."""
    return {
        "a packet of 256 MB": [b"\x30\xff\xff\xff\x7f" + bytes(65_536)],
        "large messages": messages(TOPIC, [bytes(120_000)]),
        "large messages of QoS 1": messages(TOPIC, [bytes(120_000)] * 8, qos=1),
        "small messages of QoS 1": [b"".join(messages(TOPIC, [b""] * 1_000, qos=1))],
        "messages of QoS 2": messages(TOPIC, [bytes(60_000)] * 8, qos=2),
        "acknowledgements of nothing": [packet(0x40, b"\x00\x07\x00\x00") * 500],
        "a packet without an end": [packet(0x30, bytes(127_000))[:-1]],
    }


ON_UNIT = {
    **any_client(),
    "receipts": messages(TOPIC, receipts()) * 8,
    "offers of unknown kinds": offers(),
    "bytes of an update": update(),
}
_READ = b"lpr/1/unit-07/up/read"
ON_STATION = {
    **any_client(),
    "records": messages(_READ, [make_read_record(n, seq=n, pictures=()).payload for n in range(1, 500)], qos=1),
    "garbage records": messages(_READ, [bytes(60_000)] * 8, qos=1),
}


_PROGRAM = """
import sys
from cli.main import main
from hw import link_mqtt
from station import service
for module in (link_mqtt, service):
    module._MIN_WAIT_S, module._MAX_WAIT_S = 0.01, 0.05
main()
"""
"""The command line, without the minutes of pauses after failed connections."""


class Victim:
    """A process of the product that connects to the played broker."""

    def __init__(self, words: list[str], broker: Broker, folder: Path) -> None:
        self._broker = broker
        self._log = folder / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-c", _PROGRAM, *words], stdout=log, stderr=log)

    def _status(self, name: str) -> float:
        found = re.search(rf"{name}:\s+(\d+) kB", Path(f"/proc/{self.process.pid}/status").read_text())
        assert found is not None
        return int(found[1]) / 1024

    def normal_mib(self) -> float:
        """Resident memory while it is connected and nothing is wrong; the peak is counted from here."""
        self.attack([b""])
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            self.attack([b""])
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return self._status("VmRSS")

    def peak_mib(self) -> float:
        """Highest resident memory since ``normal_mib``."""
        return self._status("VmHWM")

    def attack(self, packets: list[bytes], *, for_s: float = 0.0) -> None:
        """Let it connect and send until it hangs up or the time is over; what it sends is not read.

        Tiny packets are limited: paho handles some thousands per second, and what fills the buffers of the system takes
        minutes.
        """
        try:
            peer = self._broker.welcome()
        except TimeoutError:
            pytest.fail(f"nobody connects: {self._log.read_text(errors='replace')[-2000:]}")
        until = time.monotonic() + for_s
        left_bytes = TINY_BYTES if max(map(len, packets)) < 64_000 and for_s else 2**40
        try:
            while left_bytes > 0:
                left_bytes -= sum(map(len, packets))
                for data in packets:
                    peer._socket.settimeout(max(0.1, until - time.monotonic()) if for_s else PATIENCE_S)
                    peer.send(data)
                if time.monotonic() >= until:
                    break
        except OSError:
            pass
        peer._socket.close()

    def close(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def unit_config(folder: Path, port: int, frames: Path) -> Path:
    path = folder / "config.toml"
    path.write_text(
        f'unit = "{UNIT}"\nagency = "A"\nstate_dir = "{folder}/state"\n[[hw.cameras]]\nkind = "folder"\nfps = 2\n'
        f'path = "{frames}"\n[hw.link]\nkind = "mqtt"\nhost = "127.0.0.1"\nport = {port}\n'
        '[policy]\nmode = "off"\n[seal]\nmode = "off"\n'
        "[outbox]\nmin_free_mib = 0\n"
    )
    return path


@pytest.fixture(params=["unit", "station"])
def victim(request, tmp_path, repo) -> Iterator[tuple[Victim, dict[str, list[bytes]]]]:
    with Broker() as broker:
        if request.param == "unit":
            config = unit_config(tmp_path, broker.port, repo / "tests/drives/city-day/frames")
            words, attacks = ["run", "--config", str(config)], ON_UNIT
        else:
            words = ["station", "--db", str(tmp_path / "s.db"), "--broker", f"127.0.0.1:{broker.port}"]
            attacks = ON_STATION
        made = Victim(words, broker, tmp_path)
        yield made, attacks
        made.close()


def test_memory_is_bounded_under_every_attack(victim, record_property):
    process, attacks = victim
    threads = threading.active_count()
    normal = process.normal_mib()
    above = {}
    for name, packets in attacks.items():
        for _ in range(ROUNDS):
            process.attack(packets, for_s=ATTACK_S / ROUNDS)
            assert process.process.poll() is None, f"{name}: the process has ended"
        above[name] = round(process.peak_mib() - normal)
    record_property("normal_mib", round(normal))
    record_property("above_mib", above)
    print(f"normal {normal:.0f} MiB; above it, cumulative: {above}")
    assert max(above.values()) <= MAX_ABOVE_MIB, (normal, above)
    assert threading.active_count() < threads + 50
