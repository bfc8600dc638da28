"""Every program of ``bench/`` runs to its end: at its smallest size, on photographs made from a drawn drive."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import textwrap

import pytest

from bench.__main__ import BENCHES
from bench.measure import Figure
from tests.conftest import ROOT

pytestmark = [pytest.mark.integration, pytest.mark.slow]

IS_PROGRAM = 'if __name__ == "__main__":'
PROGRAMS = [path.stem for path in sorted((ROOT / "bench").glob("*.py")) if IS_PROGRAM in path.read_text()]
FRAMES = range(20, 26)
DRIVE = ROOT / "tests" / "drives" / "city-day"


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The folder of the measuring photographs in small; its tools take the same arguments and keep to the format."""
    root = tmp_path_factory.mktemp("shared")
    dev, detect, tools = root / "data" / "dev", root / "data" / "detect", root / "tools"
    for folder in (dev / "us", dev / "crops", detect / "ride", tools):
        folder.mkdir(parents=True)
    rows = list(csv.DictReader((DRIVE / "truth.csv").read_text().splitlines()))
    labels, ride = [], ["image,video,t_s,x0,y0,x1,y1,text"]
    for seq in FRAMES:
        photo = DRIVE / "frames" / f"{seq:04d}.jpg"
        for folder in (dev / "us", dev / "crops", detect / "ride"):
            shutil.copy(photo, folder)
        here = [row for row in rows if int(row["seq"]) == seq]
        boxes = [[float(row[edge]) for edge in ("x0", "y0", "x1", "y1")] for row in here]
        plates = [{"box": box, "text": row["plate"]} for box, row in zip(boxes, here, strict=True)]
        labels.append(json.dumps({"image": f"us/{photo.name}", "region": "US", "plates": plates}))
        ride += [
            ",".join(map(str, (f"detect/ride/{photo.name}", "ride", seq / 5, *box, row["plate"])))
            for box, row in zip(boxes, here, strict=True)
        ]
    (dev / "labels.jsonl").write_text("\n".join(labels) + "\n")
    # The command looks into the folder of crops, too, when it reads the whole of `dev`.
    (dev / "crops.csv").write_text("image,text,state\n")
    (detect / "rl_sequences.csv").write_text("\n".join(ride) + "\n")
    (tools / "degrade.py").write_text(
        textwrap.dedent("""
            import shutil, sys
            for name in ("half", "motion", "night"):
                shutil.copytree(sys.argv[1], f"{sys.argv[2]}/{name}", ignore=shutil.ignore_patterns("crops"))
        """)
    )
    (tools / "score.py").write_text(
        textwrap.dedent("""
            import json, sys
            lines = [json.loads(line) for line in open(sys.argv[2])]
            names = ("read", "det_recall", "false_img", "state", "ms_med")
            print(json.dumps(dict.fromkeys(names, len(lines))))
        """)
    )
    return root


def ran(module, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def figures(lines):
    return [Figure(**json.loads(line)) for line in lines.splitlines()]


def test_make_bench_runs_every_bench():
    assert {f"bench.{name}" for name in PROGRAMS if name.startswith("bench_")} == set(BENCHES)


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_bench_program_completes(name, shared, tmp_path):
    """A program unknown to this test is run without arguments: it must work, or be listed here."""
    kept = tmp_path / "kept.json"
    reader = next((ROOT / "models" / "ocr").glob("*/bundle.toml")).parent
    arguments = {
        "index_reads": ("--reads", "2000"),
        "worker_memory": ("--reads", "1000"),
        "__main__": ("--tiny", "--out", kept, "bench.bench_seal"),
        "accuracy": ("--shared", shared, "--out", kept),
        "boards": ("--boards", "6"),
        "compare_readers": ("--shared", shared, reader),
        "fused": ("--shared", shared, "--photos", 1),
        "hotlist_card": ("--shared", shared, "--listed", 100, "--lists", 2),
        "motion": ("--tracks", 40),
        "rides": ("--shared", shared),
    }
    said = ran(f"bench.{name}", *arguments.get(name, ("--tiny",) if name.startswith("bench_") else ()))
    if name.startswith("bench_"):
        assert figures(said)
    elif name == "__main__":
        assert figures(kept.read_text())
    elif name == "accuracy":
        assert set(json.loads(kept.read_text())["figures"].values()) == {len(FRAMES), 2 * len(FRAMES)}
    else:
        assert said


def test_failing_bench_writes_no_figures_and_the_others_run(tmp_path):
    kept = tmp_path / "kept.jsonl"
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--tiny", "--out", kept, "bench.none_such", "bench.bench_seal"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "failed: bench.none_such" in done.stderr
    assert "open and check a read" in done.stdout
    assert not kept.exists()
