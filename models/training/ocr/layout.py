"""The head that says whether a text stands in one line: two lines, and boards that are no plates, are refused.

It learns after the reader, on the reader's own features, and leaves all else as it is: taught through CTC ("read
nothing here") the same boards took plates along (ADR 13).
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812 - the name PyTorch itself uses
from tqdm import tqdm

from models.training.ocr.decode import decode
from models.training.ocr.labels import folded
from models.training.ocr.net import PlateNet, as_input
from models.training.ocr.regions import ALPHABET

if TYPE_CHECKING:
    from models.training.ocr.data import Batch, Sampler
    from models.training.ocr.train import Plan

BOARD_SHARE = 0.4
"""Of the crops of this stage."""
_RATE = 2e-3
_FIRST_BATCH = 10**8
"""Batches that the reader did not learn from."""
_SURE = 0.9
"""Where no label is known, a text is believed from this product of its characters' probabilities on."""


def fit_layout(net: PlateNet, sampler: Sampler, steps: int, plan: Plan) -> None:
    """Teach the head of `net`, or take it from the run folder, where it lies once it was taught."""
    kept = plan.folder / "layout.pt"
    heads = {"layout": net.layout, "one_line": net.one_line}
    if kept.exists():
        for name, state in torch.load(kept, weights_only=True).items():
            heads[name].load_state_dict(state)
        return
    parameters = [parameter for head in heads.values() for parameter in head.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, steps))
    net.eval()
    net.layout.train()
    batches = islice(sampler.stream(_FIRST_BATCH, plan.workers), steps)
    with tqdm(batches, total=steps, desc="layout", unit="batch", mininterval=5) as bar:
        for batch in bar:
            loss = _loss(net, batch, plan.device)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
            bar.set_postfix(loss=f"{float(loss.detach()):.3f}", refresh=False)
    net.eval()
    torch.save({name: head.state_dict() for name, head in heads.items()}, kept)


def _loss(net: PlateNet, batch: Batch, device: str) -> torch.Tensor:
    """Boards are 0; crops whose sharp view the reader reads rightly are 1; the rest may be either and is left out."""
    with torch.no_grad():
        seen = net(as_input(batch.sharp, device))[0].float().cpu().numpy()
        features = net.trunk(as_input(batch.images, device))
    logits = net.one_line(net.layout(features).flatten(1))[:, 0].float()
    boards = torch.from_numpy(batch.boards).to(device)
    counted = boards | torch.from_numpy(_trusted(seen, batch)).to(device)
    losses = F.binary_cross_entropy_with_logits(logits, (~boards).float(), reduction="none")
    return (losses * counted).sum() / counted.sum().clamp(min=1)


def _trusted(seen: np.ndarray, batch: Batch) -> np.ndarray:
    """Which crops the logits `seen` [n, 32, 37] read rightly or, without a label, surely; bool [n], no board."""
    trusted = np.zeros(len(seen), bool)
    for i, columns in enumerate(seen):
        text, certainty = decode(columns)
        if not text or batch.boards[i]:
            continue
        label = "".join(ALPHABET[index] for index in batch.targets[i, : batch.lengths[i]])
        trusted[i] = folded(text) == folded(label) if batch.weights[i] > 0 else certainty >= _SURE
    return trusted
