"""Hot lists of 5,000,000 entries: import, look-ups beside SQLite and marisa-trie, the whole match, a delta, memory."""

from __future__ import annotations

import csv
import os
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import marisa_trie
import numpy as np

from agent.hotlist.lattice import likely_keys
from agent.hotlist.store import ListsInForce, Terms
from agent.records import CharRead, PlateText
from bench.measure import Figure, arguments, cpu_ms
from protocol.hotlist.packing import SYMBOLS, unpack
from protocol.plate_formats import FORMATS
from protocol.seal.keys import SigningKey, StationKey
from station.lists.behaviour import load_behaviour
from station.lists.budget import Budget
from station.lists.draft import ListFile
from station.lists.importer import Importer
from station.lists.plan import Plan
from station.lists.report import Report
from station.lists.signing import Signing, sign_delta, sign_full
from station.lists.space import build_space

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

ENTRIES, TINY = 5_000_000, 20_000
PATTERNS = 1_000
IMPORT_S, IMPORT_MIB, UNIT_MIB, EXACT_US, MATCH_MS, DELTA_S = 30.0, 400.0, 40.0, 5.0, 1.0, 1.0
_HEADER = [
    "LIC",
    "LIS",
    "LIY",
    "MKE",
    "VMA",
    "VMO",
    "VST",
    "VCO",
    "VYR",
    "NIC",
    "ORI",
    "OCA",
    "EXPIRES",
    "VIN",
    "MIS",
]
_MAKES, _COLOURS = ("TOYT", "FORD", "CHEV", "HOND", "NISS", "JEEP"), ("BLU", "BLK", "WHI", "RED", "SIL", "GRY")
_MIB = 2**20
_PLAN = {"list": {"id": "bench", "name": "Bench", "owner": "Bench", "agencies": ["*"]}}
_ROUNDS = 400


def main() -> None:
    """Print the figures; the parts run in processes of their own, for their memory."""
    parser = arguments(__doc__)
    parser.add_argument("--part")
    parser.add_argument("--work", type=Path)
    options = parser.parse_args()
    entries = TINY if options.tiny else ENTRIES
    if options.part:
        _PARTS[options.part](options.work, entries)
        return
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as work:
        for part in _PARTS:
            command = [sys.executable, "-m", "bench.bench_hotlist", "--part", part, "--work", work]
            subprocess.run([*command, *(["--tiny"] if options.tiny else [])], check=True)


def _write(work: Path, entries: int) -> None:
    """Two lists as CSV with 15 columns: the second has 1 % of other entries."""
    space = build_space(FORMATS, {})
    states = [region[3:] for region in space.regions]
    with (work / "1.csv").open("w", newline="") as first, (work / "2.csv").open("w", newline="") as second:
        writers = [csv.writer(first), csv.writer(second)]
        for writer in writers:
            writer.writerow(_HEADER)
        for start in range(0, entries, 100_000):
            count = min(100_000, entries - start)
            codes, others = space.draw(count, start + 1), space.draw(count // 100, start + 2)
            rows = [_row(states, start + n, code) for n, code in enumerate(codes.tolist())]
            writers[0].writerows(rows)
            rows[: len(others)] = [
                _row(states, entries + start + n, code) for n, code in enumerate(others.tolist())
            ]
            writers[1].writerows(rows)
        for n, code in enumerate(space.draw(PATTERNS, 99).tolist()):
            text = "".join(SYMBOLS[c - 1] for c in code if c)
            row = [f"{text[:3]}?{text[4:]}" if n % 2 else f"{text[:4]}*", *_row(states, 2 * entries + n, code)[1:]]
            for writer in writers:
                writer.writerow(row)


def _row(states: Sequence[str], n: int, codes: Sequence[int]) -> list[str]:
    plate = "".join(SYMBOLS[code - 1] for code in codes if code)
    return [
        plate, states[n % len(states)], "2026", "EV", _MAKES[n % 6], "CAM", "4D", _COLOURS[n * 7 % 6],
        str(2000 + n % 25),
        f"V{n:09d}", f"CA0{n % 5000:06d}", f"26-{n:07d}", "20301231", f"1HGCM82633A{n % 999_999:06d}",
        "CONFIRM WITH ORI BEFORE ACTING",
    ]  # fmt: skip


def _import(work: Path, entries: int) -> None:
    """Import, in a process of its own."""
    spent = time.process_time()
    _import_one(work / "1.csv", work / "1.draft")
    spent = time.process_time() - spent
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    limit = {"limit": IMPORT_S} if entries == ENTRIES else {}
    print(Figure("hot list: import and pack 5 M rows, CPU", spent, "s", **limit).as_json())
    print(Figure("hot list: peak memory of the import", peak_mib, "MiB", limit=IMPORT_MIB).as_json())


def _import_one(source: Path, target: Path) -> None:
    budget = Budget(build_space(FORMATS, {}), load_behaviour())
    with source.open("rb") as file, target.open("wb") as out:
        Importer(Plan.model_validate(_PLAN), budget, Report()).run(file, out, as_of_utc_us=10**15, previous=None)


def _sign(work: Path, entries: int) -> None:  # noqa: ARG001 - as all parts
    """Sign the first list as a full package and the second as a delta."""
    _import_one(work / "2.csv", work / "2.draft")
    key = SigningKey.generate()
    key.save(work / "hotlist.key")
    with ListFile(work / "1.draft") as draft, (work / "1.lprhot").open("wb") as out:
        sign_full(out, draft, key, Signing(1, "bench"))
    base = ListFile(work / "1.lprhot", [key.public])
    with base, ListFile(work / "2.draft") as draft, (work / "2.lprhot").open("wb") as out:
        sign_delta(out, draft, base, key, Signing(2, "bench"))
    StationKey.generate().save(work / "unit.key")
    for name, number in (("full package", "1"), ("delta of 1 %", "2")):
        size = (work / f"{number}.lprhot").stat().st_size / _MIB
        print(Figure(f"hot list: {name}", size, "MiB").as_json())


def _unit(work: Path, entries: int) -> None:
    """Install, match, apply the delta; the memory is that of the process, its libraries included."""
    key = StationKey.load_private(work / "unit.key")
    lists = ListsInForce(
        work / "unit", Terms("pd", (SigningKey.load(work / "hotlist.key").public,)), key, lambda: None
    )
    before_mib = _anonymous_mib()
    lists.unlock(key)
    spent = time.process_time()
    lists.install(work / "1.lprhot")
    print(
        Figure(
            "hot list: full package verified, sealed, in force, CPU", time.process_time() - spent, "s"
        ).as_json()
    )
    reads = [_read(int(key), n) for n, key in enumerate(_some_keys(lists, 64))]
    matched = [lists.matcher.match(read, now_utc_us=None) for read in reads]
    assert entries < ENTRIES or all(matched)
    print(
        Figure(
            "hot list: anonymous memory of lists, unit", _anonymous_mib() - before_mib, "MiB", limit=UNIT_MIB
        ).as_json()
    )
    each = iter(range(10**9))
    match_ms = cpu_ms(lambda: lists.matcher.match(reads[next(each) % 64], now_utc_us=None), rounds=_ROUNDS)
    texts = sum(len(likely_keys(read)) for read in reads) / len(reads)
    print(Figure("hot list: texts of a read", texts, "").as_json())
    print(Figure("hot list: whole match, lattice and 1,000 patterns", match_ms, "ms", limit=MATCH_MS).as_json())
    spent = time.process_time()
    lists.install(work / "2.lprhot")
    limit = {"limit": DELTA_S} if entries == ENTRIES else {}
    print(Figure("hot list: delta of 1 % applied, CPU", time.process_time() - spent, "s", **limit).as_json())
    print(
        Figure("hot list: anonymous memory after the delta, unit", _anonymous_mib() - before_mib, "MiB").as_json()
    )


def _lookups(work: Path, entries: int) -> None:
    """Exact look-ups, and all texts of a read, beside SQLite and marisa-trie with the same plates."""
    with ListFile(work / "1.draft") as draft:
        keys = np.unique(draft.rows().keys)
    chosen = np.random.default_rng(3).choice(keys, 256)
    texts = [unpack(int(key)) for key in chosen]
    lattices = [[k for k, _ in likely_keys(_read(int(key), n))] for n, key in enumerate(chosen[:64])]
    as_texts = [[unpack(k) for k in lattice] for lattice in lattices]
    packed = [np.array(lattice, np.uint64) for lattice in lattices]

    def is_listed(wanted: NDArray[np.uint64]) -> NDArray[np.bool_]:
        places = np.searchsorted(keys, wanted)
        found: NDArray[np.bool_] = keys[np.minimum(places, len(keys) - 1)] == wanted
        return found

    singles = [np.array([key], np.uint64) for key in chosen]
    _compare("ours", lambda n: is_listed(singles[n % 256]), lambda n: is_listed(packed[n % 64]), EXACT_US)
    file = sqlite3.connect(work / "plates.db")
    file.execute("CREATE TABLE plates (plate TEXT PRIMARY KEY) WITHOUT ROWID")
    file.executemany("INSERT INTO plates VALUES (?)", ((unpack(key),) for key in keys.tolist()))
    file.commit()
    one = "SELECT 1 FROM plates WHERE plate = ?"
    marks = [",".join("?" * len(some)) for some in as_texts]
    many = [f"SELECT plate FROM plates WHERE plate IN ({some})" for some in marks]  # noqa: S608 - question marks
    _compare(
        "SQLite",
        lambda n: file.execute(one, (texts[n % 256],)).fetchone(),
        lambda n: file.execute(many[n % 64], as_texts[n % 64]).fetchall(),
    )
    file.close()
    trie = marisa_trie.Trie(unpack(key) for key in keys.tolist())
    _compare("marisa-trie", lambda n: texts[n % 256] in trie, lambda n: [t for t in as_texts[n % 64] if t in trie])
    size, trie_size = len(keys) * 8, len(trie.tobytes())
    database = (work / "plates.db").stat().st_size
    for name, found in (("ours", size), ("SQLite", database), ("marisa-trie", trie_size)):
        print(Figure(f"hot list: plates of {entries:,} entries, {name}", found / _MIB, "MiB").as_json())
    print(
        Figure(
            "hot list: peak memory with SQLite and trie built",
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "MiB",
        ).as_json()
    )


def _compare(
    name: str, exact: Callable[[int], object], lattice: Callable[[int], object], limit: float | None = None
) -> None:
    each = iter(range(10**9))
    exact_us = cpu_ms(lambda: [exact(next(each)) for _ in range(100)], rounds=_ROUNDS) * 10
    lattice_us = cpu_ms(lambda: lattice(next(each)), rounds=_ROUNDS) * 1000
    print(Figure(f"hot list: exact look-up, {name}", exact_us, "us", limit=limit).as_json())
    print(Figure(f"hot list: all texts of a read, {name}", lattice_us, "us").as_json())


def _some_keys(lists: ListsInForce, count: int) -> NDArray[np.uint64]:
    return np.random.default_rng(5).choice(lists.matcher.open_lists[0].keys, count)


def _read(key: int, seed: int) -> PlateText:
    """A doubtful read of a plate: each character has four alternatives, of which few matter."""
    rng = np.random.default_rng(seed)
    chars = []
    for symbol in unpack(key):
        others = [s for s in rng.choice(list(SYMBOLS), 4, replace=False).tolist() if s != symbol]
        chars.append(CharRead(symbol, 0.86, tuple(zip(others, (0.08, 0.03, 0.015, 0.005), strict=False))))
    return PlateText(tuple(chars), 0.5)


def _anonymous_mib() -> float:
    with Path("/proc/self/status").open() as file:
        return next(int(line.split()[1]) for line in file if line.startswith("RssAnon")) / 1024


_PARTS = {"write": _write, "import": _import, "sign": _sign, "unit": _unit, "lookups": _lookups}


if __name__ == "__main__":
    main()
