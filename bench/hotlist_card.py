"""False alarms and missed listed plates of the shipped reader against 1,000,000 random plates plus the true ones.

usage: python -m bench.hotlist_card [--shared ../shared] [--reads FILE] [--behaviour station/lists/behaviour.json]

Reads ``data/dev`` and its degraded copies with the shipped reader.  The lists hold random plausible
plates, and the true texts of the photographs as entries, which count for the misses and not for the false alarms.
``--reads`` keeps the reads for another run; ``--behaviour`` writes what the alarm budget is computed with.
"""

from __future__ import annotations

import argparse
import json
import pickle
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from agent.hotlist.lattice import likely_keys, own_key
from agent.hotlist.records import RegionMatch
from agent.hotlist.regions import compare_regions
from agent.recognise import load_active
from agent.recognise.models_folder import default_models_folder
from bench.hotlist_reads import ReadPlate, read_all
from protocol.hotlist.packing import BASE, CODES, normalise, pack, unpack_codes
from protocol.plate_formats import FORMATS
from station.lists.space import build_space

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

LISTED = 1_000_000
THRESHOLDS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
SHOWN = (0.02, 0.05, 0.1, 0.2)
_SEED = 7
_LETTER = CODES["A"]
_MIN_PROBABILITY = 0.001


def random_plates(count: int, seed: int) -> NDArray[np.uint64]:
    """Return sorted, distinct packed texts of plausible US plates."""
    space, found = build_space(FORMATS, {}), np.zeros(0, np.uint64)
    while len(found) < count:
        codes = space.draw(count + count // 4, seed)
        keys = np.zeros(len(codes), np.uint64)
        for place in range(codes.shape[1]):
            column = codes[:, place].astype(np.uint64)
            keys = np.where(column > 0, keys * np.uint64(BASE) + column, keys)
        found, seed = np.union1d(found, keys), seed + 1
    return np.sort(np.random.default_rng(seed).choice(found, count, replace=False))


def behaviour(reads: Iterable[ReadPlate], model: str) -> dict[str, object]:
    """Return what the alarm budget needs to know of the reader."""
    read = [r for r in reads if r.plate is not None and own_key(r.plate)]
    labelled = [r for r in read if r.text]
    wrong = sum(own_key(r.plate) != pack(normalise(r.text)) for r in labelled if r.plate)
    states = [r for r in read if r.region and r.plate]
    found = [compare_regions(r.plate.region, r.region, r.plate.region_confidence) for r in states if r.plate]
    unknown, differ = found.count(RegionMatch.UNKNOWN), found.count(RegionMatch.DIFFERENT)
    counts = np.zeros((len(THRESHOLDS), 2, BASE))
    all_kinds, single, characters = np.zeros(len(THRESHOLDS)), np.zeros(len(THRESHOLDS)), np.zeros(2)
    for r in read:
        assert r.plate is not None
        own = unpack_codes(np.array([own_key(r.plate)], np.uint64))[0]
        kinds = (own >= _LETTER).astype(int)
        length = int(np.count_nonzero(own))
        characters += np.bincount(kinds[:length], minlength=2)
        for key, probability in likely_keys(r.plate, min_probability=_MIN_PROBABILITY):
            if key == own_key(r.plate):
                continue
            reached = np.array(THRESHOLDS) <= probability
            all_kinds += reached
            other = unpack_codes(np.array([key], np.uint64))[0]
            places = np.flatnonzero(own != other)
            if len(places) == 1 and np.count_nonzero(other) == length:
                single += reached
                counts[reached, kinds[places[0]], other[places[0]]] += 1
    rates = counts / np.maximum(characters, 1)[None, :, None]
    return {
        "model": model, "reads": len(read), "misread": round(wrong / max(len(labelled), 1), 4),
        "region_unknown": round(unknown / max(len(states), 1), 4),
        "region_wrong": round(differ / max(len(states), 1), 4),
        "thresholds": THRESHOLDS, "others": [round(float(v), 3) for v in all_kinds / np.maximum(single, 1)],
        "confusions": [[[round(float(v), 7) for v in kind] for kind in t] for t in rates],
    }  # fmt: skip


def rows(
    reads: list[ReadPlate], lists: list[NDArray[np.uint64]]
) -> Iterator[tuple[str, int, int, list[float], list[float]]]:
    """For each light: reads, labelled plates, false alarms per 100,000 reads and missed listed plates in percent.

    Figures: exact, then exact or approximate at each threshold; false alarms are means over the lists.
    """
    by_light = defaultdict(list)
    for r in reads:
        by_light[r.light].append(r)
    by_light["all"] = reads
    for light, some in by_light.items():
        alarms, missed = np.zeros(1 + len(SHOWN)), np.zeros(1 + len(SHOWN))
        n_reads = n_labelled = 0
        for r in some:
            texts = [] if r.plate is None else likely_keys(r.plate, min_probability=_MIN_PROBABILITY)
            own = 0 if r.plate is None else own_key(r.plate)
            true = pack(normalise(r.text)) if r.text else None
            keys = np.array([key for key, _ in texts], np.uint64)
            probabilities = np.array([1.0 if key == own else p for key, p in texts])
            n_reads += bool(len(keys))
            if len(keys):
                for listed in lists:
                    hit = _is_in(keys, listed) & (keys != np.uint64(true or 0))
                    alarms += [
                        bool(np.any(hit & (keys == np.uint64(own)))),
                        *(bool(np.any(hit & (probabilities >= t))) for t in SHOWN),
                    ]
            if true:
                n_labelled += 1
                found = dict(zip(keys.tolist(), probabilities.tolist(), strict=True)).get(true, 0.0)
                missed += [own != true, *(found < t for t in SHOWN)]
        yield (
            light, n_reads, n_labelled, (alarms / max(n_reads * len(lists), 1) * 1e5).tolist(),
            (missed / max(n_labelled, 1) * 100).tolist(),
        )  # fmt: skip


def _is_in(keys: NDArray[np.uint64], listed: NDArray[np.uint64]) -> NDArray[np.bool_]:
    places = np.minimum(np.searchsorted(listed, keys), len(listed) - 1)
    found: NDArray[np.bool_] = listed[places] == keys
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--reads", type=Path)
    parser.add_argument("--behaviour", type=Path)
    parser.add_argument("--listed", type=int, default=LISTED)
    parser.add_argument("--lists", type=int, default=20, help="random lists over which false alarms are averaged")
    arguments = parser.parse_args()
    if arguments.reads and arguments.reads.exists():
        reads = pickle.loads(arguments.reads.read_bytes())  # noqa: S301 - the file of an earlier run
    else:
        reads = read_all(arguments.shared)
        if arguments.reads:
            arguments.reads.write_bytes(pickle.dumps(reads))
    model = load_active(default_models_folder())[1].model_id
    if arguments.behaviour:
        arguments.behaviour.write_text(json.dumps(behaviour(reads, model)) + "\n")
    names = ["exact", *(f"{t:.0%}" for t in SHOWN)]
    table = Table(title=f"{model} against {arguments.listed:,} random plates and the true ones")
    for name in (
        "photographs",
        "reads",
        "labelled",
        *(f"false {n}" for n in names),
        *(f"missed {n}" for n in names),
    ):
        table.add_column(name, justify="left" if name == "photographs" else "right")
    lists = [random_plates(arguments.listed, _SEED + 100 * n) for n in range(arguments.lists)]
    for light, n_reads, n_labelled, alarms, missed in rows(reads, lists):
        table.add_row(
            light, str(n_reads), str(n_labelled), *(f"{v:.0f}" for v in alarms), *(f"{v:.1f}" for v in missed)
        )
    console = Console(width=180)
    console.print(table)
    console.print("false: false alarms per 100,000 reads; missed: listed plates without a match, in percent")


if __name__ == "__main__":
    main()
