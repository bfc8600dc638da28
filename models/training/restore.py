"""A shipped int8 bundle back to a network that can be trained on, where no checkpoint is at hand.

Weights are dequantised.  Batch norms were folded into them; each is put back so that it changes nothing for the
pictures it is shown: its statistics are those of its input, its scale and shift undo them and add the folded bias.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING

import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

_MIN_VARIANCE = 1e-6
_Layer = tuple["NDArray[np.float32]", "NDArray[np.float32]"]


class Layers:
    """Weights, in the order of PyTorch, and biases of every convolution and fully connected layer of a model.

    Layers of one shape are handed out in the order in which the model runs them.
    """

    def __init__(self, model: Path) -> None:
        self._left: dict[tuple[int, ...], deque[_Layer]] = defaultdict(deque)
        runner = Interpreter(model_path=str(model), experimental_preserve_all_tensors=True)
        runner.allocate_tensors()
        details = {item["index"]: item for item in runner.get_tensor_details()}
        for operation in runner._get_ops_details():  # noqa: SLF001 - the only way to the graph's constants
            if operation["op_name"] not in {"CONV_2D", "FULLY_CONNECTED"}:
                continue
            weights, bias = (_real(runner, details[int(i)]) for i in operation["inputs"][1:3])
            moved = np.moveaxis(weights, -1, 1)  # OHWI to OIHW; of two axes nothing moves
            self._left[moved.shape].append((np.ascontiguousarray(moved), bias))

    def load(self, layer: nn.Conv2d | nn.Linear) -> Tensor | None:
        """Put the next weights of its shape into `layer` and return their bias; None where the model has none."""
        found = self._left.get(tuple(layer.weight.shape))
        if not found:
            return None
        weights, bias = found.popleft()
        layer.weight.data.copy_(torch.from_numpy(weights))
        return torch.from_numpy(bias)


def _real(runner: Interpreter, details: dict[str, object]) -> NDArray[np.float32]:
    raw = runner.get_tensor(details["index"]).astype(np.float32)
    scales = np.asarray(details["quantization_parameters"]["scales"], np.float32)
    return raw * scales.reshape(-1, *[1] * (raw.ndim - 1)) if len(scales) > 1 else raw * scales[0]


@torch.no_grad()
def undo_norms(net: nn.Module, norms: Mapping[nn.Module, Tensor], images: NDArray[np.uint8]) -> None:
    """Set each batch norm so that on `images` (uint8 [n, height, width, 3]) it only adds its folded bias."""

    def before(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        mean, variance = inputs[0].mean(dim=(0, 2, 3)), inputs[0].var(dim=(0, 2, 3)).clamp(min=_MIN_VARIANCE)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean + norms[norm])

    hooks = [norm.register_forward_pre_hook(before) for norm in norms]
    net.eval()
    net(torch.from_numpy(images).permute(0, 3, 1, 2).float().div_(255))
    net.train()
    for hook in hooks:
        hook.remove()
