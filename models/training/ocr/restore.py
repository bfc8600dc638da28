"""A shipped int8 reader back to a network that can be trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.training.ocr.net import ConvBlock, PlateNet
from models.training.restore import Layers, undo_norms

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn


def restore(net: PlateNet, model: Path, crops: NDArray[np.uint8] | None) -> None:
    """Load what `model` holds into `net`; heads it lacks are left alone.

    `crops` uint8 [n, 64, 128, 3] show the batch norms what comes in.  Raises ValueError where the shapes differ.
    """
    if crops is None:
        raise ValueError(f"{model}: a bundle can be restored only with training crops at hand")
    layers = Layers(model)
    norms: dict[nn.Module, Tensor] = {}
    for block in (b for b in net.modules() if isinstance(b, ConvBlock)):
        bias = layers.load(block.conv)
        if bias is not None:
            norms[block.norm] = bias
    bias = layers.load(net.collapse)
    if bias is None:
        raise ValueError(f"{model}: not a model of this network")
    norms[net.collapse_norm] = bias
    for last in (net.symbols, net.region, net.corners, net.one_line):
        own = layers.load(last)
        if own is not None:
            last.bias.data.copy_(own)
    undo_norms(net, norms, crops)
