"""What the station's ingest takes: reads in groups of 64, open and sealed, each group durable before its receipts."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from agent.sync.encoder import RecordEncoder
from bench.measure import Figure, arguments
from cli.simulate import fresh_keys
from protocol.seal import Sealer, SigningKey, StationKey
from protocol.seal.evidence import START
from protocol.wire.released import released_registry
from protocol.wire.topics import Channel, build
from station.ingest import Ingest
from station.store import open_store
from tests.builders import BOOT, make_read, make_read_record

if TYPE_CHECKING:
    from protocol.seal import Opener

READS = 6400
SEALED_READS = 1600
GROUP = 64
ROUNDS = 3
UNIT = "unit-07"


def rate(messages: list[bytes], folder: Path, opener: Opener | None) -> float:
    """Reads a second."""
    store = open_store(folder / f"station-{time.time_ns()}.db")
    ingest = Ingest(store, "bench", lambda: time.time_ns() // 1000, opener=opener)
    topic = build(UNIT, Channel.READ)
    start_s = time.perf_counter()
    for first in range(0, len(messages), GROUP):
        for payload in messages[first : first + GROUP]:
            ingest.take(topic, payload)
        ingest.commit()
    seconds = time.perf_counter() - start_s
    assert ingest.counts.reads == len(messages), ingest.counts
    store.close()
    return len(messages) / seconds


def sealed_reads(keys: Path, count: int) -> list[bytes]:
    """Reads as a unit with keys sends them, each in its envelope and chained."""
    sealer = Sealer(UNIT, SigningKey.load(keys / "unit.key"), StationKey.load_public(keys / "station.pub"))
    encoder = RecordEncoder(UNIT, "Example Sheriff", BOOT, released_registry(), sealer)
    payloads, link = [], START
    for seq in range(1, count + 1):
        read = make_read(seq)
        encoded = encoder.record(seq, read.body, link, read.read_id)
        payloads.append(encoded.payload)
        link = encoded.link
    return payloads


def main() -> None:
    """Print the figures as JSON lines."""
    tiny = arguments(__doc__).parse_args().tiny
    rounds = 1 if tiny else ROUNDS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _, opener = fresh_keys(folder / "keys", UNIT)
        opened = [make_read_record(seq, seq=seq).payload for seq in range(1, (GROUP if tiny else READS) + 1)]
        sealed = sealed_reads(folder / "keys", GROUP if tiny else SEALED_READS)
        for title, messages, keys in (("open", opened, None), ("sealed", sealed, opener)):
            best = max(rate(messages, folder, keys) for _ in range(rounds))
            print(Figure(f"ingest, {title} reads", best, "reads/s").as_json())


if __name__ == "__main__":
    main()
