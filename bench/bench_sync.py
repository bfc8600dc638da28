"""Draining the outbox over MQTT against bare paho QoS 1: same broker, payloads and window, taking turns."""

from __future__ import annotations

import multiprocessing
import queue
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from agent.buffer import Limits, OutboxReader, open_outbox
from agent.runtime.queues import ReadQueue, UplinkQueue
from agent.runtime.supervisor import Supervisor
from agent.runtime.uplink import uplink_loop
from agent.sync.uplink import Uplink, UplinkConfig
from bench.measure import Figure, arguments
from hw.clock import RealClock
from hw.config import MqttLinkConfig
from hw.link_mqtt import LinkMqtt
from protocol.wire.codec import encode
from protocol.wire.control.receipt import Receipt
from protocol.wire.topics import Channel, build
from tests.builders import BOOT, make_encoder, make_read, make_read_record
from tests.mosquitto import Mosquitto

if TYPE_CHECKING:
    from multiprocessing.synchronize import Event

READS = 3000
WINDOW = 16
GROUP = 64
COMMIT_S = 0.004
"""What a station's commit takes; meanwhile the next group gathers."""
PATIENCE_S = 60
UNIT = "unit-07"


def payloads(reads: int) -> list[bytes]:
    return [make_read_record(n, seq=n, pictures=()).payload for n in range(1, reads + 1)]


def bare_paho(port: int, messages: list[bytes]) -> float:
    """Seconds until the last PUBACK, with at most WINDOW messages in flight."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)
    client.max_inflight_messages_set(WINDOW)
    window = threading.Semaphore(WINDOW)
    done = threading.Event()
    acked = 0

    def on_publish(*_: object) -> None:
        nonlocal acked
        acked += 1
        window.release()
        if acked == len(messages):
            done.set()

    client.on_publish = on_publish
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    connected.wait(PATIENCE_S)
    start = time.perf_counter()
    for message in messages:
        window.acquire()
        client.publish("bench/bare", message, qos=1)
    done.wait(PATIENCE_S)
    seconds = time.perf_counter() - start
    client.disconnect()
    client.loop_stop()
    return seconds


def receipt_everything(port: int, ready: Event, known: dict[bytes, tuple[int, bytes]]) -> None:
    """A station that keeps nothing, in a process of its own: a receipt for every record it hears, in groups.

    It knows the records beforehand, so that its own decoding does not take the second core from the broker.
    """
    waiting: queue.SimpleQueue[tuple[int, bytes]] = queue.SimpleQueue()
    client = Client(CallbackAPIVersion.VERSION2, protocol=MQTTProtocolVersion.MQTTv5)

    def heard(_client: object, _data: object, message: MQTTMessage) -> None:
        waiting.put(known[bytes(message.payload)])

    client.on_message = heard
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", port)
    client.loop_start()
    client.subscribe(build(UNIT, Channel.READ), 1)
    while True:
        group = [waiting.get()]
        time.sleep(COMMIT_S)
        while len(group) < GROUP and not waiting.empty():
            group.append(waiting.get())
        receipt = encode(Receipt(unit=UNIT, station="bench", stored_us=1, records=tuple(group), pictures=()))
        client.publish(build(UNIT, Channel.RECEIPT), receipt, 1)


def drain(port: int, folder: Path, reads: int) -> float:
    """Seconds until the outbox is empty: published, receipted, deleted; uplink and committer in threads."""
    outbox, _ = open_outbox(folder, make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0))
    for start in range(1, reads + 1, GROUP):
        outbox.append([make_read(n, pictures=()) for n in range(start, min(start + GROUP, reads + 1))])
    reader = OutboxReader(outbox.path)
    uplink_queue, read_queue = UplinkQueue(), ReadQueue()
    link = LinkMqtt(MqttLinkConfig(kind="mqtt", host="127.0.0.1", port=port, unit=UNIT, window=WINDOW))
    config = UplinkConfig(window=WINDOW)
    uplink = Uplink(link, reader, read_queue.add_command, unit=UNIT, boot_id=BOOT, config=config)
    clock = RealClock()
    supervisor = Supervisor(clock)
    up = threading.Event()

    def on_link(is_up: bool, _reason: str) -> None:
        if is_up:
            up.set()

    supervisor.spawn("uplink", uplink_loop(uplink, uplink_queue, clock, on_link=on_link))
    link.start(uplink_queue.event, subscribe=(build(UNIT, Channel.RECEIPT),), will=None)
    up.wait(PATIENCE_S)
    start_s = time.perf_counter()
    left = reads
    while left:
        commands = read_queue.take()
        if commands:
            left -= outbox.apply(commands).freed  # type: ignore[arg-type]
    seconds = time.perf_counter() - start_s
    supervisor.stop("uplink", timeout_s=PATIENCE_S)
    link.close()
    reader.close()
    outbox.close()
    return seconds


def main() -> None:
    """Print the figures as JSON lines."""
    reads, turns = (50, 1) if arguments(__doc__).parse_args().tiny else (READS, 3)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        broker = Mosquitto(folder).start()
        ready = multiprocessing.Event()
        messages = payloads(reads)
        known = {payload: (n, make_read(n).read_id) for n, payload in enumerate(messages, 1)}
        station = multiprocessing.Process(target=receipt_everything, args=(broker.port, ready, known), daemon=True)
        station.start()
        ready.wait(PATIENCE_S)
        bare, ours = [], []
        for turn in range(turns):
            bare.append(bare_paho(broker.port, messages))
            ours.append(drain(broker.port, folder / f"outbox-{turn}", reads))
        station.kill()
        broker.kill()
    print(
        Figure(
            "drain, outbox to receipt / bare paho QoS 1 (rate)", min(bare) / min(ours), "x", floor=0.5
        ).as_json()
    )
    print(Figure("drain", reads / min(ours), "reads/s").as_json())
    print(Figure("bare paho", reads / min(bare), "messages/s").as_json())


if __name__ == "__main__":
    main()
