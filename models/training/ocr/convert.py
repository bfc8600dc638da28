"""PyTorch network to an int8 TFLite file, by litert-torch and the AI Edge quantizer, and running such a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import litert_torch
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter
from torch import Tensor, nn

from models.training.ocr.net import CLASSES, HEIGHT_PX, STEPS, WIDTH_PX, PlateNet, fused
from models.training.ocr.regions import REGIONS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_SIGN_BIT = 0x80
_OUTPUTS = {
    (1, STEPS, CLASSES): "symbols",
    (1, len(REGIONS)): "region",
    (1, 8): "corners",
    (1, 1): "one_line",
}


class _ChannelsLast(nn.Module):
    """The network with the input order of TFLite, [n, height, width, channel]; the permutation folds away."""

    def __init__(self, net: PlateNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        symbols, region, corners, one_line = self.net(x.permute(0, 3, 1, 2))
        return symbols, region, corners, one_line


def to_float_tflite(net: PlateNet) -> bytes:
    """The averaged network as a float32 TFLite model with batch norms folded."""
    wrapped = _ChannelsLast(fused(net.to("cpu", memory_format=torch.contiguous_format))).eval()
    model = litert_torch.convert(wrapped, (torch.rand(1, HEIGHT_PX, WIDTH_PX, 3),))
    return bytes(model.model_content())


class Tflite:
    """A float or int8 plate model on one thread of ai-edge-litert."""

    def __init__(self, model: bytes | Path) -> None:
        content = model if isinstance(model, bytes) else model.read_bytes()
        self.interpreter = Interpreter(model_content=content, num_threads=1)
        self.interpreter.allocate_tensors()
        (self.input,) = self.interpreter.get_input_details()
        self.outputs: dict[str, dict[str, Any]] = {}
        for position, details in enumerate(self.interpreter.get_output_details()):
            shape = tuple(int(n) for n in details["shape"])
            self.outputs[_OUTPUTS[shape]] = {**details, "position": position}

    def raw(self, image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        """Output tensors of one image as the file holds them."""
        if self.input["dtype"] is np.int8:
            tensor = np.bitwise_xor(image[np.newaxis], _SIGN_BIT).view(np.int8)
        else:
            tensor = image[np.newaxis].astype(np.float32) / 255
        self.interpreter.set_tensor(self.input["index"], tensor)
        self.interpreter.invoke()
        return {name: self.interpreter.get_tensor(details["index"]) for name, details in self.outputs.items()}

    def logits(self, images: NDArray[np.uint8]) -> dict[str, NDArray[np.float32]]:
        """Dequantised outputs, by name, of uint8 images [n, 64, 128, 3]."""
        parts: dict[str, list[NDArray[np.float32]]] = {name: [] for name in self.outputs}
        for image in images:
            for name, value in self.raw(image).items():
                scale, zero_point = self.outputs[name]["quantization"]
                parts[name].append((value[0].astype(np.float32) - zero_point) * scale if scale else value[0])
        return {name: np.stack(values) for name, values in parts.items()}
