"""Score the shipped bundles on the measuring photographs and print the table people compare readers by.

usage: python -m bench.accuracy [--shared ../shared] [--models models] [--out bench/reference/accuracy.json] [--card]

Runs ``patrol-lpr read --jsonl`` (the product, not a copy of it) over ``data/dev`` and over degraded copies made by
``tools/degrade.py``, and scores each with ``tools/score.py``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from agent.recognise import load_active
from agent.recognise.models_folder import default_models_folder
from bench import breakdown, fused, rides


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table: which photos, which figure, what others reach and what we must."""

    title: str
    run: str
    region: str | None
    figure: str
    fast_alpr: float | None
    openalpr: float | None
    must: float | None
    aim: float | None


LINES = (
    Line("US scenes, read", "dev", "US", "read", 86.2, 53.7, 92, 95),
    Line("US scenes, det_recall", "dev", "US", "det_recall", 100, 91.9, 99.2, 100),
    Line("EU scenes, read", "dev", "EU", "read", 100, 86.0, 98.2, 100),
    Line("BR scenes, read", "dev", "BR", "read", None, None, 97, 99),
    Line("NA photos (rhit), read", "dev", "NA", "read", 90.4, None, 90, 93),
    Line("US crops, read", "crops", None, "read", 88.6, None, 95, 96.5),
    Line("false_img, US scenes", "dev", "US", "false_img", 0.16, 0.46, 0.05, 0.02),
    Line("US scenes, half the detail, read", "half", "US", "read", 76.4, None, 83, 87),
    Line("US scenes, 7 px motion blur, read", "motion", "US", "read", 23.6, None, 65, 75),
    Line("US scenes, night and noise, read", "night", "US", "read", 62.6, None, 76, 85),
    Line("EU scenes, 7 px motion blur, read", "motion", "EU", "read", 29.8, None, 80, 86),
    Line("EU scenes, night and noise, read", "night", "EU", "read", 75.4, None, 84, 92),
    Line("US state, of plates read right (crops)", "crops", None, "state", None, None, 92, 95),
    Line("ms a picture, US scenes, median", "dev", "US", "ms_med", 45, 250, None, None),
)


DEGRADED = ("half", "motion", "night")
"""What `degrade.py` makes of the photographs, a folder each."""


def degrade(shared: Path, work: Path) -> None:
    """Make the degraded copies of the measuring photographs in ``work``."""
    tool, dev = shared / "tools" / "degrade.py", shared / "data" / "dev"
    subprocess.run([sys.executable, str(tool), str(dev), str(work)], check=True)


def read_folder(folder: Path, out: Path, models: Path, *, crops: bool) -> Path:
    """Run the product's own command over a folder; returns the results file."""
    command = [sys.executable, "-m", "cli", "read", "--models", str(models), "--jsonl", str(folder)]
    if crops:
        command.append("--crops")
    with out.open("w") as file:
        subprocess.run(command, stdout=file, check=True)
    return out


def score(tool: Path, labels: Path, results: Path, region: str | None) -> dict[str, float | None]:
    """Figures of one run by the shared scoring tool."""
    command = [sys.executable, str(tool), str(labels), str(results), "--json"]
    if region:
        command += ["--region", region]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float | None] = json.loads(done.stdout)
    return figures


def measure(shared: Path, work: Path, models: Path) -> tuple[dict[str, float | None], list[breakdown.Plate]]:
    """All figures of the table, by title, and what became of each labelled plate."""
    dev = shared / "data" / "dev"
    degrade(shared, work)
    runs = {
        "dev": read_folder(dev, work / "dev.jsonl", models, crops=False),
        "crops": read_folder(dev / "crops", work / "crops.jsonl", models, crops=True),
    }
    for name in DEGRADED:
        runs[name] = read_folder(work / name, work / f"{name}.jsonl", models, crops=False)
    figures = {}
    for line in LINES:
        labels = dev / ("crops.csv" if line.run == "crops" else "labels.jsonl")
        scored = score(shared / "tools" / "score.py", labels, runs[line.run], line.region)
        figures[line.title] = scored[line.figure]
    names = {"dev": "as taken", "half": "half detail", "motion": "motion 7 px", "night": "night"}
    labels = dev / "labels.jsonl"
    plates = [p for run, light in names.items() for p in breakdown.plates_of(labels, runs[run], light)]
    return figures, plates


def show(figures: dict[str, float | None], size_mb: float) -> None:
    """Print the table; what misses its line is red."""
    table = Table(title="Reads on the measuring photographs (single frames)")
    for column in ("", "fast-alpr", "OpenALPR", "must reach", "aims at", "patrol-lpr"):
        table.add_column(column, justify="left" if not column else "right")
    for line in LINES:
        value = figures[line.title]
        lower_is_better = line.figure == "false_img"
        missed = value is None or (
            line.must is not None and (value > line.must if lower_is_better else value < line.must)
        )
        others = [line.fast_alpr, line.openalpr, line.must, line.aim]
        cells = ["-" if v is None else f"{v:g}" for v in others]
        table.add_row(line.title, *cells, f"[{'red' if missed else 'green'}]{value}[/]")
    table.add_row("size of both models, MB", "5.8", "-", "4", "", f"{size_mb:.2f}")
    Console().print(table)


def main() -> None:
    """Measure, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shared", type=Path, default=Path("../shared"))
    parser.add_argument("--models", type=Path, default=default_models_folder(), help="folder with active.toml")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--card", action="store_true", help="renew the section and the curve in the reader's card")
    arguments = parser.parse_args()
    bundles = load_active(arguments.models)
    size_mb = sum(b.contract.bytes for b in bundles) / 1e6
    with tempfile.TemporaryDirectory() as work:
        figures, plates = measure(arguments.shared, Path(work), arguments.models)
    show(figures, size_mb)
    models = [b.model_id for b in bundles]
    if arguments.card:
        lights = dict.fromkeys(plate.light for plate in plates)
        curves = {li: breakdown.reliability([p for p in plates if p.light == li])[0] for li in lights}
        breakdown.draw(curves, bundles[1].folder / "reliability.png")
        lines = fused.markdown(fused.measure(arguments.shared, arguments.models))
        lines += rides.markdown(rides.measure(arguments.shared, arguments.models))
        breakdown.put_into(bundles[1].folder / "CARD.md", breakdown.section(figures, plates, models, lines))
    if arguments.out:
        kept = {"models": models, "size_mb": round(size_mb, 3), "figures": figures, **breakdown.as_json(plates)}
        arguments.out.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
