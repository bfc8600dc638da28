"""A trained network to a bundle folder the agent accepts: model, contract, golden, curves."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import cv2
import litert_torch
import matplotlib as mpl
import numpy as np
import torch
from ai_edge_litert.interpreter import Interpreter

from models.training.detector.data import HEIGHT_PX, UNSEEN, WIDTH_PX, Sampler
from models.training.detector.evaluate import OVERSIZE_PX, SCORE_THRESHOLD
from models.training.detector.net import SIZE_BASE_PX, STRIDE, Exported, fused
from models.training.quantise import to_int8

mpl.use("Agg")
from matplotlib import pyplot as plt

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from models.training.detector.evaluate import Look
    from models.training.detector.net import DetectorNet

_SIGN_BIT = 0x80
_CALIBRATION_BATCHES = 16
_GOLDEN_SCENES = 3
_GOLDEN_TOLERANCE_LSB = 12
_OUTPUTS = ("score", "offset", "size")


def export(
    net: DetectorNet, training: Sampler, history: list[dict[str, float]], bundle_id: str, out: Path
) -> Look:
    """Write everything but CARD.md to `out`; returns the int8 model as a function."""
    out.mkdir(parents=True, exist_ok=True)
    wrapped = Exported(fused(net.to("cpu", memory_format=torch.contiguous_format))).eval()
    converted = litert_torch.convert(wrapped, (torch.rand(1, HEIGHT_PX, WIDTH_PX, 3),))
    float_model = bytes(converted.model_content())
    (out.parent / f"{out.name}-float.tflite").write_bytes(float_model)
    chosen = np.concatenate([training[UNSEEN + i].images for i in range(_CALIBRATION_BATCHES)])
    content = to_int8(float_model, chosen)
    (out / "model.tflite").write_bytes(content)
    model = Int8Model(content, wrapped, chosen[0])
    (out / "bundle.toml").write_text(contract(model, content, bundle_id), encoding="utf-8")
    write_golden(model, out / "golden.npz")
    if history:
        draw_curves(history, out / "curves.png")
    return model.look


class Int8Model:
    """The int8 file on one thread of ai-edge-litert; knows which output is which."""

    def __init__(self, content: bytes, reference: torch.nn.Module, sample: NDArray[np.uint8]) -> None:
        self._interpreter = Interpreter(model_content=content, num_threads=1)
        self._interpreter.allocate_tensors()
        (self.input,) = self._interpreter.get_input_details()
        self._details = self._interpreter.get_output_details()
        with torch.inference_mode():
            wanted = reference(torch.from_numpy(sample[np.newaxis]).float() / 255)
        raw = self.raw(sample)
        # Offset and size have one shape: they are told apart by their values.
        self.position = {
            name: min(
                (p for p, r in enumerate(raw) if r.shape == tuple(w.shape)),
                key=lambda p, w=w: float(np.abs(self.real(p, raw[p]) - w.numpy()).mean()),
            )
            for name, w in zip(_OUTPUTS, wanted, strict=True)
        }

    def raw(self, rgb: NDArray[np.uint8]) -> list[NDArray[np.int8]]:
        """Output tensors of one network input."""
        tensor = np.bitwise_xor(rgb[np.newaxis], _SIGN_BIT).view(np.int8)
        self._interpreter.set_tensor(self.input["index"], tensor)
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(d["index"]) for d in self._details]

    def real(self, position: int, raw: NDArray[np.int8]) -> NDArray[np.float32]:
        """Dequantised output."""
        scale, zero_point = self._details[position]["quantization"]
        return (raw.astype(np.float32) - zero_point) * np.float32(scale)

    def look(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float32], ...]:
        """Score, offset and size maps."""
        raw = self.raw(rgb)
        return tuple(self.real(p, raw[p])[0] for p in (self.position[name] for name in _OUTPUTS))

    def output(self, name: str) -> dict[str, Any]:
        """What the runtime says of an output."""
        return self._details[self.position[name]]


def contract(model: Int8Model, content: bytes, bundle_id: str) -> str:
    """The text of bundle.toml."""
    scale, zero_point = model.input["quantization"]
    parts = [
        (
            f'format = 1\nid = "{bundle_id}"\nkind = "detector"\ncreated = {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n'
            f'sha256 = "{hashlib.sha256(content).hexdigest()}"\nbytes = {len(content)}\nlicence = "Apache-2.0"\n'
        ),
        (
            f'[input]\nshape = [1, {HEIGHT_PX}, {WIDTH_PX}, 3]\ndtype = "int8"\nscale = {float(scale)!r}\n'
            f'zero_point = {int(zero_point)}\ncolour = "RGB"\n'
        ),
    ]
    for name in _OUTPUTS:
        details = model.output(name)
        scale, zero_point = details["quantization"]
        parts.append(
            f"[outputs.{name}]\nindex = {model.position[name]}\nshape = {[int(n) for n in details['shape']]}\n"
            f'dtype = "int8"\nscale = {float(scale)!r}\nzero_point = {int(zero_point)}\n'
        )
    parts.append(
        f"[detector]\nstride = {STRIDE}\nscore_threshold = {SCORE_THRESHOLD}\nnms_iou = 0.4\nmerge_iou = 0.55\n"
        f"size_base_px = {SIZE_BASE_PX}\noversize_px = {list(OVERSIZE_PX)}\n"
    )
    return "\n".join(parts)


def write_golden(model: Int8Model, path: Path) -> None:
    """Drawn scenes and what this model gives for them on this runtime."""
    rng = np.random.default_rng(5)
    scenes = [_drawn_scene(rng) for _ in range(_GOLDEN_SCENES)]
    outputs: dict[str, list[NDArray[np.int8]]] = {name: [] for name in _OUTPUTS}
    for scene in scenes:
        raw = model.raw(scene)
        for name in _OUTPUTS:
            outputs[name].append(raw[model.position[name]][0])
    stacked = {name: np.stack(values) for name, values in outputs.items()}
    tensors = np.stack([np.bitwise_xor(scene, _SIGN_BIT).view(np.int8) for scene in scenes])
    np.savez_compressed(path, input=tensors, tolerance_lsb=_GOLDEN_TOLERANCE_LSB, **stacked)


def _drawn_scene(rng: np.random.Generator) -> NDArray[np.uint8]:
    scene = np.full((HEIGHT_PX, WIDTH_PX, 3), (90, 100, 110), np.uint8)
    scene[HEIGHT_PX // 2 :] = (70, 70, 72)
    for _ in range(3):
        width = int(rng.integers(20, 90))
        height = width // 2
        x, y = int(rng.integers(0, WIDTH_PX - width)), int(rng.integers(0, HEIGHT_PX - height))
        body = tuple(int(v) for v in rng.integers(20, 200, 3))
        cv2.rectangle(scene, (x - width // 2, y - width), (x + width * 3 // 2, y + height * 4 // 3), body, -1)
        cv2.rectangle(scene, (x, y), (x + width, y + height), (235, 235, 240), -1)
        where, thick = (x + 2, y + height - height // 4), max(1, width // 40)
        cv2.putText(scene, "7ABC123", where, 0, width / 125, (20, 20, 60), thick, cv2.LINE_AA)
    return scene


def draw_curves(history: list[dict[str, float]], path: Path) -> None:
    """Loss and validation figures over the steps."""
    figure, (loss, quality) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    steps = [h["step"] for h in history]
    loss.plot(steps, [h["loss"] for h in history])
    loss.set(title="loss", xlabel="step")
    for name in ("recall", "mean_iou", "false_img"):
        quality.plot(steps, [h[name] for h in history], label=name)
    quality.set(title="validation", xlabel="step", ylim=(0, 1))
    quality.legend()
    figure.savefig(path, dpi=90)
    plt.close(figure)
