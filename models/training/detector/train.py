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
from tqdm import tqdm

from models.training.detector.data import UNSEEN
from models.training.detector.net import DetectorNet, Target, loss_of
from models.training.detector.restore import restore
from models.training.precision import autocast

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray

    from models.training.detector.data import Batch, Sampler

_CHECK_EVERY_S = 300.0
_WARM_STEPS = 200
_LAST_RATE = 0.02


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how to train."""

    folder: Path
    steps: int
    rate: float = 2e-3
    average: float = 0.998
    seed: int = 1
    device: str = "cpu"
    workers: int = 0
    start_from: Path | None = None


class Run:
    """A network, its slow average, the optimiser and how far it came."""

    def __init__(self, plan: Plan, scenes: NDArray[np.uint8]) -> None:
        """`scenes` uint8 [n, H, W, 3] show a restored network its own activations."""
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.net = DetectorNet().to(plan.device, memory_format=torch.channels_last)
        if plan.start_from is not None and plan.start_from.is_dir():
            restore(self.net, plan.start_from / "model.tflite", scenes)
        elif plan.start_from is not None:
            self.net.load_state_dict(torch.load(plan.start_from, weights_only=True)["average"])
        self.average = copy.deepcopy(self.net)
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=plan.rate, weight_decay=0.02)
        self.step = 0
        self.history: list[dict[str, float]] = []
        path = plan.folder / "checkpoint.pt"
        if path.exists():
            state = torch.load(path, weights_only=True, map_location=plan.device)
            self.net.load_state_dict(state["net"])
            self.average.load_state_dict(state["average"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step, self.history = state["step"], state["history"]

    def save(self) -> None:
        """Replace the checkpoint in one step."""
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "history": self.history,
        }
        part = self.plan.folder / "checkpoint.part"
        torch.save(state, part)
        part.replace(self.plan.folder / "checkpoint.pt")

    def learn(self, batch: Batch) -> tuple[float, float]:
        """One step of AdamW under a warmed-up cosine; returns the loss and the mean IoU of positive cells."""
        share = self.step / self.plan.steps
        rate = self.plan.rate * min(1.0, (self.step + 1) / _WARM_STEPS)
        rate *= _LAST_RATE + (1 - _LAST_RATE) * 0.5 * (1 + math.cos(math.pi * share))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        device = self.plan.device
        images = torch.from_numpy(batch.images).to(device).permute(0, 3, 1, 2).float().div_(255)
        parts = (torch.from_numpy(a).to(device) for a in (batch.positive, batch.boxes, batch.unsure))
        with autocast(device):
            outputs = self.net(images)
        loss, iou = loss_of(outputs, Target(*parts))
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self.step += 1
        self._track()
        return float(loss.detach()), iou

    @torch.no_grad()
    def _track(self) -> None:
        keep = min(self.plan.average, (1 + self.step) / (10 + self.step))
        current = self.net.state_dict()
        for name, value in self.average.state_dict().items():
            if value.is_floating_point():
                value.lerp_(current[name], 1 - keep)
            else:
                value.copy_(current[name])


def fit(plan: Plan, sampler: Sampler, check: Callable[[DetectorNet], dict[str, float]]) -> Run:
    """Train to the end of the plan, or go on with what the folder holds; log and checkpoint go along."""
    plan.folder.mkdir(parents=True, exist_ok=True)
    run = Run(plan, np.concatenate([sampler[UNSEEN + i].images for i in range(4)]))
    recent: list[tuple[float, float]] = []
    checked_s = time.monotonic()
    if run.step >= plan.steps:
        return run
    with tqdm(total=plan.steps, initial=run.step, unit="step") as bar:
        for batch in sampler.stream(run.step, plan.workers):
            recent.append(run.learn(batch))
            bar.update()
            if run.step % 20 == 0:
                bar.set_postfix(loss=f"{np.mean([r[0] for r in recent[-100:]]):.3f}", refresh=False)
            last = run.step >= plan.steps
            if last or time.monotonic() - checked_s > _CHECK_EVERY_S:
                checked_s = time.monotonic()
                means = np.mean(recent, axis=0)
                recent.clear()
                figures = check(run.average)
                record = {"step": run.step, "loss": float(means[0]), "iou": float(means[1]), **figures}
                run.history.append(record)
                with (plan.folder / "log.jsonl").open("a", encoding="utf-8") as log:
                    log.write(json.dumps(record) + "\n")
                tqdm.write(" ".join(f"{k}={v:.4g}" for k, v in record.items()))
                run.save()
            if last:
                return run
    return run
