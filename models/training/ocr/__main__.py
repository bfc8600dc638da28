"""From labelled crops to a bundle: `python -m models.training.ocr --data ../shared/data --out DIR`.

Started again with the same DIR it goes on where it stopped: fonts, synthetic plates, training, export.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from models.training.ocr.card import write_card
from models.training.ocr.data import PART, Refused, Sampler, Shards, backdrops_of, load_crops
from models.training.ocr.evaluate import evaluate, refusals
from models.training.ocr.export import Recipe, export
from models.training.ocr.layout import BESIDE_SHARE, BOARD_SHARE, fit_layout
from models.training.ocr.regions import REGIONS
from models.training.ocr.state import write_state
from models.training.ocr.swaps import write_swaps
from models.training.ocr.train import MARGIN_X, MARGIN_Y, Plan, Run, fit
from models.training.plates.fonts import DEFAULT_CACHE
from models.training.plates.shards import write_boards, write_shards


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with ocr/ (training) and dev/ (measuring)"
    )
    parser.add_argument("--out", type=Path, required=True, help="run folder: checkpoint, log, bundle")
    parser.add_argument("--steps", type=int, default=100_000, help="updates of the weights (default 100000)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--workers", type=int, default=0, help="processes that draw batches (0: the training one)")
    parser.add_argument("--threads", type=int, default=2, help="threads on the CPU; as many as parts at most")
    parser.add_argument("--parts", type=int, default=2, help=f"batches of {PART} crops a step takes")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--synthetic", type=int, default=80_000, help="synthetic plates to draw (0: none)")
    parser.add_argument("--synthetic-share", type=float, default=0.35, help="share of them in a batch")
    parser.add_argument(
        "--boards", type=int, default=32_000, help="drawn boards and plates in two lines, to be refused"
    )
    parser.add_argument("--layout-steps", type=int, default=2400, help="steps of the head that refuses them")
    parser.add_argument("--shards", type=Path, help="folder of the synthetic plates (default OUT/shards)")
    parser.add_argument("--board-shards", type=Path, help="folder of the drawn boards (default OUT/boards)")
    parser.add_argument("--swapped", type=int, default=30_000, help="close-ups with swapped characters (0: none)")
    parser.add_argument("--swap-shards", type=Path, help="folder of these (default OUT/swaps)")
    parser.add_argument("--fonts", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--start-from", type=Path, help="bundle folder or weights.npz to start from")
    parser.add_argument("--extra-labels", type=Path, help="image,text,weight for crops without a label")
    parser.add_argument("--own", type=Path, help="a fleet's own crops: folder with labels.csv (image,text)")
    parser.add_argument("--negatives", type=Path, help="finds of the detector that are no plates (ocr.negatives)")
    parser.add_argument("--export-state", type=Path, help="write the compact state of OUT to this file, and end")
    parser.add_argument(
        "--resume-state", type=Path, help="go on from a compact state where OUT holds no checkpoint"
    )
    parser.add_argument("--train-only", action="store_true", help="end after the last step, before the export")
    parser.add_argument(
        "--margin-x", type=float, default=MARGIN_X, help="crop margin of the bundle, share of width"
    )
    parser.add_argument(
        "--margin-y", type=float, default=MARGIN_Y, help="crop margin of the bundle, share of height"
    )
    parser.add_argument("--id", default="plate-ocr-r4", help="id of the bundle")
    parser.add_argument(
        "--tflite-runtime-python", type=Path, help="an interpreter with tflite-runtime, to compare"
    )
    return parser.parse_args()


def _plan(options: argparse.Namespace) -> Plan:
    return Plan(
        options.out,
        options.steps,
        rate=options.rate,
        seed=options.seed,
        parts=options.parts,
        device=options.device,
        threads=options.threads,
        workers=options.workers,
        resume=options.resume_state,
        start_from=options.start_from,
    )


def main() -> None:
    """Run every step that is not done yet."""
    options = _options()
    torch.set_num_threads(1)  # parts of a step share the cores, each on one
    cv2.setNumThreads(1)
    plan = _plan(options)
    if options.export_state:
        if not (options.out / "checkpoint.pt").exists():
            raise SystemExit(f"{options.out}: no checkpoint.pt yet; one is written every ten minutes")
        write_state(Run(plan), options.export_state)
        print(f"{options.export_state}: {options.export_state.stat().st_size / 1e6:.1f} MB")
        return
    shards = None
    if options.synthetic:
        folder = options.shards or options.out / "shards"
        write_shards(folder, options.synthetic, 11, options.fonts, REGIONS)
        shards = Shards(folder)
    crops = load_crops(options.data, options.extra_labels, options.negatives, options.own)
    options.out.mkdir(parents=True, exist_ok=True)
    counts = {**crops.counts, "synthetic plates": options.synthetic, "drawn boards": options.boards}
    counts["close-ups with swapped characters"] = options.swapped
    (options.out / "data.json").write_text(json.dumps(counts, indent=1), encoding="utf-8")
    print("\n".join(f"{number:6d} {name}" for name, number in counts.items()), flush=True)
    boards = options.board_shards or options.out / "boards"
    grounds = backdrops_of(crops.training, np.random.default_rng(options.seed))
    write_boards(boards, options.boards, 13, options.fonts, grounds)
    refused = Refused(Shards(boards), crops.refused, BESIDE_SHARE)
    swapped = None
    if options.swapped:
        swaps = options.swap_shards or options.out / "swaps"
        write_swaps(swaps, options.swapped, 17, crops.training)
        swapped = Shards(swaps)
    drawing = crops.training, shards, options.synthetic_share, options.seed
    sampler = Sampler(*drawing, refused=refused, swapped=swapped, sharp_first=options.start_from is None)
    run = fit(plan, sampler, crops.validation, crops.refused_validation)
    if options.train_only:
        return
    with_boards = Sampler(*drawing, 2 * PART, refused=replace(refused, share=BOARD_SHARE), sharp_first=False)
    fit_layout(run.average, with_boards, options.layout_steps, plan)
    recipe = Recipe(options.id, options.margin_x, options.margin_y, options.fonts)
    bundle = options.out / "bundle" / options.id
    fitted = export(run.average, run.history, sampler, crops.validation, recipe=recipe, out=bundle)
    float_model = bundle.parent / f"{options.id}-float.tflite"
    figures = evaluate(bundle, options.data, options.fonts, options.tflite_runtime_python, float_model)
    figures |= refusals(bundle, crops.refused_validation)
    (options.out / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    write_card(bundle / "CARD.md", run, fitted=fitted, figures=figures, counts=counts)
    print(f"bundle written to {bundle}")


if __name__ == "__main__":
    main()
