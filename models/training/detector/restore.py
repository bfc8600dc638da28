"""A shipped int8 detector back to a network that can be trained on, also at another input size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.training.restore import Layers, undo_norms

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from models.training.detector.net import DetectorNet


def restore(net: DetectorNet, model: Path, scenes: NDArray[np.uint8]) -> None:
    """Load what `model` holds into `net`; `scenes` uint8 [n, H, W, 3] show the batch norms what comes in.

    Layers of one shape are told apart by the order in which they run.  Raises ValueError where the shapes differ.
    """
    layers = Layers(model)
    norms: dict[nn.Module, Tensor] = {}
    for block in net.blocks():
        bias = layers.load(block.conv)
        if bias is None:
            raise ValueError(f"{model}: not a model of this network")
        norms[block.norm] = bias
    for last in (net.score, net.offset, net.size):
        bias = layers.load(last)
        if bias is None:
            raise ValueError(f"{model}: not a model of this network")
        last.bias.data.copy_(bias)
    undo_norms(net, norms, scenes)
