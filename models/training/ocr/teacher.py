"""What the network knew before training goes on: it reads the sharp crop, the learner the spoilt one of the same cut.

Cross-quality distillation after Su and Maji 2016, column by column of the CTC output, which lies alike in both.  It
says where each character stands, which a label does not, and holds what was known while hard views are learned.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - the name PyTorch itself uses

from models.training.ocr.data import folded
from models.training.ocr.decode import decode
from models.training.ocr.net import as_input
from models.training.ocr.regions import ALPHABET

if TYPE_CHECKING:
    from models.training.ocr.data import Batch
    from models.training.ocr.net import PlateNet

_SURE = 0.9
"""Where no label is known, the teacher is believed from this product of its characters' probabilities on."""


class Teacher:
    """A network as it is now, which learns nothing more."""

    def __init__(self, net: PlateNet) -> None:
        self._net = copy.deepcopy(net).eval().requires_grad_(False)

    def loss(self, symbols: Tensor, batch: Batch) -> Tensor:
        """Mean Kullback-Leibler divergence of a character, over the crops that the teacher reads rightly."""
        with torch.no_grad():
            seen = F.log_softmax(self._net(as_input(batch.sharp, symbols.device.type))[0].float(), dim=2)
        believed = torch.from_numpy(trusted(seen.cpu().numpy(), batch)).to(symbols.device)
        learnt = F.log_softmax(symbols.float(), dim=2)
        distance = F.kl_div(learnt, seen, reduction="none", log_target=True).sum(dim=(1, 2))
        return (distance * believed).mean()


def trusted(seen: np.ndarray, batch: Batch) -> np.ndarray:
    """Weights [n] from logits `seen` [n, 32, 37]: one by the number of characters where the text is right or, without a
    label, sure; 0 elsewhere."""
    weights = np.zeros(len(seen), np.float32)
    for i, columns in enumerate(seen):
        text, certainty = decode(columns)
        if not text or batch.boards[i]:
            continue
        label = "".join(ALPHABET[index] for index in batch.targets[i, : batch.lengths[i]])
        believed = folded(text) == folded(label) if batch.weights[i] > 0 else certainty >= _SURE
        weights[i] = believed / len(text)
    return weights
