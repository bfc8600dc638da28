"""The outbox against bare SQLite: group commit, and append and drain with a million rows waiting."""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from agent.buffer import Limits, OutboxReader, Receipted, open_outbox
from bench.measure import Figure, arguments
from protocol.seal.evidence import START
from protocol.wire.registry import Priority
from tests.builders import make_encoder, make_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.buffer import Outbox
    from agent.records import Read

GROUP = 64
ROUNDS = 40
MILLION = 1_000_000
LIMITS = Limits(min_free_bytes=0, ballast_bytes=0)


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def groups(start: int) -> Iterator[list[Read]]:
    """Endless groups of reads without pictures, each read another."""
    number = start
    while True:
        yield [make_read(number + i, pictures=()) for i in range(GROUP)]
        number += GROUP


def group_commit(folder: Path, rounds: int) -> tuple[float, float]:
    """Median seconds of one group: the outbox, and bare SQLite with the same bytes and the same durability.

    Both encode the reads, which is most of the work.  The two take turns, so that a slow moment of the disk hits both.
    """
    outbox, _ = open_outbox(folder / "ours", make_encoder(), limits=LIMITS)
    bare = sqlite3.connect(folder / "bare.db", isolation_level=None)
    bare.execute("PRAGMA journal_mode = WAL")
    bare.execute("PRAGMA synchronous = FULL")
    bare.execute("CREATE TABLE records (seq INTEGER PRIMARY KEY, kind INTEGER, id BLOB, payload BLOB)")
    encoder = make_encoder()
    ours, theirs, link = [], [], START
    for turn, reads in zip(range(rounds), groups(1), strict=False):

        def insert(reads: list[Read] = reads, first: int = turn * GROUP + 1) -> None:
            nonlocal link
            rows = []
            for seq, read in enumerate(reads, first):
                encoded = encoder.record(seq, read.body, link, read.read_id)
                link = encoded.link
                rows.append((seq, 0, encoded.record_id, encoded.payload))
            bare.execute("BEGIN IMMEDIATE")
            bare.executemany("INSERT INTO records VALUES (?, ?, ?, ?)", rows)
            bare.execute("COMMIT")

        theirs.append(timed(insert))
        ours.append(timed(partial(outbox.append, reads)))
    outbox.close()
    bare.close()
    return statistics.median(ours), statistics.median(theirs)


def cost(folder: Path, waiting: int, rounds: int) -> tuple[float, float]:
    """Median seconds to append a group, and to fetch and free one, with so many rows waiting."""
    outbox, _ = open_outbox(folder, make_encoder(), limits=LIMITS)
    if waiting:
        fill(outbox, waiting)
    reader = OutboxReader(outbox.path)
    appends: list[float] = []
    for _, reads in zip(range(rounds), groups(waiting + 1), strict=False):
        appends.append(timed(partial(outbox.append, reads)))

    def drain() -> None:
        rows = reader.records_of(Priority.NORMAL, after_seq=0, limit=GROUP)
        outbox.apply([Receipted(tuple((row.seq, row.record_id) for row in rows))])

    drains = [timed(drain) for _ in range(rounds)]
    reader.close()
    outbox.close()
    return statistics.median(appends), statistics.median(drains)


def fill(outbox: Outbox, waiting: int) -> None:
    """Put rows in by the thousand, as SQL: appending them one by one would take minutes and prove nothing."""
    outbox.append([make_read(1, pictures=())])
    con = outbox._con  # noqa: SLF001 - a bench may fill the table as it likes
    con.execute("BEGIN")
    con.execute(
        "WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
        " INSERT INTO records (seq, schema, id, payload, priority, kept)"
        " SELECT i, schema, randomblob(16), payload, priority, kept FROM n, records WHERE seq = 1",
        (waiting,),
    )
    con.execute("UPDATE meta SET next_seq = ?", (waiting + 1,))
    con.execute("UPDATE types SET waiting = ?, appended = ?", (waiting, waiting))
    con.execute("COMMIT")
    con.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def main() -> None:
    """Print the figures as JSON lines."""
    tiny = arguments(__doc__).parse_args().tiny
    rounds, many = (3, 1_000) if tiny else (ROUNDS, MILLION)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ours, theirs = group_commit(folder, rounds)
        print(Figure("group commit, outbox / bare SQLite (rate)", theirs / ours, "x", floor=0.6).as_json())
        print(Figure("group commit of 64 reads", ours * 1e3, "ms").as_json())
        empty_append, empty_drain = cost(folder / "empty", 0, rounds)
        full_append, full_drain = cost(folder / "full", many, rounds)
        print(Figure("append, a million waiting / empty", full_append / empty_append, "x", limit=1.5).as_json())
        print(Figure("drain, a million waiting / empty", full_drain / empty_drain, "x", limit=1.5).as_json())


if __name__ == "__main__":
    main()
