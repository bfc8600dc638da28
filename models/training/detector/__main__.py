"""From labelled photographs to a bundle: `python -m models.training.detector --data ../shared/data --out DIR`.

Started again with the same DIR it goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import cv2
import torch

from models.training.detector.card import write_card
from models.training.detector.data import Sampler, draw, load_photos
from models.training.detector.evaluate import look_with, measure, validate
from models.training.detector.export import export
from models.training.detector.train import Plan, fit
from models.training.plates.fonts import DEFAULT_CACHE


def main() -> None:
    """Run every step that is not done yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with detect/ (training) and dev/ (measuring)"
    )
    parser.add_argument("--out", type=Path, required=True, help="run folder: checkpoint, log, bundle")
    parser.add_argument("--steps", type=int, default=18_000, help="0: only another input size, with --start-from")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--workers", type=int, default=0, help="processes that draw batches (0: the training one)")
    parser.add_argument("--threads", type=int, default=1, help="threads of the network on the CPU")
    parser.add_argument("--drawn", type=int, default=3000, help="drawn plates to paste")
    parser.add_argument("--fonts", type=Path, default=DEFAULT_CACHE)
    parser.add_argument("--start-from", type=Path, help="checkpoint.pt or bundle folder to start from")
    parser.add_argument("--id", default="plate-det-r2", help="id of the bundle")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)
    training, validation = load_photos(options.data)
    print(f"{len(training)} training photographs, {len(validation)} validation photographs")
    drawn = draw(options.drawn, options.seed, options.fonts)
    sampler = Sampler(training, drawn, options.seed, options.batch)
    plan = Plan(
        options.out,
        options.steps,
        rate=options.rate,
        seed=options.seed,
        device=options.device,
        workers=options.workers,
        start_from=options.start_from,
    )
    run = fit(plan, sampler, lambda net: validate(net, validation))
    bundle = options.out / "bundle" / options.id
    look = export(run.average, sampler, run.history, options.id, bundle)
    figures = {"int8": measure(look, options.data), "float": measure(look_with(run.average), options.data)}
    (options.out / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    write_card(bundle / "CARD.md", options.id, run, figures)
    print(f"bundle written to {bundle}")


if __name__ == "__main__":
    main()
