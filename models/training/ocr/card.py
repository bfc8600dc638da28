"""The card of a bundle: what it is, what it was trained on, what it measured, what it must not be used for."""

# ruff: noqa: E501 - the text is Markdown

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from models.training.ocr.data import PART
from models.training.ocr.evaluate import printed

if TYPE_CHECKING:
    from pathlib import Path

    from models.training.ocr.train import Run

_TEXT = """# {bundle_id}

Reads one licence plate from a 64 x 128 RGB crop: text by CTC over 32 columns (0-9, A-Z) and the issuing region
(50 US states, DC, other US, Mexico, Canada, EU, Brazil, other; "unknown" below a threshold).  Full int8, {kilobytes} KB,
about 178 million multiply-adds.  The contract is `bundle.toml`; `confusion.csv` counts true (rows) against read (columns)
characters on validation, degraded views included.

## Data and licences
Trained on real crops and on plates drawn by `models/training/plates` (fonts of the Debian archive under OFL, MIT, GPL
with font exception, Apache-2.0 and CC0 licences; no font is shipped).

| set | from | licence as stated |
|---|---|---|
| openlpr | faisalthaheem/open-lpr-dataset-plate-detection | Apache-2.0 |
| chirag | chirag-agrawal24/ANPR | Apache-2.0 (repository), MIT (set) |
| rhit | rhit-qin13/License-Plate-Detection | CC BY 4.0 |
| tech | TechKhid/LicensePlateDetection (OpenImages) | CC BY 4.0 |
| rl | RobertLucian/license-plate-dataset | MIT |
| efm_self | efm092000/Visi-n-por-Computador (own photos) | none stated |
| us_state | AndrewRademacher/license_plates | none stated |
| oi | unknowncz/LP_recognition (OpenImages) | CC BY 4.0 |

Texts of most crops are machine labels on which two recognisers agreed (about 98 % right); the crops on which they did
not were read by eye, and doubtful labels looked at and corrected; states were labelled by people.  In `us_state`, `oi`
and on drawn North American plates letter O is written as 0.  Six percent of the plates, chosen by a hash of their text so that no plate sits on both sides, are validation.
Crops whose text also occurs in the measuring set were left out of training.  The measuring set (openalpr/benchmarks,
AGPL-3.0, and photographs of rhit read by eye) was never trained on.

| crops | used as |
|---|---|
{counts}

## Training
`python -m models.training.ocr --data ../shared/data --out DIR` (see `models/training/README.md`); this bundle:
{training}

Validation, exact text with O and 0 equal: close-ups {close_ups:.1f} %, crops that only an eye could label {by_eye:.1f} %, plates on
vehicles {on_vehicles:.1f} %, one hard view of each {hard:.1f} %, region top-1 {region:.1f} % (float, averaged weights); int8 {int8:.1f} % on all.

## Figures
Measured by `python -m models.training.ocr.evaluate --bundle DIR --data ../shared/data --float-model FLOAT
--tflite-runtime-python PYTHON`, in percent.  "read": the text equals the label, O and 0 equal.  Scenes are cut at their true
boxes, so a detector's errors come on top.

{table}

## Failures looked at, and limits
{limits}

## Not for
- Deciding anything about a person without a human looking at the picture: a read is a hint, its confidence a probability.
- Telling O from 0: US labels mix them, so the texts of this model do too.  Match with O and 0 equal.
- Two-line plates: they are refused, where the head for the layout sees them.  Plates with stacked small characters and
  plates narrower than about 60 px: often wrong, mostly with low confidence.
- Non-Latin characters; countries outside the table's sets; trailers and motorcycles, which were hardly measured.
- Claims about North American plates at night or in infra-red: no real picture of that kind was measured, the night rows
  are darkened daylight photographs.
"""

_LIMITS = """- Motion blur along the plate merges neighbouring strokes (1/I/L, H/M/N, 0/D/8); small plates add B/8, S/5, Z/2.
- Plates with an emblem between groups: the emblem is at times read as a character.
- Vanity and county plates with small stacked letters: the small letters are at times read."""


def write_card(
    path: Path, run: Run, *, fitted: dict[str, Any], figures: dict[str, Any], counts: dict[str, int]
) -> None:
    """Write CARD.md of the bundle in its folder from the figures of this very bundle; `counts` says how many crops were used as what."""
    last = run.history[-1]
    plan = run.plan
    origin = ", started from an earlier reader's weights" if plan.start_from else ""
    training = (
        f"{run.step} steps of {PART * plan.parts} crops, {run.cpu_s / 3600:.1f} CPU hours on {plan.device}, seed {plan.seed}, "
        f"peak rate {plan.rate}{origin}."
    )
    text = _TEXT.format(
        bundle_id=path.parent.name,
        kilobytes=round((path.parent / "model.tflite").stat().st_size / 1024),
        training=training,
        counts="\n".join(f"| {number} | {name} |" for name, number in counts.items()),
        by_eye=100 * last["exact_by_eye"],
        hard=100 * last["exact_hard"],
        close_ups=100 * last["exact_close_ups"],
        on_vehicles=100 * last["exact_on_vehicles"],
        region=100 * last["region"],
        int8=100 * fitted["exact_plain"],
        table=printed(figures),
        limits=_LIMITS,
    )
    path.write_text(text, encoding="utf-8")
