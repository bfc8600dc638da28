"""A backlog drained over an emulated LTE link, against what the bare link carries in the same run.

Real packets through a TUN device (needs root), mutual TLS on the shipped broker configuration, a real station that
opens, checks and commits, and the agent's own threads.  The bare link is one TCP connection that only sends.
`python -m bench.bench_backlog --reads 100000` is the whole of it; `python -m bench` drains a shorter backlog.
"""

from __future__ import annotations

import multiprocessing
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from agent.buffer import Limits, OutboxReader, open_outbox
from agent.runtime.queues import ReadQueue, UplinkQueue
from agent.runtime.supervisor import Supervisor
from agent.runtime.uplink import uplink_loop
from agent.sync.encoder import RecordEncoder
from agent.sync.uplink import Uplink, UplinkConfig
from bench.measure import Figure, arguments
from cli.simulate import fresh_keys
from hw.clock import RealClock
from hw.config import MqttLinkConfig, TlsConfig
from hw.link_mqtt import LinkMqtt
from protocol.seal import Opener, Sealer, SigningKey, StationKey, load_keyring
from protocol.wire.released import released_registry
from protocol.wire.topics import Channel, build
from station.ingest import Ingest
from station.service import BrokerAddress, StationService
from station.store import open_store
from tests.builders import BOOT, make_read
from tests.emulated_link import FAR, LTE, NEAR, EmulatedLink
from tests.road import RoadBroker

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.synchronize import Event

    from agent.buffer import Outbox

UNIT = "unit-07"
GROUP = 512
PATIENCE_S = 60.0
FLOOR = 0.8
MAX_GROWTH = 1.15
BARE_BYTES = 12 * 2**20
SHORT = 2_000
"""The backlog that the memory of the long one is held against."""


def opened(folder: Path, reads: int) -> Outbox:
    """The outbox of one backlog."""
    keys = folder / "keys"
    sealer = Sealer(UNIT, SigningKey.load(keys / "unit.key"), StationKey.load_public(keys / "station.pub"))
    encoder = RecordEncoder(UNIT, "Example Sheriff", BOOT, released_registry(), sealer)
    return open_outbox(folder / f"outbox-{reads}", encoder, limits=Limits(min_free_bytes=0, ballast_bytes=0))[0]


def fill(folder: Path, reads: int) -> int:
    """Seal and append; return the bytes that wait."""
    outbox = opened(folder, reads)
    size = 0
    for start in range(1, reads + 1, GROUP):
        outbox.append([make_read(n, pictures=()) for n in range(start, min(start + GROUP, reads + 1))])
    reader = OutboxReader(outbox.path)
    after = 0
    while rows := reader.records(after_seq=after, limit=GROUP):
        size += sum(len(row.payload) for row in rows)
        after = rows[-1].seq
    reader.close()
    outbox.close()
    return size


def bare_link(size: int) -> float:
    """Bytes a second of one TCP connection over the emulated link."""
    listener = socket.create_server((NEAR, 0))
    port = listener.getsockname()[1]

    def send() -> None:
        with socket.create_connection((FAR, port)) as sender:
            sender.sendall(bytes(size))

    thread = threading.Thread(target=send)
    thread.start()
    came, _ = listener.accept()
    got, start = len(came.recv(1)), time.perf_counter()
    while data := came.recv(65536):
        got += len(data)
    seconds = time.perf_counter() - start
    thread.join()
    came.close()
    listener.close()
    return got / seconds


def serve(folder: Path, port: int, ready: Event) -> None:
    """A station in a process of its own."""
    home = folder / "station"
    opener = Opener(load_keyring(folder / "keys"))
    store = open_store(folder / f"station-{time.time_ns()}.db", open_picture=opener.picture)
    address = BrokerAddress(
        "127.0.0.1", port, ca=home / "ca.pem", cert=home / "station.pem", key=home / "station.key"
    )
    service = StationService(
        address, Ingest(store, "bench", lambda: time.time_ns() // 1000, opener=opener), station="s"
    )
    service.start()
    service.connected.wait(PATIENCE_S)
    ready.set()
    threading.Event().wait()


def drain(folder: Path, port: int, reads: int, window: int, told: Connection) -> None:
    """A unit in a process of its own: tell the seconds until the outbox is empty, and the most memory in MiB."""
    own = folder / "own"
    tls = TlsConfig(ca=own / "ca.pem", cert=own / f"{UNIT}.pem", key=own / f"{UNIT}.key")
    outbox = opened(folder, reads)
    reader = OutboxReader(outbox.path)
    uplink_queue, read_queue = UplinkQueue(), ReadQueue()
    link = LinkMqtt(MqttLinkConfig(kind="mqtt", host=FAR, port=port, unit=UNIT, tls=tls, window=window))
    uplink = Uplink(
        link, reader, read_queue.add_command, unit=UNIT, boot_id=BOOT, config=UplinkConfig(window=window)
    )
    clock, up = RealClock(), threading.Event()
    supervisor = Supervisor(clock)

    def on_link(is_up: bool, _reason: str) -> None:
        if is_up:
            up.set()

    supervisor.spawn("uplink", uplink_loop(uplink, uplink_queue, clock, on_link=on_link))
    link.start(uplink_queue.event, subscribe=(build(UNIT, Channel.RECEIPT),), will=None)
    up.wait(PATIENCE_S)
    start_s, left, peak_rss_bytes = time.perf_counter(), reads, 0
    while left:
        commands = read_queue.take()
        if commands:
            left -= outbox.apply(commands).freed  # type: ignore[arg-type]
            peak_rss_bytes = max(peak_rss_bytes, psutil.Process().memory_info().rss)
    told.send((time.perf_counter() - start_s, peak_rss_bytes / 2**20))
    supervisor.stop("uplink", timeout_s=PATIENCE_S)
    link.close()


def measure(folder: Path, broker: RoadBroker, reads: int, window: int) -> tuple[float, float]:
    """Drain one backlog; return the seconds and the most memory in MiB."""
    context = multiprocessing.get_context("spawn")
    ready, (hear, told) = context.Event(), context.Pipe(duplex=False)
    station = context.Process(target=serve, args=(folder, broker.port, ready), daemon=True)
    station.start()
    ready.wait(PATIENCE_S)
    unit = context.Process(target=drain, args=(folder, broker.port, reads, window, told), daemon=True)
    unit.start()
    seconds, memory_mib = hear.recv()
    unit.join()
    station.kill()
    station.join()
    return seconds, memory_mib


def main() -> None:
    """Print the figures as JSON lines."""
    parser = arguments(__doc__)
    parser.add_argument("--reads", type=int, default=20_000)
    parser.add_argument("--window", type=int, default=UplinkConfig().window)
    options = parser.parse_args()
    reads, short, bare_bytes = options.reads, SHORT, BARE_BYTES
    if options.tiny:
        reads, short, bare_bytes = 60, 20, 2**16
    repo = Path(__file__).parent.parent
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        fresh_keys(folder / "keys", UNIT)
        fill(folder, short)
        size = fill(folder, reads)
        air = EmulatedLink(LTE)
        try:
            broker = RoadBroker(folder, repo)
            broker.start()
            broker.give("station", into=folder / "station")
            broker.give(UNIT, into=folder / "own")
            _, short_mib = measure(folder, broker, short, options.window)
            before = bare_link(bare_bytes)
            seconds, long_mib = measure(folder, broker, reads, options.window)
            bare = max(before, bare_link(bare_bytes))
            broker.kill()
        finally:
            air.close()
    rate = size / seconds
    title = f"backlog of {reads:,} reads over LTE"
    print(Figure(f"{title} / bare link (bytes a second)", rate / bare, "x", floor=FLOOR).as_json())
    print(Figure(f"{title}, drained in", seconds, "s").as_json())
    print(Figure(f"{title}", reads / seconds, "reads/s").as_json())
    print(Figure("bare link, one TCP connection", bare * 8 / 1e6, "Mbit/s").as_json())
    growth = long_mib / short_mib
    print(Figure(f"resident memory, {reads:,} / {short:,} waiting", growth, "x", limit=MAX_GROWTH).as_json())
    print(Figure("resident memory while draining", long_mib, "MiB").as_json())


if __name__ == "__main__":
    main()
