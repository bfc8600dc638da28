"""A trained network to a bundle folder the agent accepts: model, contract, golden, confusion table, curves."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np

from models.training.ocr import calibrate
from models.training.ocr.augment import augmented
from models.training.ocr.convert import Tflite, to_float_tflite
from models.training.ocr.data import Crop, Sampler, backdrops_of, cut, labelled_texts
from models.training.ocr.regions import ALPHABET, BLANK, REGIONS
from models.training.ocr.weights import write_weights
from models.training.plates import PlateRenderer
from models.training.quantise import to_int8

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.training.ocr.net import PlateNet

_CALIBRATION_BATCHES = 10
_GOLDEN_PLATES = (("US-CA", "7ABC123"), ("EU", "B*AB 1234"), ("MX", "ABC-123-D"))
_GOLDEN_TOLERANCE_LSB = 12
_HARD_VIEWS = 3
_REJECT_PROBABILITY = 0.2
"""A text less likely right than this is better not said; what is said carries its confidence."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a bundle is made of besides the network."""

    bundle_id: str
    margin_x: float
    margin_y: float
    fonts: Path
    seed: int = 7


def export(
    net: PlateNet,
    history: list[dict[str, float]],
    training: Sampler,
    validation: list[Crop],
    *,
    recipe: Recipe,
    out: Path,
) -> dict[str, Any]:
    """Write everything but CARD.md to `out`; returns the figures on validation."""
    out.mkdir(parents=True, exist_ok=True)
    float_model = to_float_tflite(net)
    (out.parent / f"{out.name}-float.tflite").write_bytes(float_model)
    chosen = calibration_crops(training)
    model_bytes = to_int8(float_model, chosen)
    (out / "model.tflite").write_bytes(model_bytes)
    write_weights(net, out)
    model = Tflite(model_bytes)
    fitted = _fit(model, validation, recipe, out)
    _write_golden(model, recipe, out / "golden.npz")
    _write_contract(model, model_bytes, fitted, recipe, out / "bundle.toml")
    draw_curves(history, out / "curves.png")
    (out.parent / f"{out.name}-validation.json").write_text(json.dumps(fitted, indent=1), encoding="utf-8")
    return fitted


def calibration_crops(training: Sampler, batches: int = _CALIBRATION_BATCHES) -> NDArray[np.uint8]:
    """Training crops that no step has seen, uint8 [n, 64, 128, 3]."""
    return np.concatenate([training[10**9 + i].images for i in range(batches)])


def _views(validation: list[Crop], recipe: Recipe) -> tuple[NDArray[np.uint8], list[Crop]]:
    """Each validation crop as the agent would cut it, with a 4 % box error, and as degraded training views."""
    rng = np.random.default_rng(recipe.seed)
    backdrops = backdrops_of(validation, rng)
    images = [jittered(rng, crop, 0.04, recipe) for crop in validation]
    for _ in range(_HARD_VIEWS):
        images += [augmented(rng, crop.source, backdrops, 0.6).rgb for crop in validation]
    return np.stack(images), validation * (1 + _HARD_VIEWS)


def jittered(rng: np.random.Generator, crop: Crop, error: float, recipe: Recipe) -> NDArray[np.uint8]:
    """A crop cut from a box whose sides are off by up to `error` of the plate's size."""
    x0, y0, x1, y1 = crop.source.box
    shift = rng.uniform(-error, error, 4) * [x1 - x0, y1 - y0, x1 - x0, y1 - y0]
    box = tuple(float(v) for v in np.array([x0, y0, x1, y1]) + shift)
    return cut(crop.source.rgb, box, recipe.margin_x, recipe.margin_y)


def _fit(model: Tflite, validation: list[Crop], recipe: Recipe, out: Path) -> dict[str, Any]:
    images, crops = _views(validation, recipe)
    outputs = model.logits(images)
    symbols, regions = outputs["symbols"], outputs["region"]
    texts = labelled_texts(crops)
    plain = slice(0, len(validation))
    temperature = calibrate.symbol_temperature(symbols, texts)
    reads, raw = calibrate.read_all(symbols, temperature)
    right = calibrate.equal_texts(reads, [c.text for c in crops])
    labels = np.array([crop.region for crop in crops])
    region_temperature = calibrate.region_temperature(regions, labels)
    threshold = calibrate.region_threshold(regions[plain], labels[plain], region_temperature)
    knots_raw, knots_probability = calibrate.knots(raw, right)
    table = calibrate.confusions([c.text for c in crops], reads)
    with (out / "confusion.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["true/read", *ALPHABET, calibrate.MISSING])
        writer.writerows([c, *map(int, row)] for c, row in zip(ALPHABET + calibrate.MISSING, table, strict=True))
    return {
        "temperature": round(temperature, 3),
        "region_temperature": round(region_temperature, 3),
        "region_threshold": threshold,
        "single_line_threshold": calibrate.one_line_threshold(outputs["one_line"][:, 0], right),
        "raw": knots_raw,
        "probability": knots_probability,
        "exact_plain": float(right[plain].mean()),
        "exact_all_views": float(right.mean()),
    }


def _write_golden(model: Tflite, recipe: Recipe, path: Path) -> None:
    """Synthetic plates only: a bundle holds no picture of a real one."""
    renderer = PlateRenderer(recipe.fonts)
    rng = np.random.default_rng(recipe.seed)
    images = []
    for region, text in _GOLDEN_PLATES:
        plate = renderer.render(rng, region=region, text=text, clean=True).rgb
        height, width = plate.shape[:2]
        images.append(cut(plate, (0, 0, width, height), 0.0, 0.0))
    outputs = [model.raw(image) for image in images]
    np.savez_compressed(
        path,
        input=np.bitwise_xor(np.stack(images), 0x80).view(np.int8),
        symbols=np.concatenate([o["symbols"] for o in outputs]),
        region=np.concatenate([o["region"] for o in outputs]),
        corners=np.concatenate([o["corners"] for o in outputs]),
        one_line=np.concatenate([o["one_line"] for o in outputs]),
        tolerance_lsb=np.int64(_GOLDEN_TOLERANCE_LSB),
    )


def _write_contract(model: Tflite, model_bytes: bytes, fitted: dict[str, Any], recipe: Recipe, path: Path) -> None:
    scale, zero_point = model.input["quantization"]
    lines = [
        "format = 1",
        f'id = "{recipe.bundle_id}"',
        'kind = "ocr"',
        f"created = {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f'sha256 = "{hashlib.sha256(model_bytes).hexdigest()}"',
        f"bytes = {len(model_bytes)}",
        'licence = "Apache-2.0"',
        "",
        "[input]",
        f"shape = {[int(n) for n in model.input['shape']]}",
        'dtype = "int8"',
        f"scale = {float(scale)!r}",
        f"zero_point = {int(zero_point)}",
        'colour = "RGB"',
    ]
    for name, details in model.outputs.items():
        scale, zero_point = details["quantization"]
        lines += [
            "",
            f"[outputs.{name}]",
            f"index = {details['position']}",
            f"shape = {[int(n) for n in details['shape']]}",
            'dtype = "int8"',
            f"scale = {float(scale)!r}",
            f"zero_point = {int(zero_point)}",
        ]
    lines += [
        "",
        "[ocr]",
        f'alphabet = "{ALPHABET}"',
        f"blank = {BLANK}",
        f"crop_margin_x = {recipe.margin_x}",
        f"crop_margin_y = {recipe.margin_y}",
        f"temperature = {fitted['temperature']}",
        f"reject_below = {_REJECT_PROBABILITY}",
        f"single_line_threshold = {fitted['single_line_threshold']}",
        f"regions = {json.dumps(REGIONS)}",
        f"region_threshold = {fitted['region_threshold']}",
        f"region_temperature = {fitted['region_temperature']}",
        "",
        "[calibration]",
        f"raw = {fitted['raw']}",
        f"probability = {fitted['probability']}",
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def draw_curves(history: list[dict[str, float]], path: Path) -> None:
    """Loss and validation figures over steps, as a picture."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained")
    steps = [record["step"] for record in history]
    left.plot(steps, [record["loss"] for record in history])
    left.set(xlabel="step", ylabel="training loss", yscale="log")
    for name in ("exact_close_ups", "exact_by_eye", "exact_on_vehicles", "exact_hard", "region"):
        right.plot(steps, [100 * record[name] for record in history], label=name.replace("_", " "))
    right.set(xlabel="step", ylabel="% right on validation", ylim=(0, 100))
    right.legend(frameon=False)
    figure.savefig(path, dpi=80, metadata={"Software": None})
    plt.close(figure)
