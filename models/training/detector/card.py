"""The card of a detector bundle: what it is, what it was trained on, what it measured, what it must not be used for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.training.detector.data import HEIGHT_PX, WIDTH_PX

if TYPE_CHECKING:
    from pathlib import Path

    from models.training.detector.train import Run

_MULTIPLY_ADDS_A_PX = 2889
"""Of the network, for each pixel of its input."""
_TEXT = """# {bundle_id}

Finds licence plates in a {width} x {height} view of a frame: per cell of 8 pixels a score, the plate's centre and its
size.  Anchor-free, dense 3x3 convolutions, full int8, {kilobytes} KB, about {million} million multiply-adds; fully
convolutional.
The contract is `bundle.toml`.

## Data and licences
Trained on the photographs of `../shared/data/detect`; photographs that look alike stay on one side of the split, one
twentieth of the groups is validation.

| set | from | licence as stated |
|---|---|---|
| openlpr | faisalthaheem/open-lpr-dataset-plate-detection | Apache-2.0 |
| chirag | chirag-agrawal24/ANPR | Apache-2.0 (repository), MIT (set) |
| rhit | rhit-qin13/License-Plate-Detection | CC BY 4.0 |
| tech | TechKhid/LicensePlateDetection (OpenImages) | CC BY 4.0 |
| rl | RobertLucian/license-plate-dataset | MIT |
| efm_self | efm092000/Visi-n-por-Computador (own photos) | none stated |

Half of the pasted pictures are drawn: plates of `models/training/plates`, and boards with writing that are no plates.
The measuring set (openalpr/benchmarks, AGPL-3.0, and photographs of rhit read by eye) was never trained on.

## Training
`python -m models.training.detector --data ../shared/data --out DIR`; this bundle: {steps} steps, seed {seed}, peak
rate {rate:g}{origin}.{curves}

## Figures
On the measuring set, by the recipe itself (score above 0.4): recall at IoU 0.5 in percent, mean IoU of the best box,
boxes a photograph that hold no labelled plate.

| region | recall, int8 | recall, float | mean IoU, int8 | false boxes, int8 |
|---|---|---|---|---|
{table}

## Limits
- Plates narrower than about 20 pixels in a 1280 pixel frame are missed.
- Backgrounds hold plates nobody labelled, so some "false" boxes are right.

## Not for
- Deciding anything about a person without a human looking at the picture.
- Watching people or places: it is trained to find plates on vehicles in view of a patrol vehicle, nothing else.
"""


def write_card(path: Path, bundle_id: str, run: Run, figures: dict[str, dict[str, dict[str, float]]]) -> None:
    """Write CARD.md beside the model."""
    rows = [
        f"| {region} | {100 * int8['recall']:.1f} | {100 * figures['float'][region]['recall']:.1f} "
        f"| {int8['mean_iou']:.3f} | {int8['false_img']:.2f} |"
        for region, int8 in figures["int8"].items()
    ]
    text = _TEXT.format(
        bundle_id=bundle_id,
        width=WIDTH_PX,
        height=HEIGHT_PX,
        curves="  `curves.png` shows loss and validation over the steps." if run.history else "",
        million=round(_MULTIPLY_ADDS_A_PX * WIDTH_PX * HEIGHT_PX / 1e6),
        origin=f", started from {run.plan.start_from}" if run.plan.start_from else "",
        kilobytes=(path.parent / "model.tflite").stat().st_size // 1024,
        steps=run.step,
        seed=run.plan.seed,
        rate=run.plan.rate,
        table="\n".join(rows),
    )
    path.write_text(text, encoding="utf-8")
