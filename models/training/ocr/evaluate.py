"""Measure a bundle on the measuring set (never trained on), and choose crop margins on validation.

`python -m models.training.ocr.evaluate --bundle DIR --data ../shared/data` prints a table.
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from models.training.ocr.calibrate import equal_texts, read_all
from models.training.ocr.convert import Tflite
from models.training.ocr.data import LONGEST, Crop, cut, load_crops, read_rgb
from models.training.ocr.decode import calibration_error, edit_distance, sigmoid, softmax
from models.training.ocr.drawn import boards, held_out_boards, plates_by_yaw, two_lines
from models.training.ocr.labels import folded
from models.training.plates.fonts import DEFAULT_CACHE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_BOX_ERROR = 0.05
_DRAWS = 3
_MIN_CHARS = 3


@dataclass(frozen=True, slots=True)
class Case:
    """A named set of network inputs and what they show; `states` holds "" where unlabelled."""

    name: str
    images: NDArray[np.uint8]
    texts: list[str]
    states: list[str]


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on one case; shares of 1."""

    case: str
    count: int
    exact: float
    cer: float
    ece: float
    state_top1: float | None
    state_named: float | None
    state_named_right: float | None


def scenes(data: Path, margins: tuple[float, float], kind: str = "clean", error: float = 0.0) -> Iterator[Case]:
    """Whole photographs cut at the true boxes, one case a region; `error` moves every side by up to that share."""
    by_region: dict[str, list[tuple[NDArray[np.uint8], str]]] = {}
    rng = np.random.default_rng(3)
    with (data / "dev" / "labels.jsonl").open(encoding="utf-8") as file:
        for row in map(json.loads, file):
            plates = [p for p in row["plates"] if p.get("text")]
            if not plates:
                continue
            rgb = _degraded(read_rgb(data / "dev" / row["image"]), kind, np.random.default_rng(len(by_region)))
            for plate in plates:
                for _ in range(_DRAWS if error else 1):
                    x0, y0, x1, y1 = plate["box"]
                    move = rng.uniform(-error, error, 4) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0]
                    box = tuple(float(v) for v in np.array(plate["box"]) + move)
                    by_region.setdefault(row["region"], []).append((cut(rgb, box, *margins), plate["text"]))
    suffix = f" {kind}" + (f", boxes off by {error:.0%}" if error else "")
    for region, items in by_region.items():
        yield Case(
            f"{region} scenes{suffix}", np.stack([i for i, _ in items]), [t for _, t in items], [""] * len(items)
        )


def _degraded(rgb: NDArray[np.uint8], kind: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Harder copies of a photograph: half the detail, 7 px of motion, or a night exposure."""
    height, width = rgb.shape[:2]
    if kind == "half detail":
        small = cv2.resize(rgb, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)
    if kind == "motion 7 px":
        return cv2.filter2D(rgb, -1, np.full((1, 7), 1 / 7, np.float32))
    if kind == "night":
        dark = np.clip(rgb * 0.25 + rng.normal(0, 6, rgb.shape), 0, 255).astype(np.uint8)
        return cv2.imdecode(cv2.imencode(".jpg", dark, (cv2.IMWRITE_JPEG_QUALITY, 40))[1], cv2.IMREAD_COLOR)
    return rgb


def close_ups(data: Path) -> Case:
    """The labelled US crops, each taken whole as one plate."""
    with (data / "dev" / "crops.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    images = []
    for row in rows:
        rgb = read_rgb(data / "dev" / row["image"])
        images.append(cut(rgb, (0, 0, rgb.shape[1], rgb.shape[0]), 0.0, 0.0))
    return Case("US crops", np.stack(images), [r["text"] for r in rows], [r["state"] for r in rows])


def measured(model: Tflite, case: Case, contract: dict[str, Any]) -> tuple[Figures, list[str]]:
    """Figures and texts of one model on one case."""
    outputs = model.logits(case.images)
    regions = outputs["region"]
    ocr, knots = contract["ocr"], contract["calibration"]
    reads, raw = reads_of(outputs, contract)
    right = equal_texts(reads, case.texts)
    confidence = np.interp(raw, knots["raw"], knots["probability"])
    edits = sum(min(edit_distance(folded(r), folded(t)), len(t)) for r, t in zip(reads, case.texts, strict=True))
    probability = softmax(regions / ocr["region_temperature"])
    names = np.array(ocr["regions"])[probability.argmax(axis=1)]
    known = right & np.array([bool(s) for s in case.states])
    wanted = np.array([f"US-{s}" for s in case.states])
    named = known & (probability.max(axis=1) >= ocr["region_threshold"])
    return Figures(
        case.name,
        len(reads),
        float(right.mean()),
        edits / sum(len(t) for t in case.texts),
        calibration_error(confidence, right),
        float((names == wanted)[known].mean()) if known.any() else None,
        float(named.sum() / known.sum()) if known.any() else None,
        float((names == wanted)[named].mean()) if named.any() else None,
    ), reads


def reads_of(
    outputs: dict[str, NDArray[np.float32]], contract: dict[str, Any]
) -> tuple[list[str], NDArray[np.float64]]:
    """Texts and raw confidences as the agent has them: nothing where the text does not stand in one line."""
    reads, raw = read_all(outputs["symbols"], contract["ocr"]["temperature"])
    if "one_line" not in outputs:
        return reads, raw
    kept = sigmoid(outputs["one_line"][:, 0]) >= contract["ocr"].get(
        "single_line_threshold", contract["ocr"].get("one_line_least", 0.0)
    )
    return [read if keep else "" for read, keep in zip(reads, kept, strict=True)], np.where(kept, raw, 0.0)


def margin_sweep(model: Tflite, validation: list[Crop], contract: dict[str, Any]) -> dict[str, float]:
    """Exact share of validation crops on vehicles for margins in x and y, boxes off by up to 5 %."""
    crops = [c for c in validation if c.label_set != "us_state"]
    shares = {}
    for margin_x in (0.0, 0.03, 0.06, 0.09, 0.12):
        for margin_y in (0.0, 0.05, 0.1, 0.15):
            rng = np.random.default_rng(5)
            images, texts = [], []
            for crop in crops:
                for _ in range(2):
                    x0, y0, x1, y1 = crop.source.box
                    move = rng.uniform(-_BOX_ERROR, _BOX_ERROR, 4) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0]
                    box = tuple(float(v) for v in np.array(crop.source.box) + move)
                    images.append(cut(crop.source.rgb, box, margin_x, margin_y))
                    texts.append(crop.text)
            reads, _ = reads_of(model.logits(np.stack(images)), contract)
            shares[f"{margin_x:.2f} x {margin_y:.2f}"] = float(equal_texts(reads, texts).mean())
    return shares


def tflite_runtime_texts(
    python: Path, model: Path, images: NDArray[np.uint8], contract: dict[str, Any]
) -> tuple[list[str], int]:
    """Texts that tflite-runtime in another environment reads with the same file, and the output's zero point."""
    output = contract["outputs"]["symbols"]
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "in.npy", Path(folder) / "out.npy"
        np.save(source, images)
        script = Path(__file__).with_name("runtime_texts.py")
        subprocess.run([python, script, model, source, target], check=True)  # noqa: S603 - our own script
        raw = np.load(target).astype(np.float32)
    logits = (raw - output["zero_point"]) * output["scale"]
    return read_all(logits, contract["ocr"]["temperature"])[0], output["zero_point"]


def milliseconds(model: Tflite, image: NDArray[np.uint8]) -> float:
    """Median processor time of one reading on one core."""
    times = []
    for _ in range(220):
        start = time.process_time()
        model.raw(image)
        times.append(1000 * (time.process_time() - start))
    return float(np.median(times[20:]))


def drawn(fonts: Path, margins: tuple[float, float]) -> Iterator[Case]:
    """Drawn plates by the angle they are seen from."""
    for yaw, images, texts in plates_by_yaw(fonts, margins):
        yield Case(f"drawn plates, {yaw} degrees from straight ahead", images, texts, [""] * len(texts))


def share_told(model: Tflite, images: NDArray[np.uint8], contract: dict[str, Any]) -> float:
    """Share of pictures in which nothing is to be read for which a text would be reported."""
    reads, raw = reads_of(model.logits(images), contract)
    knots = contract["calibration"]
    confidence = np.interp(raw, knots["raw"], knots["probability"])
    told = [
        _MIN_CHARS <= len(text) <= LONGEST and sure >= contract["ocr"]["reject_below"]
        for text, sure in zip(reads, confidence, strict=True)
    ]
    return float(np.mean(told))


def refusals(bundle: Path, refused: list[Crop]) -> dict[str, Any]:
    """Share of held-out crops that show no plate in one line for which a text would be told, and their number."""
    contract = tomllib.loads((bundle / "bundle.toml").read_text(encoding="utf-8"))
    margins = contract["ocr"]["crop_margin_x"], contract["ocr"]["crop_margin_y"]
    if not refused:
        return {}
    images = np.stack([cut(crop.source.rgb, crop.source.box, *margins) for crop in refused])
    return {
        "real_refused": len(refused),
        "real_refused_read": share_told(Tflite(bundle / "model.tflite"), images, contract),
    }


def evaluate(
    bundle: Path, data: Path, fonts: Path, other_python: Path | None, float_model: Path | None
) -> dict[str, Any]:
    """Every figure of the card, as plain values."""
    contract = tomllib.loads((bundle / "bundle.toml").read_text(encoding="utf-8"))
    margins = contract["ocr"]["crop_margin_x"], contract["ocr"]["crop_margin_y"]
    int8 = Tflite(bundle / "model.tflite")
    full = Tflite(float_model) if float_model else None
    cases = [close_ups(data), *scenes(data, margins), *scenes(data, margins, error=_BOX_ERROR)]
    for kind in ("half detail", "motion 7 px", "night"):
        cases += scenes(data, margins, kind)
    cases += drawn(fonts, margins)
    rows = []
    for case in cases:
        figures, reads = measured(int8, case, contract)
        row: dict[str, Any] = {name: getattr(figures, name) for name in figures.__slots__}
        if full is not None:
            row["exact_float"] = measured(full, case, contract)[0].exact
        if other_python is not None:
            others, _ = tflite_runtime_texts(other_python, bundle / "model.tflite", case.images, contract)
            row["same_text_on_tflite_runtime"] = float(
                np.mean([a == b for a, b in zip(reads, others, strict=True)])
            )
        rows.append(row)
    return {
        "cases": rows,
        "boards_read": share_told(int8, boards(fonts, margins), contract),
        "other_boards_read": share_told(int8, held_out_boards(fonts, margins), contract),
        "two_lines_read": share_told(int8, two_lines(fonts, margins), contract),
        "ms_int8_one_core": milliseconds(int8, cases[0].images[0]),
    }


def printed(result: dict[str, Any]) -> str:
    """The figures as a Markdown table, in percent."""
    lines = [
        "| set | n | read, int8 | read, float | CER | calibration error | same text on tflite-runtime |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in result["cases"]:
        cells = [
            row["exact"],
            row.get("exact_float"),
            row["cer"],
            row["ece"],
            row.get("same_text_on_tflite_runtime"),
        ]
        shown = " | ".join("-" if c is None else f"{100 * c:.1f}" for c in cells)
        lines.append(f"| {row['case']} | {row['count']} | {shown} |")
    crops = result["cases"][0]
    lines += [
        "",
        f"State on US crops read right: top-1 {100 * (crops['state_top1'] or 0):.1f} %;",
        f"above the threshold {100 * (crops['state_named'] or 0):.1f} % are named,",
        f"{100 * (crops['state_named_right'] or 0):.1f} % of them rightly.",
        f"Of 400 drawn boards with writing that are no plates {100 * result['boards_read']:.1f} % would be reported",
        "as plates, had the detector taken them for some; of 400 signs, letterings, overlays and displays in words and",
        f"faces that training never showed {100 * result['other_boards_read']:.1f} %; of 400 drawn plates in two lines",
        f"{100 * result['two_lines_read']:.1f} % would be reported, each wrongly: they are to be rejected.",
        f"int8, one core, ai-edge-litert on this machine: {result['ms_int8_one_core']:.2f} ms a plate.",
    ]
    if "real_refused" in result:
        lines.append(
            f"Of {result['real_refused']} held-out finds of the detector and crops that show no plate in one line "
            f"{100 * result['real_refused_read']:.1f} % would be reported."
        )
    return "\n".join(lines)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--float-model", type=Path, help="float .tflite to compare with")
    parser.add_argument(
        "--tflite-runtime-python", type=Path, help="interpreter of an environment with tflite-runtime"
    )
    parser.add_argument("--fonts", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--margins", action="store_true", help="also sweep the crop margins on validation")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    options = parser.parse_args()
    result = evaluate(
        options.bundle, options.data, options.fonts, options.tflite_runtime_python, options.float_model
    )
    print(printed(result))
    if options.margins:
        contract = tomllib.loads((options.bundle / "bundle.toml").read_text(encoding="utf-8"))
        validation = load_crops(options.data).validation
        result["margins"] = margin_sweep(Tflite(options.bundle / "model.tflite"), validation, contract)
        print("\n".join(f"margins {name}: {100 * share:.1f}" for name, share in result["margins"].items()))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
