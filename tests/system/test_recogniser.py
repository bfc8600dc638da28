"""The product's own recogniser on aarch64 reads what it reads here, on both runtimes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = pytest.mark.integration
RUNTIMES = ("tflite", "litert")
SURE = 0.7
MIN_PLATES = 20
MIN_EQUAL = {"tflite": 0.92, "litert": 0.98}
PROGRAM = "/opt/patrol-lpr/bin/patrol-lpr"


def read(command: list[str], folder: str, drive: str, runtime: str) -> list[list[tuple[str, float]]]:
    """Text and confidence of every plate of every picture that has a text."""
    done = subprocess.run(
        [*command, "read", "--jsonl", "--runtime", runtime, f"{folder}/{drive}/frames"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line)["plates"] for line in done.stdout.splitlines()]
    return [[(plate["text"], plate["confidence"]) for plate in plates if plate["text"]] for plates in rows]


def sure(frames: list[list[tuple[str, float]]]) -> set[str]:
    """Plates that two pictures or more show beyond doubt: what a drive is about."""
    seen = Counter(text for plates in frames for text, confidence in plates if confidence >= SURE)
    return {text for text, times in seen.items() if times > 1}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_recogniser_reads_the_same_plates_on_aarch64(installed, repo, steps, runtime):
    """The runtimes round differently on the two processors, by one step of 256: texts at the edge come and go."""
    drives = sorted(path.name for path in (repo / "tests/drives").iterdir() if path.is_dir())
    with steps.step(f"recogniser on aarch64, {runtime}"), ThreadPoolExecutor(2) as pool:
        ours = [
            read([sys.executable, "-m", "cli"], str(repo / "tests/drives"), drive, runtime) for drive in drives
        ]
        there = ["chroot", str(installed), PROGRAM]
        theirs = list(pool.map(lambda drive: read(there, "/drives", drive, runtime), drives))
    frames = [pair for a, b in zip(ours, theirs, strict=True) for pair in zip(a, b, strict=True)]
    texts = [(Counter(text for text, _ in a), Counter(text for text, _ in b)) for a, b in frames]
    either, both = (
        sum(sum(n.values()) for n in counts) for counts in ([a | b for a, b in texts], [a & b for a, b in texts])
    )
    same = sum(a == b for a, b in texts)
    steps.note(f"{runtime}: {same} of {len(frames)} frames read the same, {both} of {either} texts")
    assert [sure(frames) for frames in ours] == [sure(frames) for frames in theirs]
    assert sum(len(sure(frames)) for frames in ours) >= MIN_PLATES
    assert both / either >= MIN_EQUAL[runtime]
