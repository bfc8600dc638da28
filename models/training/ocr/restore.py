"""A shipped int8 bundle back to a network that can be trained on, where no checkpoint is at hand.

Weights are dequantised.  Batch norms were folded into them; each is put back so that it changes nothing for the crops
it is shown: its statistics are those of its input, its scale and shift undo them and add the folded bias.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor, nn

from models.training.ocr.net import ConvBlock, PlateNet

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_LEAST_VARIANCE = 1e-6
_Layer = tuple["NDArray[np.float32]", "NDArray[np.float32]"]


def restore(net: PlateNet, model: Path, crops: NDArray[np.uint8] | None) -> None:
    """Load what `model` holds into `net`; heads it lacks are left alone.

    `crops` uint8 [n, 64, 128, 3] show the batch norms what comes in.  Raises ValueError where the shapes differ.
    """
    if crops is None:
        raise ValueError(f"{model}: a bundle can be restored only with training crops at hand")
    layers = _layers(model)
    norms: dict[nn.BatchNorm2d, Tensor] = {}
    for block in (b for b in net.modules() if isinstance(b, ConvBlock)):
        bias = _load(block.conv, layers)
        if bias is not None:
            norms[block.norm] = bias
    bias = _load(net.collapse, layers)
    if bias is None:
        raise ValueError(f"{model}: not a model of this network")
    norms[net.collapse_norm] = bias
    for last in (net.symbols, net.region, net.corners):
        own = _load(last, layers)
        if own is not None:
            last.bias.data.copy_(own)
    _undo(net, norms, crops)


def _layers(model: Path) -> dict[tuple[int, ...], _Layer]:
    """Weights, in the order of PyTorch, and biases of every convolution and fully connected layer, by shape."""
    runner = Interpreter(model_path=str(model), experimental_preserve_all_tensors=True)
    runner.allocate_tensors()
    details = {item["index"]: item for item in runner.get_tensor_details()}
    found: dict[tuple[int, ...], _Layer] = {}
    for operation in runner._get_ops_details():  # noqa: SLF001 - the only way to the graph's constants
        if operation["op_name"] not in {"CONV_2D", "FULLY_CONNECTED"}:
            continue
        weights, bias = (_real(runner, details[int(i)]) for i in operation["inputs"][1:3])
        moved = np.moveaxis(weights, -1, 1)  # OHWI to OIHW; of two axes nothing moves
        if moved.shape in found:
            raise ValueError(f"{model}: two layers of shape {moved.shape} cannot be told apart")
        found[moved.shape] = (np.ascontiguousarray(moved), bias)
    return found


def _real(runner: Interpreter, details: dict[str, object]) -> NDArray[np.float32]:
    raw = runner.get_tensor(details["index"]).astype(np.float32)
    scales = np.asarray(details["quantization_parameters"]["scales"], np.float32)
    return raw * scales.reshape(-1, *[1] * (raw.ndim - 1)) if len(scales) > 1 else raw * scales[0]


def _load(layer: nn.Conv2d | nn.Linear, layers: dict[tuple[int, ...], _Layer]) -> Tensor | None:
    found = layers.get(tuple(layer.weight.shape))
    if found is None:
        return None
    layer.weight.data.copy_(torch.from_numpy(found[0]))
    return torch.from_numpy(found[1])


@torch.no_grad()
def _undo(net: PlateNet, norms: dict[nn.BatchNorm2d, Tensor], crops: NDArray[np.uint8]) -> None:
    def before(norm: nn.BatchNorm2d, inputs: tuple[Tensor, ...]) -> None:
        mean, variance = inputs[0].mean(dim=(0, 2, 3)), inputs[0].var(dim=(0, 2, 3)).clamp(min=_LEAST_VARIANCE)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean + norms[norm])

    hooks = [norm.register_forward_pre_hook(before) for norm in norms]
    net.eval()
    net(torch.from_numpy(crops).permute(0, 3, 1, 2).float().div_(255))
    net.train()
    for hook in hooks:
        hook.remove()
