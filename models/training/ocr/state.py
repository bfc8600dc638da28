"""A training state small enough to keep in a repository: it costs a lost disk hours instead of the run.

The averaged weights in float16 stand for both networks; AdamW's moments are kept in 8 bits with a scale per row
(after Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization").  About 4 bytes a weight.  A run that goes
on from such a state takes the same batches as one that was not stopped, but is not the same to the bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from pathlib import Path

    from models.training.ocr.net import PlateNet
    from models.training.ocr.train import Run

_FORMAT = 1
_FIRST_LEVELS, _SECOND_LEVELS = 127, 255


def write_state(run: Run, path: Path) -> None:
    """Write the state of `run` to `path`."""
    moments = {}
    for name, parameter in run.net.named_parameters():
        own = run.optimiser.state.get(parameter)
        if own:
            moments[name] = {
                "step": own["step"].clone(),
                "first": _signed(own["exp_avg"]),
                "second": _unsigned(own["exp_avg_sq"]),
            }
    buffers = dict(run.average.named_buffers())
    state = {
        "format": _FORMAT,
        "seed": run.plan.seed,
        "steps": run.plan.steps,
        "step": run.step,
        "elapsed_s": run.elapsed_s,
        "cpu_s": run.cpu_s,
        "history": run.history,
        "weights": {name: p.detach().half().contiguous() for name, p in run.average.named_parameters()},
        "buffers": {name: buffer.clone() for name, buffer in buffers.items()},
        "moments": moments,
    }
    torch.save(state, path)


def read_state(
    path: Path, net: PlateNet, average: PlateNet, optimiser: torch.optim.Optimizer, *, seed: int
) -> tuple[int, float, float, list[dict[str, float]]]:
    """Load a state into a fresh run; returns its step, elapsed and CPU seconds and history.

    Raises ValueError when the state was made with another seed: its batches would come again.
    """
    state = torch.load(path, weights_only=True)
    if (state["format"], state["seed"]) != (_FORMAT, seed):
        raise ValueError(
            f"{path}: made with format {state['format']}, --seed {state['seed']}; go on with that seed"
        )
    for target in (net, average):
        full = {**{name: value.float() for name, value in state["weights"].items()}, **state["buffers"]}
        target.load_state_dict(full)
    for name, parameter in net.named_parameters():
        if name in state["moments"]:
            kept = state["moments"][name]
            optimiser.state[parameter] = {
                "step": kept["step"],
                "exp_avg": _restored(*kept["first"], _FIRST_LEVELS, parameter),
                "exp_avg_sq": _restored(*kept["second"], _SECOND_LEVELS, parameter).square_(),
            }
    return state["step"], state["elapsed_s"], state["cpu_s"], state["history"]


def _signed(moment: Tensor) -> tuple[Tensor, Tensor]:
    scale = _row_scale(moment)
    return (moment / scale * _FIRST_LEVELS).round().to(torch.int8).contiguous(), scale


def _unsigned(moment: Tensor) -> tuple[Tensor, Tensor]:
    """Of the root, rounded up: a second moment rounded to nothing would make an enormous step."""
    root = moment.sqrt()
    scale = _row_scale(root)
    return (root / scale * _SECOND_LEVELS).ceil().clamp_(1, _SECOND_LEVELS).to(torch.uint8).contiguous(), scale


def _row_scale(values: Tensor) -> Tensor:
    rows = values.abs().flatten(1).amax(1) if values.dim() > 1 else values.abs().amax().reshape(1)
    return rows.clamp_min(1e-20).reshape(-1, *[1] * (values.dim() - 1))


def _restored(levels: Tensor, scale: Tensor, top: int, parameter: Tensor) -> Tensor:
    values = levels.float() / top * scale
    return torch.empty_like(parameter).copy_(values.reshape(parameter.shape))
