"""Float weights beside a bundle, `weights.npz`: what a fleet trains on with from plates of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from pathlib import Path

    from models.training.ocr.net import PlateNet

FILE = "weights.npz"


def write_weights(net: PlateNet, folder: Path) -> None:
    """Write the weights of `net` as float16 and the statistics of its norms as float32 to `folder`/weights.npz."""
    arrays = {}
    buffers = dict(net.named_buffers())
    for name, value in net.state_dict().items():
        array = value.detach().cpu().contiguous().numpy()
        if name in buffers:
            arrays[name] = array
        else:
            arrays[name] = array.astype(np.float16)
    np.savez_compressed(folder / FILE, **arrays)


def read_weights(net: PlateNet, source: Path) -> None:
    """Load a bundle folder's weights, or those of a `weights.npz`, into `net`.

    Raises ValueError where they are those of another network.
    """
    path = source / FILE if source.is_dir() else source
    if not path.exists():
        raise ValueError(f"{source}: no {FILE}; bundles before plate-ocr-r4 have none, start from a later one")
    with np.load(path) as file:
        state = {name: torch.from_numpy(file[name].astype(np.float32)) for name in file.files}
    own = net.state_dict()
    if own.keys() != state.keys() or any(own[name].shape != value.shape for name, value in state.items()):
        raise ValueError(f"{path}: weights of another network than this recipe's")
    net.load_state_dict({name: value.to(own[name].dtype) for name, value in state.items()})
