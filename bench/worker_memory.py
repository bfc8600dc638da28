"""How much a worker on PostgreSQL grows: its memory after a tenth of the reads, and after all of them.

Not part of `make bench`: a million reads take ten minutes.  ``python -m bench.worker_memory --reads 1000000``.
"""

from __future__ import annotations

import argparse
import itertools
import os
from pathlib import Path

from bench.measure import Figure
from protocol.wire.topics import Channel, build
from station.ingest import Ingest
from station.store import open_store
from tests.builders import make_read_record
from tests.postgres import Postgres

GROUP = 256
UNITS = 50
NOW_US = 1_790_000_000_000_000


def resident_mib() -> float:
    """Of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def main() -> None:
    """Print the figures as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=int, default=1_000_000)
    reads = parser.parse_args().reads
    server = Postgres(settings="fsync = off").create().start()
    try:
        server.execute("CREATE DATABASE lpr")
        store = open_store(server.address("lpr"))
        ingest = Ingest(store, "bench", lambda: NOW_US)
        numbers = iter(range(reads))
        early_mib = 0.0
        while group := list(itertools.islice(numbers, GROUP)):
            for number in group:
                unit = f"unit-{number % UNITS}"
                record = make_read_record(number, seq=number // UNITS + 1, unit=unit, pictures=())
                ingest.take(build(unit, Channel.READ), record.payload)
            ingest.commit()
            if not early_mib and group[-1] >= reads // 10:
                early_mib = resident_mib()
        assert ingest.counts.reads == reads, ingest.last_failure
        print(Figure(f"memory of a worker after {reads // 10:,} reads", early_mib, "MiB").as_json())
        print(Figure(f"memory of a worker after {reads:,} reads", resident_mib(), "MiB").as_json())
        store.close()
    finally:
        server.remove()


if __name__ == "__main__":
    main()
