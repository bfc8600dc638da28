"""The station's audit log at a million entries: appending, proofs, and what an auditor needs to check it offline."""

from __future__ import annotations

import statistics
import tempfile
import time
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.measure import Figure, arguments
from protocol.merkle.checkpoint import parse_checkpoint, sign_checkpoint
from protocol.merkle.entry import LogEntry, encode_entry
from protocol.merkle.examine import examine_log
from protocol.merkle.export import LogHeader, LogNote, parts_of, read_log, write_log
from protocol.merkle.tree import Frontier, is_consistent, is_included, leaf_hash
from protocol.seal.keys import SigningKey
from station.store import AuditRow, open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

ENTRIES = 1_000_000
TURNS = 200
PROOF_MS, CHECK_S = 10.0, 5.0
_PAGE = 10_000
NOW_US = 1_760_000_000_000_000


def entry(number: int) -> bytes:
    return encode_entry(
        LogEntry(
            utc_us=NOW_US + number, who="clerk", what="search reads", filter=f"plates=7AB{number:06} limit=50",
            count=number % 50, purpose="stolen vehicle", case_number=f"26-{number % 1000:03}",
        )
    )  # fmt: skip


def fill(store: Any, count: int) -> bytes:
    """Entries and hashes as the station stores them, many in one transaction; return the root."""
    frontier = Frontier()
    insert = {
        "log_entries": "INSERT INTO log_entries (number, entry) VALUES (?, ?)",
        "log_nodes": "INSERT INTO log_nodes (level, place, hash) VALUES (?, ?, ?)",
    }
    for start in range(0, count, _PAGE):
        rows: dict[str, list[tuple[Any, ...]]] = {"log_entries": [], "log_nodes": []}
        for number in range(start, min(start + _PAGE, count)):
            data = entry(number)
            rows["log_entries"].append((number, data))
            made = frontier.append(leaf_hash(data))
            rows["log_nodes"] += [(level, number >> level, node) for level, node in enumerate(made)]
        with store.transaction():
            for table, statement in insert.items():
                store.db.connection.exec_driver_sql(statement, rows[table])
    return frontier.root()


def timed(turns: int, work: Any) -> list[float]:
    """Milliseconds of each turn."""
    taken = []
    for turn in range(turns):
        start_s = time.perf_counter()
        work(turn)
        taken.append((time.perf_counter() - start_s) * 1e3)
    return taken


def main() -> None:
    """Print one figure a line."""
    options = arguments(__doc__).parse_args()
    count, turns = (2_000, 5) if options.tiny else (ENTRIES, TURNS)
    key = SigningKey.generate()
    with tempfile.TemporaryDirectory() as folder:
        store: Any = open_store(Path(folder) / "station.db")
        root = fill(store, count)
        title = f"audit log of {count:,} entries"

        def prove(turn: int) -> None:
            number = turn * 7_919 % count
            proof = store.log.inclusion(number, count)
            assert is_included(leaf_hash(store.log.entry(number)), number, count, proof, root)

        def continues(turn: int) -> None:
            old = turn * 7_919 % count
            assert is_consistent(old, count, store.log.root(old), root, store.log.consistency(old, count))

        def append(turn: int) -> None:
            with store.transaction():
                store.audit(AuditRow(NOW_US, "clerk", "search reads", f"plates=7AB{turn}", 1))

        def plain(_: int) -> None:
            with store.transaction():
                store.db.driver_sql("INSERT INTO lost (unit, first, last) VALUES ('u', 1, 1)")

        found = {"inclusion proof": timed(turns, prove), "consistency proof": timed(turns, continues)}
        for name, taken in found.items():
            figure = Figure(f"{title}, {name}, median", statistics.median(taken), "ms", limit=PROOF_MS)
            print(figure.as_json(), flush=True)
        appended, bare = statistics.median(timed(turns, append)), statistics.median(timed(turns, plain))
        print(Figure(f"{title}, an entry is appended, median", appended, "ms").as_json(), flush=True)
        print(Figure(f"{title}, as a bare commit of one row", appended / bare, "times").as_json(), flush=True)
        file = BytesIO()
        header = LogHeader(station="s", utc_us=NOW_US, size=count, public_key=key.public.raw, keys=())
        write_log(file, header, rows_of(store, count, key))
        store.close()
        file.seek(0)
        start_s = time.perf_counter()
        findings = examine_log(*read_log(file))
        taken_s = time.perf_counter() - start_s
        assert findings.is_right, findings.faults
        assert findings.covered == count
        size_mb = len(file.getbuffer()) / 1e6
        limit = None if options.tiny else CHECK_S
        print(Figure(f"{title}, checked offline", taken_s, "s", limit=limit).as_json(), flush=True)
        print(Figure(f"{title}, its export", size_mb, "MB").as_json(), flush=True)


def rows_of(store: Any, count: int, key: SigningKey) -> Iterator[Any]:
    """Checkpoints at every tenth, and all entries."""
    sizes = [count * part // 10 for part in range(1, 11)]
    notes = [sign_checkpoint(key, size, store.log.root(size)) for size in sizes]
    assert all(parse_checkpoint(note).is_signed_by(key.public) for note in notes)
    yield from (LogNote(note=note.encode()) for note in notes)
    yield from parts_of(pair for pair in store.log.entries() if pair[0] < count)


if __name__ == "__main__":
    main()
