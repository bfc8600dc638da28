"""The station on real brokers, mosquitto and the embedded one, with real connections, kills and restarts."""

from __future__ import annotations

import gc
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from structlog.testing import capture_logs

from agent.sync.delivery import Signs, why_undelivered
from hw.backoff import Backoff
from protocol.seal import Sealer, SigningKey, StationKey
from protocol.wire.codec import decode, encode, payload_ref
from protocol.wire.control.receipt import Nack, PictureStatus, Receipt
from protocol.wire.control.unit_state import Status
from protocol.wire.enums import UnitState
from protocol.wire.topics import Channel, build
from station.broker import EmbeddedBroker
from station.errors import BrokerError
from station.ingest import Ingest
from station.service import BrokerAddress, StationService
from station.store import open_store
from tests.builders import BOOT, make_read_record
from tests.ports import free_port
from tests.station_files import stored_reads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from protocol.wire.control.receipt import DownMessage
    from station.store import Store

pytestmark = pytest.mark.integration

UNIT = "unit-07"
WAIT_S = 30.0
HOST = "127.0.0.1"
CONNECT_311 = b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"


def wait_for_port(port: int) -> None:
    """Until the broker takes connections."""
    pause = threading.Event()
    for _ in range(300):
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            pause.wait(0.1)
        else:
            return
    raise TimeoutError(f"nothing listens on port {port}")


class Mosquitto:
    """A broker of its own in a folder of its own, which can be killed and started again."""

    def __init__(self, folder: Path, access: str = "allow_anonymous true\n") -> None:
        self.port = free_port()
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} {HOST}\n{access}persistence true\n"
            f"persistence_location {folder}/\nautosave_interval 1\nautosave_on_changes true\n"
            f"user {os.environ.get('USER', 'root')}\n"
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        program = shutil.which("mosquitto", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        assert program, "mosquitto is not installed: apt-get install mosquitto"
        self._process = subprocess.Popen(
            [program, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        wait_for_port(self.port)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


@pytest.fixture
def mosquitto(tmp_path: Path) -> Iterator[Mosquitto]:
    folder = tmp_path / "mosquitto"
    folder.mkdir()
    broker = Mosquitto(folder)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture
def embedded() -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker()
    broker.start()
    yield broker
    broker.close()


class UnitClient:
    """What a unit does at the broker, bare paho."""

    def __init__(self, port: int, *, five: bool, password: str | None = None) -> None:
        self._answers: queue.Queue[DownMessage] = queue.Queue()
        self._subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=UNIT,
            protocol=MQTTProtocolVersion.MQTTv5 if five else MQTTProtocolVersion.MQTTv311,
        )
        if password is not None:
            self._client.username_pw_set(UNIT, password)
        self._client.on_connect = lambda client, *_: client.subscribe(build(UNIT, Channel.RECEIPT), 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._receive
        self._client.connect(HOST, port)
        self._client.loop_start()
        assert self._subscribed.wait(WAIT_S)

    def _receive(self, _: Client, __: Any, message: MQTTMessage) -> None:
        self._answers.put(decode(bytes(message.payload), Receipt, Nack, PictureStatus))

    def publish(self, channel: Channel, payload: bytes, *, retain: bool = False, unit: str = UNIT) -> None:
        info = self._client.publish(build(unit, channel), payload, qos=1, retain=retain)
        info.wait_for_publish(WAIT_S)
        assert info.is_published()

    def answer(self) -> DownMessage:
        return self._answers.get(timeout=WAIT_S)

    def receipted(self, expected: set[int]) -> None:
        """Wait until these sequence numbers are receipted."""
        missing = set(expected)
        while missing:
            answer = self.answer()
            assert isinstance(answer, Receipt), answer
            missing -= {seq for seq, _ in answer.records}

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextmanager
def unit_client(port: int, *, five: bool) -> Iterator[UnitClient]:
    client = UnitClient(port, five=five)
    yield client
    client.close()


def payload(seq: int) -> bytes:
    return make_read_record(seq, seq=seq, pictures=()).payload


@contextmanager
def station(path: Path, port: int, *, five: bool) -> Iterator[tuple[StationService, Ingest, Store]]:
    store = open_store(path)
    ingest = Ingest(store, "station-1", lambda: 1)
    service = StationService(BrokerAddress(HOST, port, five=five), ingest, station="1", backoff=Backoff(0.05, 0.2))
    service.start()
    assert service.connected.wait(WAIT_S)
    try:
        yield service, ingest, store
    finally:
        service.close()
        assert not service.is_alive
        store.close()


@pytest.mark.parametrize("five", [True, False])
def test_reads_are_receipted_through_mosquitto(mosquitto: Mosquitto, tmp_path: Path, five: bool) -> None:
    """MQTT 5 with a shared subscription and plain 3.1.1: every read stored once, every one receipted."""
    with station(tmp_path / "s.db", mosquitto.port, five=five) as (service, ingest, store):
        with unit_client(mosquitto.port, five=five) as unit:
            for seq in range(1, 201):
                unit.publish(Channel.READ, payload(seq))
            unit.receipted(set(range(1, 201)))
        assert [row.seq for row in stored_reads(store)] == list(range(1, 201))
        assert (service.counts.messages, ingest.counts.duplicates) == (200, 0)


def test_reads_are_receipted_through_the_embedded_broker(embedded: EmbeddedBroker, tmp_path: Path) -> None:
    """Reads and receipts are delivered without any other program."""
    with (
        station(tmp_path / "s.db", embedded.port, five=False) as (_, _, store),
        unit_client(embedded.port, five=False) as unit,
    ):
        for seq in range(1, 51):
            unit.publish(Channel.READ, payload(seq))
        unit.receipted(set(range(1, 51)))
        assert len(stored_reads(store)) == 50


@pytest.mark.parametrize("five", [True, False])
def test_station_started_later_gets_the_retained_status(mosquitto: Mosquitto, tmp_path: Path, five: bool) -> None:
    """A station started after the unit gets its status, which shared subscriptions would not deliver."""
    status = Status(unit=UNIT, boot_id=bytes(16), state=UnitState.ONLINE, reason="", software="sw", models=())
    with unit_client(mosquitto.port, five=five) as unit:
        unit.publish(Channel.STATUS, encode(status), retain=True)
        with station(tmp_path / "s.db", mosquitto.port, five=five) as (_, _, store):
            unit.publish(Channel.READ, payload(1))
            unit.receipted({1})
            unit.publish(Channel.READ, payload(2))
            unit.receipted({2})
            assert [row.state for row in store.units()] == ["online"]


def test_garbage_is_refused_with_a_nack(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """A nack refers to the payload; the next read is stored."""
    with (
        station(tmp_path / "s.db", mosquitto.port, five=True) as (_, ingest, _),
        unit_client(mosquitto.port, five=True) as unit,
    ):
        for bad in (b"\xff\xfe", bytes(100_000)):
            unit.publish(Channel.READ, bad)
            nack = unit.answer()
            assert isinstance(nack, Nack)
            assert nack.ref == payload_ref(bad)
        unit.publish(Channel.READ, payload(1))
        unit.receipted({1})
        assert (ingest.counts.malformed, ingest.counts.oversized) == (1, 1)


def test_station_reconnects_after_the_broker_was_killed(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """The station waits for a killed broker; what is sent afterwards is stored and receipted."""
    with station(tmp_path / "s.db", mosquitto.port, five=True) as (service, _, store):
        with unit_client(mosquitto.port, five=True) as unit:
            unit.publish(Channel.READ, payload(1))
            unit.receipted({1})
        mosquitto.kill()
        mosquitto.start()
        with unit_client(mosquitto.port, five=True) as unit:
            assert service.connected.wait(WAIT_S)
            for seq in (1, 2):
                unit.publish(Channel.READ, payload(seq))
            unit.receipted({1, 2})
        assert [row.seq for row in stored_reads(store)] == [1, 2]
        assert service.counts.connections == 2


@contextmanager
def serving(path: Path, port: int) -> Iterator[subprocess.Popen[str]]:
    """The command as a process of its own; killed at the end unless it ended before."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "station", "--db", str(path), "--broker", f"{HOST}:{port}"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "Ctrl-C to stop" in process.stdout.readline()
        yield process
    finally:
        process.kill()
        process.communicate()


def send_until(unit: UnitClient, receipted: set[int], total: int, enough: int) -> None:
    """Send what has no receipt, again when none comes, as a unit does, until ``enough`` are receipted."""
    while len(receipted) < enough:
        for seq in range(1, total + 1):
            if seq not in receipted:
                unit.publish(Channel.READ, payload(seq))
        try:
            while len(receipted) < enough:
                answer = unit._answers.get(timeout=1.0)
                assert isinstance(answer, Receipt), answer
                receipted |= {seq for seq, _ in answer.records}
        except queue.Empty:
            continue


def test_killed_station_loses_no_read_and_stores_none_twice(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """kill -9 in the middle of a stream, several times: every read that was receipted is in the file, and all get
    there once, however often the unit had to send them again."""
    path = tmp_path / "s.db"
    total = 300
    receipted: set[int] = set()
    with unit_client(mosquitto.port, five=True) as unit:
        for enough in (40, 120, 200):
            with serving(path, mosquitto.port):
                send_until(unit, receipted, total, enough)
            store = open_store(path)
            assert receipted <= {row.seq for row in stored_reads(store)}
            store.close()
        with serving(path, mosquitto.port) as process:
            send_until(unit, receipted, total, total)
            process.send_signal(signal.SIGTERM)
            output, _ = process.communicate(timeout=WAIT_S)
            assert process.returncode == 0, output
    store = open_store(path)
    assert [row.seq for row in sorted(stored_reads(store), key=lambda r: r.seq)] == list(range(1, total + 1))
    assert store.gaps(UNIT) == []
    store.close()


def test_station_command_serves_with_the_embedded_broker_and_ends_on_sigterm(tmp_path: Path) -> None:
    """`patrol-lpr station` serves, ends cleanly at SIGTERM with a summary, and writes no plate into a pipe."""
    path = tmp_path / "s.db"
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "cli", "station", "--db", str(path), "--port", str(port)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_port(port)
    with unit_client(port, five=False) as unit:
        resend_until_receipted(unit, 1)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, errors) == (0, ""), output
    assert "reads 1" in output
    assert "7ABC123" not in output
    assert f"{1:032x}" in output


def test_station_without_keys_says_so_on_its_console_and_with_its_units(tmp_path: Path) -> None:
    """As a newcomer meets it: the first record, the end, and `station units` say what to do."""
    path, port = tmp_path / "s.db", free_port()
    command = [sys.executable, "-m", "cli", "station", "--db", str(path)]
    process = subprocess.Popen(
        [*command, "--port", str(port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    wait_for_port(port)
    sealer = Sealer(UNIT, SigningKey.generate(), StationKey.load_public(own_key(tmp_path)))
    record = make_read_record(1)
    sealed, _ = sealer.record(record.envelope.seq, record.envelope.record_id, record.payload, b"")
    with unit_client(port, five=False) as unit:
        refusal = resend_until_answered(unit, sealed)
        assert isinstance(refusal, Nack)
        assert (refusal.retry, refusal.detail) == (True, "this station has no keys: start it with --keys")
        cause = why_undelivered(Signs(is_up=True, nack=f"{refusal.code.value}: {refusal.detail}"))
        reason = f"not delivered: {cause}"
        status = Status(
            unit=UNIT, boot_id=BOOT, state=UnitState.DEGRADED, reason=reason, software="patrol-lpr 1", models=()
        )
        assert process.stdout is not None
        told = next(line for line in process.stdout if "NOT stored" in line)
        unit.publish(Channel.STATUS, encode(status), retain=True)
        unit.publish(Channel.READ, sealed)
        unit.answer()
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=WAIT_S)
    assert (process.returncode, errors) == (0, "")
    for said in (told, output):
        assert "encrypted records NOT stored: this station has no keys" in said
        assert "start it with --keys FOLDER" in said
    shown = subprocess.run([*command, "units"], capture_output=True, text=True, check=True).stdout
    assert reason in shown
    assert "start it with --keys" in shown


def own_key(folder: Path) -> Path:
    path = folder / "station.pub"
    path.write_bytes(StationKey.generate().pem())
    return path


def resend_until_answered(unit: UnitClient, payload: bytes) -> DownMessage:
    """The embedded broker forgets what comes before the station has subscribed; a unit sends again."""
    for _ in range(100):
        unit.publish(Channel.READ, payload)
        try:
            return unit._answers.get(timeout=0.5)
        except queue.Empty:
            continue
    raise TimeoutError("no answer")


def resend_until_receipted(unit: UnitClient, seq: int) -> None:
    assert isinstance(resend_until_answered(unit, payload(seq)), Receipt)


def test_two_stations_share_a_subscription(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """A shared subscription delivers each read to one of the stations: none is stored by both, none is lost."""
    opened: list[tuple[StationService, Store]] = []
    for number in (1, 2):
        store = open_store(tmp_path / f"{number}.db")
        service = StationService(
            BrokerAddress(HOST, mosquitto.port), Ingest(store, f"s{number}", lambda: 1), station=str(number)
        )
        service.start()
        assert service.connected.wait(WAIT_S)
        opened.append((service, store))
    with unit_client(mosquitto.port, five=True) as unit:
        for seq in range(1, 101):
            unit.publish(Channel.READ, payload(seq))
        unit.receipted(set(range(1, 101)))
    shares = [[row.seq for row in stored_reads(store)] for _, store in opened]
    for service, store in opened:
        service.close()
        store.close()
    assert sorted(shares[0] + shares[1]) == list(range(1, 101))
    assert all(shares)


def lost(logs: list[Any]) -> list[Any]:
    return [entry for entry in list(logs) if entry["event"] == "broker_lost"]


def until(holds: Callable[[], bool]) -> bool:
    pause = threading.Event()
    return any(holds() or pause.wait(0.1) for _ in range(int(WAIT_S * 10)))


def test_two_stations_with_one_name_say_so_and_lose_nothing(mosquitto: Mosquitto, tmp_path: Path) -> None:
    """Each ends the other's session, later and later; a unit's record is stored by one of them and receipted."""
    opened: list[tuple[StationService, Store]] = []
    with capture_logs() as logs:
        for number in (1, 2):
            store = open_store(tmp_path / f"{number}.db")
            service = StationService(
                BrokerAddress(HOST, mosquitto.port), Ingest(store, "s", lambda: 1), station="s",
                backoff=Backoff(0.05, 0.5),
            )  # fmt: skip
            service.start()
            assert service.connected.wait(WAIT_S)
            opened.append((service, store))
        with unit_client(mosquitto.port, five=True) as unit:
            missing = set(range(1, 21))
            while missing:
                answer = resend_until_answered(unit, payload(min(missing)))
                assert isinstance(answer, Receipt)
                missing -= {seq for seq, _ in answer.records}
        assert until(
            lambda: any("perhaps another station uses this name" in entry["reason"] for entry in lost(logs))
        )
        for service, _ in opened:
            service.close()
    stored = [{row.seq for row in stored_reads(store)} for _, store in opened]
    assert set().union(*stored) == set(range(1, 21))
    for _, store in opened:
        store.close()


def test_station_ends_although_the_broker_is_unreachable(tmp_path: Path) -> None:
    """The station retries until it is closed."""
    store = open_store(tmp_path / "s.db")
    service = StationService(
        BrokerAddress(HOST, free_port()), Ingest(store, "s", lambda: 1), station="s", backoff=Backoff(0.01, 0.02)
    )
    service.start()
    service.close()
    assert not service.is_alive
    assert not service.connected.is_set()
    store.close()


def test_invalid_certificates_are_an_error_at_the_start(tmp_path: Path) -> None:
    """A permanent misconfiguration is an error at once, not a repeated warning."""
    store = open_store(tmp_path / "s.db")
    address = BrokerAddress(HOST, 8883, ca=tmp_path / "absent.pem")
    with pytest.raises(BrokerError, match="certificates cannot be used"):
        StationService(address, Ingest(store, "s", lambda: 1), station="s").start()
    store.close()


def test_shipped_access_list(repo: Path, tmp_path: Path) -> None:
    """A unit gets its receipts and cannot publish as another."""
    shutil.copy(repo / "provision/broker/acl", tmp_path / "acl")
    passwords = tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd")
    assert tool, "mosquitto_passwd is not installed: apt-get install mosquitto"
    for arguments in (["-c", str(passwords), "station"], [str(passwords), UNIT]):
        subprocess.run([tool, "-b", *arguments, "secret"], check=True, capture_output=True)
    access = f"allow_anonymous false\npassword_file {passwords}\nacl_file {tmp_path / 'acl'}\n"
    broker = Mosquitto(tmp_path, access)
    broker.start()
    store = open_store(tmp_path / "s.db")
    ingest = Ingest(store, "s", lambda: 1)
    address = BrokerAddress(HOST, broker.port, username="station", password="secret")  # noqa: S106 - invented
    service = StationService(address, ingest, station="s")
    service.start()
    assert service.connected.wait(WAIT_S)
    unit = UnitClient(broker.port, five=True, password="secret")  # noqa: S106 - invented
    unit.publish(Channel.READ, payload(1), unit="unit-08")
    unit.publish(Channel.READ, payload(2))
    unit.receipted({2})
    unit.close()
    service.close()
    store.close()
    broker.kill()
    assert (service.counts.messages, ingest.counts.reads) == (1, 1)


def test_broker_with_password(tmp_path: Path) -> None:
    """User and password are sent to the broker; a refusal is retried, never fatal."""
    passwords = tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd")
    assert tool, "mosquitto_passwd is not installed: apt-get install mosquitto"
    subprocess.run([tool, "-b", "-c", str(passwords), "clerk", "right"], check=True, capture_output=True)
    broker = Mosquitto(tmp_path, f"allow_anonymous false\npassword_file {passwords}\n")
    broker.start()
    store = open_store(tmp_path / "s.db")
    refused = StationService(
        BrokerAddress(HOST, broker.port, username="clerk", password="wrong"),  # noqa: S106 - invented
        Ingest(store, "s", lambda: 1),
        station="wrong",
        backoff=Backoff(0.01, 0.02),
    )
    admitted = StationService(
        BrokerAddress(HOST, broker.port, username="clerk", password="right"),  # noqa: S106 - invented
        Ingest(store, "s", lambda: 1),
        station="right",
    )
    refused.start()
    admitted.start()
    assert admitted.connected.wait(WAIT_S)
    assert (refused.connected.is_set(), refused.is_alive) == (False, True)
    for service in (refused, admitted):
        service.close()
    store.close()
    broker.kill()


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1"])  # noqa: S104 - this is what must be refused
def test_embedded_broker_listens_on_the_loopback_interface_only(host: str) -> None:
    """It has no access control, so it must not be reachable from outside."""
    with pytest.raises(BrokerError, match="only on the loopback interface"):
        EmbeddedBroker(host)


def test_embedded_broker_names_a_port_that_is_taken(embedded: EmbeddedBroker) -> None:
    """Two stations on one machine: the error of the second names the port and what to do."""
    second = EmbeddedBroker(port=embedded.port)
    with pytest.raises(BrokerError, match=f"cannot listen on 127.0.0.1:{embedded.port}.*--port"):
        second.start()


@pytest.mark.parametrize(
    "sent",
    [b"", b"\x10", b"GET / HTTP/1.1\r\n\r\n", CONNECT_311, CONNECT_311 + b"\x30\x05\x00"],
    ids=["nothing", "half a header", "another protocol", "connected", "half a publish"],
)
@pytest.mark.parametrize("client_leaves", [True, False])
def test_embedded_broker_leaves_no_connection_open(sent: bytes, client_leaves: bool) -> None:
    """Sockets that are left to the garbage collector are reported as unclosed, long after, anywhere."""
    broker = EmbeddedBroker()
    port = broker.start()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        for _ in range(5):
            with socket.create_connection((broker.host, port)) as client:
                client.sendall(sent)
                if sent.startswith(CONNECT_311):
                    assert client.recv(4) == b"\x20\x02\x00\x00"
                if not client_leaves:
                    broker.close()
                    break
        broker.close()
        broker_host = broker.host
        del broker
        gc.collect()
    # The collector also finds what other tests of this process left.
    ours = f"('{broker_host}', {port})"
    assert [told for each in caught if ours in (told := str(each.message))] == []


def test_embedded_broker_closes_twice_and_frees_its_port() -> None:
    """After close another broker can have the port."""
    first = EmbeddedBroker()
    port = first.start()
    first.close()
    first.close()
    second = EmbeddedBroker(port=port)
    assert second.start() == port
    second.close()
