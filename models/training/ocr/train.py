"""Train, resumably: `checkpoint.pt` in the run folder holds all that a run needs to go on where it stopped."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - the name PyTorch itself uses
from tqdm import tqdm

from models.training.ocr.data import Batch, Crop, Sampler, cut, folded
from models.training.ocr.decode import decode, edit_distance
from models.training.ocr.net import PlateNet, as_input, corner_loss, ctc_loss
from models.training.ocr.regions import UNLABELLED
from models.training.ocr.restore import restore
from models.training.precision import autocast

if TYPE_CHECKING:
    from pathlib import Path

MARGIN_X, MARGIN_Y = 0.06, 0.08
_REGION_WEIGHT = 0.35
_CORNER_WEIGHT = 4.0
_CHECK_EVERY_S = 150.0
_LATER_HEADS = ("outline", "corners", "layout", "one_line")


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how to train: the run ends at `hours` or `steps`, whichever is first."""

    folder: Path
    hours: float
    steps: int
    rate: float = 1.5e-3
    ema: float = 0.998
    seed: int = 7
    device: str = "cpu"
    workers: int = 0
    start_from: Path | None = None
    calibration: np.ndarray | None = None
    """Training crops uint8 [n, 64, 128, 3] that show a restored network its own activations."""


class Run:
    """A network, its slow average, the optimiser and how far it came."""

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.net = PlateNet().to(plan.device, memory_format=torch.channels_last)
        if plan.start_from is not None:
            self._start_from(plan.start_from)
        self.average = copy.deepcopy(self.net).eval()
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=plan.rate, weight_decay=0.01)
        self.step, self.elapsed_s = 0, 0.0
        self.history: list[dict[str, float]] = []
        if (plan.folder / "checkpoint.pt").exists():
            self._resume(torch.load(plan.folder / "checkpoint.pt", weights_only=True))

    def _start_from(self, source: Path) -> None:
        """A checkpoint's averaged weights, or a bundle's; a head that either lacks stays as it was drawn."""
        if source.is_dir():
            restore(self.net, source / "model.tflite", self.plan.calibration)
            return
        missing, unknown = self.net.load_state_dict(torch.load(source, weights_only=True)["average"], strict=False)
        if unknown or any(not name.startswith(_LATER_HEADS) for name in missing):
            raise ValueError(f"{source}: not a checkpoint of this network")

    def _resume(self, state: dict[str, object]) -> None:
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.elapsed_s, self.history = state["step"], state["elapsed_s"], state["history"]

    def save(self) -> None:
        """Replace the checkpoint in one step."""
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "elapsed_s": self.elapsed_s,
            "history": self.history,
        }
        torch.save(state, self.plan.folder / "checkpoint.part")
        (self.plan.folder / "checkpoint.part").replace(self.plan.folder / "checkpoint.pt")

    @property
    def progress(self) -> float:
        """0 at the start, 1 at the end; no step at all leads from a bundle straight to its export."""
        if self.step >= self.plan.steps:
            return 1.0
        return max(self.step / self.plan.steps, self.elapsed_s / (self.plan.hours * 3600))

    def learn(self, batch: Batch) -> float:
        """One step of AdamW on a batch under a warmed-up cosine; returns the loss."""
        warm = min(1.0, (self.step + 1) / 200)
        rate = self.plan.rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, self.progress))))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        device = self.plan.device
        images = as_input(batch.images, device)
        with autocast(device):
            symbols, regions, corners, _ = self.net(images)
        targets, lengths, weights, labels = (
            torch.from_numpy(a).to(device) for a in (batch.targets, batch.lengths, batch.weights, batch.regions)
        )
        loss = ctc_loss(symbols, targets, lengths, weights)
        if (labels != UNLABELLED).any():
            region = F.cross_entropy(regions.float(), labels, ignore_index=UNLABELLED, label_smoothing=0.05)
            loss = loss + _REGION_WEIGHT * region
        true_corners, trust = (torch.from_numpy(a).to(device) for a in (batch.corners, batch.corner_weights))
        loss = loss + _CORNER_WEIGHT * corner_loss(corners, true_corners, trust)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        self._track()
        return float(loss.detach())

    @torch.no_grad()
    def _track(self) -> None:
        keep = min(self.plan.ema, (1 + self.step) / (10 + self.step))
        current = self.net.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name], 1 - keep)
            else:
                value.copy_(current[name])


@torch.inference_mode()
def logits_of(net: PlateNet, images: np.ndarray, device: str = "cpu") -> tuple[np.ndarray, ...]:
    """Float symbol logits, region logits, corners and layout logits of uint8 images [n, 64, 128, 3]."""
    parts = [net(as_input(images[i : i + 64], device)) for i in range(0, len(images), 64)]
    return tuple(torch.cat(outputs).float().cpu().numpy() for outputs in zip(*parts, strict=True))


def validate(net: PlateNet, crops: list[Crop], images: np.ndarray, device: str) -> dict[str, float]:
    """Exact share (O = 0) overall and by kind, character error rate, region top-1."""
    symbols, regions, *_ = logits_of(net, images, device)
    texts = [decode(logits)[0] for logits in symbols]
    right = np.array([folded(t) == folded(c.text) for t, c in zip(texts, crops, strict=True)])
    us = np.array([c.label_set == "us_state" for c in crops])
    edits = sum(edit_distance(folded(t), folded(c.text)) for t, c in zip(texts, crops, strict=True))
    labels = np.array([c.region for c in crops])
    known = labels != UNLABELLED
    return {
        "exact": float(right.mean()),
        "exact_close_ups": float(right[us].mean()),
        "exact_on_vehicles": float(right[~us].mean()),
        "cer": edits / sum(len(c.text) for c in crops),
        "region": float((regions.argmax(axis=1) == labels)[known].mean()),
    }


def fit(plan: Plan, sampler: Sampler, validation: list[Crop]) -> Run:
    """Train to the end of the plan, or go on with what the folder holds; log and checkpoint go along."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    run = Run(plan)
    images = np.stack([cut(c.source.rgb, c.source.box, MARGIN_X, MARGIN_Y) for c in validation])
    losses: list[float] = []
    started, checked = time.monotonic() - run.elapsed_s, time.monotonic()
    with tqdm(total=100, unit="%", bar_format="{l_bar}{bar}| {elapsed}<{remaining} {postfix}") as bar:
        for batch in sampler.stream(run.step, plan.workers) if run.progress < 1 else ():
            losses.append(run.learn(batch))
            run.elapsed_s = time.monotonic() - started
            bar.update(round(100 * min(1.0, run.progress), 1) - bar.n)
            bar.set_postfix(step=run.step, loss=f"{np.mean(losses[-50:]):.3f}", refresh=False)
            if time.monotonic() - checked > _CHECK_EVERY_S or run.progress >= 1:
                checked = time.monotonic()
                _look(run, float(np.mean(losses)), validation, images)
                losses.clear()
            if run.progress >= 1:
                break
    if not run.history:
        _look(run, math.nan, validation, images)
    return run


def _look(run: Run, loss: float, validation: list[Crop], images: np.ndarray) -> None:
    """Measure the average on validation, log it, keep all."""
    figures = validate(run.average, validation, images, run.plan.device)
    record = {"step": run.step, "elapsed_s": run.elapsed_s, "loss": loss, **figures}
    run.history.append(record)
    with (run.plan.folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(record) + "\n")
    tqdm.write(" ".join(f"{k}={v:.4g}" for k, v in record.items()))
    run.save()
