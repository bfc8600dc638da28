"""More than one figure a line: reads by plate width and light, and what confidence is worth."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

WIDTHS_PX = ((0, 60), (60, 90), (90, 140), (140, 10_000))
_SAME_PLATE_IOU = 0.3
_BINS = 10
START, END = "<!-- measured: start -->", "<!-- measured: end -->"


@dataclass(frozen=True, slots=True)
class Plate:
    """A labelled plate: how wide it is, what became of it; `confidence` is None where no text was reported."""

    region: str
    light: str
    width_px: float
    confidence: float | None
    right: bool


@dataclass(frozen=True, slots=True)
class Bin:
    """Reads whose confidence lies in one tenth of 0..1."""

    count: int
    said: float
    was: float


def plates_of(labels: Path, results: Path, light: str) -> list[Plate]:
    """Every labelled plate with a text, beside the best text reported where it lies."""
    found = {_key(row["image"]): row["plates"] for row in lines_of(results)}
    plates = []
    for row in lines_of(labels):
        told = [p for p in found.get(_key(row["image"]), []) if p["text"]]
        for plate in row["plates"]:
            if not plate.get("text"):
                continue
            here = [p for p in told if _iou(plate["box"], p["box"]) >= _SAME_PLATE_IOU]
            best = max(here, key=lambda p: p["confidence"], default=None)
            width_px = plate["box"][2] - plate["box"][0]
            right = best is not None and folded(best["text"]) == folded(plate["text"])
            plates.append(Plate(row["region"], light, width_px, best and best["confidence"], right))
    return plates


def by_width(plates: Iterable[Plate]) -> dict[str, dict[str, tuple[int, float]]]:
    """Width class to light to the number of plates and the share read right."""
    groups: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for plate in plates:
        low, high = next(w for w in WIDTHS_PX if w[0] <= plate.width_px < w[1])
        name = f"{low}-{high} px" if high < WIDTHS_PX[-1][1] else f"{low} px and more"
        groups[name][plate.light].append(plate.right)
    order = sorted(groups, key=lambda name: int(name.split("-")[0].split()[0]))
    return {n: {light: (len(r), sum(r) / len(r)) for light, r in groups[n].items()} for n in order}


def reliability(plates: Iterable[Plate]) -> tuple[list[Bin], float]:
    """Bins of the reported texts, and the expected calibration error (Guo et al. 2017)."""
    members: dict[int, list[Plate]] = defaultdict(list)
    for plate in plates:
        if plate.confidence is not None:
            members[min(_BINS - 1, int(plate.confidence * _BINS))].append(plate)
    total = sum(map(len, members.values()))
    bins, error = [], 0.0
    for number in sorted(members):
        group = members[number]
        said = sum(p.confidence or 0.0 for p in group) / len(group)
        was = sum(p.right for p in group) / len(group)
        bins.append(Bin(len(group), said, was))
        error += len(group) / total * abs(said - was)
    return bins, error


def draw(curves: Mapping[str, Sequence[Bin]], path: Path) -> None:
    """Reliability curves: confidence said against share right; the area of a point is its number of reads."""
    figure, axes = plt.subplots(figsize=(4.6, 4.4), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1)
    for name, bins in curves.items():
        (line,) = axes.plot([b.said for b in bins], [b.was for b in bins], linewidth=1, label=name)
        sizes = [max(6.0, b.count) for b in bins]
        axes.scatter([b.said for b in bins], [b.was for b in bins], s=sizes, alpha=0.5, color=line.get_color())
    axes.set(xlabel="confidence said", ylabel="share right", xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(path, dpi=90, metadata={"Software": None})
    plt.close(figure)


def section(
    figures: dict[str, float | None], plates: list[Plate], models: list[str], fused: Sequence[str] = ()
) -> str:
    """The card's section: the product as a whole, as Markdown; ``fused`` are the lines about fused reads."""
    lights = list(dict.fromkeys(p.light for p in plates))
    lines = [
        START,
        f"## The product as a whole\nBoth shipped models, `{models[0]}` and `{models[1]}`, through `patrol-lpr read`,",
        "single frames, by `make accuracy CARD=1`.  Percent but for false_img (texts a photograph that equal no label)",
        "and milliseconds.\n",
        "| line | figure |\n|---|---|",
        *(f"| {title} | {'-' if value is None else f'{value:g}'} |" for title, value in figures.items()),
        "\nRead right, in percent, by the plate's width in the photograph (all regions), with the number of plates:\n",
        "| width | " + " | ".join(lights) + " |\n|---|" + "---|" * len(lights),
    ]
    for name, row in by_width(plates).items():
        cells = (f"{100 * row[li][1]:.1f} ({row[li][0]})" if li in row else "-" for li in lights)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    errors = {light: reliability([p for p in plates if p.light == light])[1] for light in lights}
    told = ", ".join(f"{light} {error:.3f}" for light, error in errors.items())
    lines += [
        f"\nExpected calibration error of the reported texts (ten bins): {told}; all {reliability(plates)[1]:.3f}.",
        "`reliability.png` shows the curves.",
        *fused,
        END,
    ]
    return "\n".join(lines) + "\n"


def put_into(card: Path, text: str) -> None:
    """Replace the card's section, or add it before what the model must not be used for."""
    old = card.read_text(encoding="utf-8")
    if START in old:
        before, rest = old.split(START, 1)
        after = rest.split(END, 1)[1].lstrip("\n")
    else:
        before, after = old.split("## Not for", 1)
        after = f"## Not for{after}"
    card.write_text(f"{before}{text}\n{after}", encoding="utf-8")


def as_json(plates: list[Plate]) -> dict[str, Any]:
    """The same figures for programs."""
    lights = dict.fromkeys(p.light for p in plates)
    return {
        "read_by_width": by_width(plates),
        "calibration_error": {li: round(reliability([p for p in plates if p.light == li])[1], 4) for li in lights},
    }


def lines_of(path: Path) -> list[dict[str, Any]]:
    """Objects of a file with one JSON object a line."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _key(path: str) -> str:
    return "/".join(path.replace("\\", "/").split("/")[-2:])


def folded(text: str) -> str:
    """As the shared scoring tool compares: letters and digits, O as 0."""
    return "".join(c for c in text.upper() if c.isalnum()).replace("O", "0")


def _iou(a: Sequence[float], b: Sequence[float]) -> float:
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    if w <= 0 or h <= 0:
        return 0.0
    return w * h / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - w * h)
