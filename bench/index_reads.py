"""How long a station's SQLite file takes to index reads that it stored before it knew their type, as after a migration.

Not part of `make bench`: a million reads take a quarter of an hour.  ``python -m bench.index_reads --reads 1000000``.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench.measure import Figure
from protocol.wire.registry import Registry
from station.store import NewRecord, open_store
from tests.builders import make_read_record

GROUP = 1_000
NOW_US = 1_790_000_000_000_000


def main() -> None:
    """Print the figures as JSON lines."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--reads", type=int, default=1_000_000)
    reads = parser.parse_args().reads
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "station.db"
        store = open_store(path, registry=Registry(()))
        numbers = iter(range(1, reads + 1))
        while group := list(itertools.islice(numbers, GROUP)):
            records = [replace(make_read_record(n, seq=n, pictures=()), body=None) for n in group]
            with store.transaction():
                store.add_records([NewRecord(record) for record in records], NOW_US)
        store.close()
        start_s, start_cpu_s = time.perf_counter(), time.process_time()
        open_store(path, must_exist=True).close()
        wall_s, cpu_s = time.perf_counter() - start_s, time.process_time() - start_cpu_s
    print(Figure(f"indexing {reads:,} stored reads, SQLite", wall_s, "s").as_json())
    print(Figure("indexing stored reads, SQLite, CPU", cpu_s / reads * 1e6, "us/read").as_json())


if __name__ == "__main__":
    main()
