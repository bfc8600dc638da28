"""How a network is trained on this processor: bfloat16 where it is native, else float32."""

from __future__ import annotations

import torch


def autocast(device: str) -> torch.autocast:
    """A context for the forward pass; bfloat16 that a processor must emulate is nine times slower than float32."""
    kind = torch.device(device).type
    native = kind != "cpu" or torch.ops.mkldnn._is_mkldnn_bf16_supported()  # noqa: SLF001 - the library's own test
    return torch.autocast(kind, torch.bfloat16, enabled=native)
