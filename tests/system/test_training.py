"""The commands of `models/training/README.md` for a fleet's own plates, at their smallest size.

The environment is the recipe's own, made as the README says and kept for later runs; PATROL_TRAINING_PYTHON names
another interpreter that has it already.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from tests.chroot import cache
from tests.conftest import ROOT

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration

README = (ROOT / "models" / "training" / "README.md").read_text(encoding="utf-8")
DRIVE = ROOT / "tests" / "drives" / "city-day"
TINY = "--steps 2 --synthetic 8 --boards 24 --swapped 0 --layout-steps 2 --threads 1"
CROPS, PX = 80, (160, 80)
LABELS = ("image", "text", "label_confidence", "state", "set", "plate_box_in_crop")


def own_commands() -> list[str]:
    section = README.split("## For a fleet's own plates")[1].split("\n## ")[0]
    block = re.search(r"```\n(.*?)```", section, re.DOTALL)
    assert block
    return block[1].replace("\\\n", " ").strip().splitlines()


@pytest.fixture(scope="module")
def python():
    """An interpreter with everything the recipes need."""
    named = os.environ.get("PATROL_TRAINING_PYTHON")
    if named:
        return named
    folder = cache() / "training-env"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        requirements = ROOT / "models" / "training" / "requirements.txt"
        subprocess.run([folder / "bin" / "pip", "install", "--quiet", "-r", requirements, "-e", ROOT], check=True)
        (folder / "complete").touch()
    return str(folder / "bin" / "python")


def plate_picture(text: str) -> np.ndarray:
    picture = np.full((PX[1], PX[0], 3), 235, np.uint8)
    cv2.putText(picture, text, (8, 54), cv2.FONT_HERSHEY_DUPLEX, 1.0, (40, 20, 20), 2)
    return picture


def write_crops(folder: Path, columns: tuple[str, ...], label_set: str) -> None:
    """Crops of drawn serials with their table."""
    (folder / "images").mkdir(parents=True)
    rng = np.random.default_rng(len(label_set))
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns)
        table.writeheader()
        for number in range(CROPS):
            text = f"{rng.integers(1, 10)}{''.join(rng.choice(list('ABCDEFGHJK'), 3))}{rng.integers(100, 999)}"
            image = f"images/{number}.png"
            cv2.imwrite(str(folder / image), plate_picture(text))
            row = {"image": image, "text": text, "state": "CALIFORNIA", "set": label_set}
            table.writerow({name: row.get(name, "") for name in columns})


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The folder of the project's data in small: no real plate in it."""
    root = tmp_path_factory.mktemp("data") / "data"
    write_crops(root / "ocr", LABELS, "us_state")
    (root / "dev" / "crops").mkdir(parents=True)
    cv2.imwrite(str(root / "dev" / "crops" / "0.png"), plate_picture("7ABC123"))
    (root / "dev" / "crops.csv").write_text("image,text,state\ncrops/0.png,7ABC123,CA\n")
    truth = list(csv.DictReader((DRIVE / "truth.csv").read_text().splitlines()))
    here = next(row for row in truth if row["seq"] == "25")
    box = [float(here[side]) for side in ("x0", "y0", "x1", "y1")]
    rows = []
    for region in ("US", "EU", "BR", "NA", "OTHER"):
        (root / "dev" / region.lower()).mkdir()
        picture = root / "dev" / region.lower() / "0025.jpg"
        picture.write_bytes((DRIVE / "frames" / "0025.jpg").read_bytes())
        plates = [{"box": box, "text": here["plate"]}]
        image = f"{region.lower()}/{picture.name}"
        rows.append(json.dumps({"image": image, "region": region, "w": 1280, "h": 720, "plates": plates}))
    (root / "dev" / "labels.jsonl").write_text("\n".join(rows) + "\n")
    tools = root.parent / "tools"
    tools.mkdir()
    (tools / "degrade.py").write_text("")
    return root


def ran(python: str, command: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "python"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run(
        [python, *arguments], cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.mark.timeout(2400)
def test_reader_trains_on_with_a_fleets_own_crops(python, data, tmp_path):
    """From the float weights of a bundle to a bundle of the fleet's own, and both compared."""
    first = f"python -m models.training.ocr --data {data} --out {tmp_path / 'first'} --id plate-ocr-first {TINY}"
    ran(python, first)
    bundle = tmp_path / "first" / "bundle" / "plate-ocr-first"
    with np.load(bundle / "weights.npz") as weights:
        assert {weights[name].dtype.name for name in weights.files} <= {"float16", "float32", "int64"}
    write_crops(tmp_path / "own", ("image", "text"), "own")
    train, compare = own_commands()
    # First the folder of the README's own files: the others lie in /tmp, too.
    places = {
        "/tmp/": f"{tmp_path}/",  # noqa: S108 - what the README says
        "../shared/data": str(data),
        "models/ocr/plate-ocr-r4": str(bundle),
    }
    for said, here in places.items():
        train, compare = train.replace(said, here), compare.replace(said, here)
    assert "training: machine, own" in ran(python, f"{train} {TINY}")
    assert (tmp_path / "run-own" / "bundle" / "plate-ocr-own" / "weights.npz").exists()
    said = ran(python, f"{compare} --shared {data.parent}")
    assert "plate-ocr-first" in said
    assert "plate-ocr-own" in said
