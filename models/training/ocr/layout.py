"""The head that says whether a text stands in one line: two lines, and boards that are no plates, are refused.

It learns beside the reader, so that the features it needs are there, and once more after it with all else frozen.
Taught through CTC ("read nothing here") the same boards took plates along (ADR 13); on features that the reader alone
had shaped, the head let 8 of 100 held-out boards through where it lost 5 of 715 plates.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import torch
from tqdm import tqdm

from models.training.ocr.decode import decode
from models.training.ocr.labels import folded
from models.training.ocr.net import PlateNet, as_input, layout_loss
from models.training.ocr.regions import ALPHABET

if TYPE_CHECKING:
    from models.training.ocr.data import Batch, Sampler
    from models.training.ocr.train import Plan

BESIDE_SHARE, BOARD_SHARE = 0.1, 0.4
"""Of the crops while the reader learns, and of the stage after it."""
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
    logits = net.one_line(net.layout(features).flatten(1))
    boards = torch.from_numpy(batch.boards).to(device)
    counted = boards | torch.from_numpy(_trusted(seen, batch)).to(device)
    return layout_loss(logits, boards, counted)


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
