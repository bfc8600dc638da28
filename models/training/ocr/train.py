"""Train, resumably: `checkpoint.pt` in the run folder holds all that a run needs to go on where it stopped.

A step is a function of the seed, its number and the weights before it: batches, views and dropout are drawn from
(seed, number), so a run that was stopped gives the same network as one that was not.
"""

from __future__ import annotations

import copy
import json
import math
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from models.training.ocr.augment import augmented
from models.training.ocr.data import Batch, Crop, Sampler, backdrops_of, cut
from models.training.ocr.decode import decode, edit_distance
from models.training.ocr.labels import folded
from models.training.ocr.net import (
    ISSUER_FEATURES,
    PlateNet,
    as_input,
    corner_loss,
    ctc_loss,
    layout_loss,
    region_loss,
)
from models.training.ocr.regions import UNLABELLED
from models.training.ocr.state import read_state
from models.training.ocr.weights import read_weights
from models.training.precision import autocast

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MARGIN_X, MARGIN_Y = 0.06, 0.08
_REGION_WEIGHT = 0.5
_CORNER_WEIGHT = 4.0
_LAYOUT_WEIGHT = 0.3
_DROPPED = 0.15
_WARM_STEPS = 1000
_CHECK_STEPS = 1000
_SAVE_EVERY_S = 600.0
_HARD_SEED = 23
_LOST = 0.005


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how to train; `step` and `steps` count updates of the weights, each over `parts` batches.

    `checkpoint` in the folder goes on before anything else; else `resume` (a compact state) or `start_from` (a
    bundle's `weights.npz`) give the first weights.
    """

    folder: Path
    steps: int
    rate: float = 1.5e-3
    ema: float = 0.9995
    seed: int = 7
    parts: int = 2
    device: str = "cpu"
    threads: int = 1
    workers: int = 0
    resume: Path | None = None
    start_from: Path | None = None


class Run:
    """A network, its slow average, the optimiser and how far it came.

    Each part of a step has a copy of the network of its own, so that two threads can work on them side by side; their
    mean gradient moves the weights.
    """

    def __init__(self, plan: Plan) -> None:
        torch.manual_seed(plan.seed)
        self.plan = plan
        self.net = PlateNet().to(plan.device, memory_format=torch.channels_last)
        if plan.start_from is not None:
            read_weights(self.net, plan.start_from)
        self.average = copy.deepcopy(self.net).eval()
        self.optimiser = torch.optim.AdamW(self.net.parameters(), lr=plan.rate, weight_decay=0.01)
        self.step, self.elapsed_s, self.cpu_s = 0, 0.0, 0.0
        self.history: list[dict[str, float]] = []
        if (plan.folder / "checkpoint.pt").exists():
            self._resume(torch.load(plan.folder / "checkpoint.pt", weights_only=True))
        elif plan.resume is not None:
            self.step, self.elapsed_s, self.cpu_s, self.history = read_state(
                plan.resume, self.net, self.average, self.optimiser, seed=plan.seed
            )
        self._copies = [self.net, *(copy.deepcopy(self.net) for _ in range(plan.parts - 1))]
        self._threads = ThreadPoolExecutor(plan.threads)

    def _resume(self, state: dict[str, object]) -> None:
        if (state["seed"], state["steps"]) != (self.plan.seed, self.plan.steps):
            raise ValueError(
                f"{self.plan.folder}: its checkpoint was made with --seed {state['seed']} --steps {state['steps']}; "
                "go on with these, or name another folder"
            )
        self.net.load_state_dict(state["net"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.step, self.elapsed_s, self.cpu_s = state["step"], state["elapsed_s"], state["cpu_s"]
        self.history = state["history"]

    def save(self) -> None:
        """Replace the checkpoint in one step."""
        state = {
            "net": self.net.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "steps": self.plan.steps,
            "seed": self.plan.seed,
            "elapsed_s": self.elapsed_s,
            "cpu_s": self.cpu_s,
            "history": self.history,
        }
        torch.save(state, self.plan.folder / "checkpoint.part")
        (self.plan.folder / "checkpoint.part").replace(self.plan.folder / "checkpoint.pt")

    @property
    def progress(self) -> float:
        """0 at the start, 1 at the end."""
        return min(1.0, self.step / self.plan.steps) if self.plan.steps else 1.0

    def learn(self, sampler: Sampler, drawn: Iterator[Batch] | None) -> float:
        """One step of AdamW under a warmed-up cosine; returns the loss.

        Batches come from `drawn`, or are drawn here, each in its part's thread.
        """
        warm = min(1.0, (self.step + 1) / _WARM_STEPS)
        rate = self.plan.rate * warm * (0.005 + 0.995 * 0.5 * (1 + math.cos(math.pi * self.progress)))
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        numbers = [self.step * self.plan.parts + part for part in range(self.plan.parts)]
        batches = [next(drawn) for _ in numbers] if drawn else [None] * len(numbers)
        work = zip(self._copies, numbers, batches, strict=True)
        losses = list(self._threads.map(lambda job: self._gradient(*job, sampler), work))
        self._gather()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 5.0)
        self.optimiser.step()
        self._spread()
        self.step += 1
        self._track()
        return float(np.mean(losses))

    def _gradient(self, net: PlateNet, number: int, batch: Batch | None, sampler: Sampler) -> float:
        """Gradients of one part, left in its copy of the network; returns the loss."""
        batch = batch or sampler[number]
        device = self.plan.device
        kept = (
            np.random.default_rng((self.plan.seed, number, 1)).random((len(batch.images), ISSUER_FEATURES))
            >= _DROPPED
        )
        dropout = torch.from_numpy(kept.astype(np.float32) / (1 - _DROPPED)).to(device)
        with autocast(device):
            symbols, regions, corners, one_line = net(as_input(batch.images, device), dropout)
        targets, lengths, weights, labels = (
            torch.from_numpy(a).to(device) for a in (batch.targets, batch.lengths, batch.weights, batch.regions)
        )
        loss = ctc_loss(symbols, targets, lengths, weights)
        loss = loss + _REGION_WEIGHT * region_loss(regions, labels)
        true_corners, trust = (torch.from_numpy(a).to(device) for a in (batch.corners, batch.corner_weights))
        loss = loss + _CORNER_WEIGHT * corner_loss(corners, true_corners, trust)
        boards = torch.from_numpy(batch.boards).to(device)
        loss = loss + _LAYOUT_WEIGHT * layout_loss(one_line, boards, torch.ones_like(boards))
        net.zero_grad(set_to_none=True)
        loss.backward()
        return float(loss.detach())

    @torch.no_grad()
    def _gather(self) -> None:
        """The mean gradient of the copies, to the first of them."""
        for own, *others in zip(*(net.parameters() for net in self._copies), strict=True):
            for other in others:
                own.grad += other.grad
            own.grad /= len(self._copies)

    @torch.no_grad()
    def _spread(self) -> None:
        """New weights to all copies; the running statistics of the norms become their mean."""
        for own, *others in zip(*(net.parameters() for net in self._copies), strict=True):
            for other in others:
                other.copy_(own)
        for own, *others in zip(*(net.buffers() for net in self._copies), strict=True):
            if own.is_floating_point():
                own.copy_(torch.stack([own, *others]).mean(0))
            for other in others:
                other.copy_(own)

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


class Checks:
    """Validation crops as the agent cuts them, and one hard view of each, the same at every look."""

    def __init__(self, crops: list[Crop], refused: list[Crop], device: str) -> None:
        self._crops, self._device = crops, device
        self._refused = [cut(c.source.rgb, c.source.box, MARGIN_X, MARGIN_Y) for c in refused]
        self._plain = np.stack([cut(c.source.rgb, c.source.box, MARGIN_X, MARGIN_Y) for c in crops])
        rng = np.random.default_rng(_HARD_SEED)
        backdrops = backdrops_of(crops, rng)
        self._hard = np.stack([augmented(rng, c.source, backdrops).rgb for c in crops])

    def figures(self, net: PlateNet) -> dict[str, float]:
        """Exact share (O = 0) overall, by kind and on hard views, character error rate, region top-1.

        `refused_pass` is the share of what is to be refused that would pass where half a percent of the right texts
        is lost.
        """
        symbols, regions, _, one_line = logits_of(net, self._plain, self._device)
        texts = [decode(logits)[0] for logits in symbols]
        hard = [decode(logits)[0] for logits in logits_of(net, self._hard, self._device)[0]]
        right, right_hard = self._right(texts), self._right(hard)
        us = np.array([c.label_set == "us_state" for c in self._crops])
        by_eye = np.array([c.origin == "eye" for c in self._crops])
        edits = sum(edit_distance(folded(t), folded(c.text)) for t, c in zip(texts, self._crops, strict=True))
        labels = np.array([c.region for c in self._crops])
        known = labels != UNLABELLED
        return {
            "exact": float(right.mean()),
            "exact_close_ups": float(right[us & ~by_eye].mean()),
            "exact_by_eye": float(right[by_eye].mean()) if by_eye.any() else math.nan,
            "exact_on_vehicles": float(right[~us & ~by_eye].mean()),
            "exact_hard": float(right_hard.mean()),
            "cer": edits / sum(len(c.text) for c in self._crops),
            "region": float((regions.argmax(axis=1) == labels)[known].mean()),
            "refused_pass": self._passing(net, one_line[right, 0]),
        }

    def _passing(self, net: PlateNet, of_right: np.ndarray) -> float:
        if not self._refused or not len(of_right):
            return math.nan
        found = logits_of(net, np.stack(self._refused), self._device)[3][:, 0]
        return float((found >= np.quantile(of_right, _LOST)).mean())

    def _right(self, texts: list[str]) -> np.ndarray:
        return np.array([folded(t) == folded(c.text) for t, c in zip(texts, self._crops, strict=True)])


def fit(plan: Plan, sampler: Sampler, validation: list[Crop], refused: list[Crop]) -> Run:
    """Train to the end of the plan, or go on with what the folder holds; log and checkpoint go along.

    `refused` are held-out crops in which nothing is to be read.  On SIGTERM the step is finished, the checkpoint
    written, and SystemExit raised.
    """
    plan.folder.mkdir(parents=True, exist_ok=True)
    run = Run(plan)
    checks = Checks(validation, refused, plan.device)
    stopped: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: stopped.append(number))
    drawn = iter(sampler.stream(run.step * plan.parts, plan.workers)) if plan.workers else None
    clock = _Clock(run)
    losses: list[float] = []
    with tqdm(total=plan.steps, initial=run.step, unit="step", mininterval=30) as bar:
        while run.progress < 1 and not stopped:
            losses.append(run.learn(sampler, drawn))
            clock.tick(run)
            bar.update()
            if run.step % _CHECK_STEPS == 0 or run.progress >= 1:
                _look(run, float(np.mean(losses)), checks, clock)
                losses.clear()
            if clock.due() or run.progress >= 1 or stopped:
                run.save()
    signal.signal(signal.SIGTERM, before)
    if stopped:
        raise SystemExit(f"stopped at step {run.step}; the same command goes on")
    if not run.history:
        _look(run, math.nan, checks, clock)
    return run


class _Clock:
    """Seconds and CPU seconds of a run, sessions added up; when to save next."""

    def __init__(self, run: Run) -> None:
        self._wall, self._cpu = time.monotonic() - run.elapsed_s, time.process_time() - run.cpu_s
        self._saved = time.monotonic()
        self._last = (run.step, time.monotonic())

    def tick(self, run: Run) -> None:
        run.elapsed_s, run.cpu_s = time.monotonic() - self._wall, time.process_time() - self._cpu

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._saved < _SAVE_EVERY_S:
            return False
        self._saved = now
        return True

    def steps_per_s(self, run: Run) -> float:
        """Since the last call."""
        (step, then), now = self._last, time.monotonic()
        self._last = (run.step, now)
        return (run.step - step) / max(now - then, 1e-9)


def _look(run: Run, loss: float, checks: Checks, clock: _Clock) -> None:
    """Measure the average on validation and log it."""
    record = {
        "step": run.step,
        "elapsed_s": round(run.elapsed_s, 1),
        "cpu_s": round(run.cpu_s, 1),
        "steps_per_s": round(clock.steps_per_s(run), 3),
        "loss": loss,
        **checks.figures(run.average),
    }
    run.history.append(record)
    with (run.plan.folder / "log.jsonl").open("a", encoding="utf-8") as log:
        log.write(json.dumps(record) + "\n")
    tqdm.write(" ".join(f"{k}={v:.4g}" for k, v in record.items()))
