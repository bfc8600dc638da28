"""The only importer of a TFLite runtime.

``tflite-runtime`` (2.14, Python <= 3.11, numpy < 2) and its successor ``ai-edge-litert`` offer the same
``Interpreter`` class.  LiteRT runs int8 graphs on XNNPACK and is several times faster on x86, so ``auto`` takes
it when it is installed.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from agent.errors import BundleError, FatalError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray


class RuntimeMissingError(FatalError, ImportError):
    """The selected TFLite runtime is not installed."""


class RuntimeKind(StrEnum):
    """Which TFLite runtime to use."""

    AUTO = "auto"
    LITERT = "litert"
    TFLITE = "tflite"


_MODULES = {
    RuntimeKind.LITERT: "ai_edge_litert.interpreter",
    RuntimeKind.TFLITE: "tflite_runtime.interpreter",
}


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Shape, type and quantisation of one tensor as the runtime reports them."""

    index: int
    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int


def installed_runtimes() -> tuple[RuntimeKind, ...]:
    """Installed runtimes, preferred one first."""
    return tuple(kind for kind, module in _MODULES.items() if _find(module))


def _find(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def choose_runtime(wanted: RuntimeKind) -> RuntimeKind:
    """Resolve ``auto``; raises RuntimeMissingError with the command that installs one."""
    here = installed_runtimes()
    if wanted is RuntimeKind.AUTO and here:
        return here[0]
    if wanted in here:
        return wanted
    package = "tflite-runtime" if wanted is RuntimeKind.TFLITE else "ai-edge-litert"
    raise RuntimeMissingError(
        f"TFLite runtime {wanted.value!r} is not installed; run: python -m pip install {package}"
    )


def slower_runtime_advice(wanted: RuntimeKind) -> str | None:
    """What to install where ``auto`` has to take the slower runtime; None where nothing is to be said."""
    if wanted is not RuntimeKind.AUTO or choose_runtime(wanted) is not RuntimeKind.TFLITE:
        return None
    return (
        "tflite-runtime is used, several times slower on x86 than LiteRT; to install LiteRT: "
        "python -m pip install ai-edge-litert"
    )


@contextmanager
def _stderr_silenced() -> Iterator[None]:
    """Suppress the banner that the XNNPACK delegate prints from C++ when an interpreter is created.

    Not while other threads run: the descriptor is that of the process, and their lines would be lost, for good where
    two of them save and restore it at once.
    """
    if threading.active_count() > 1:
        yield
        return
    sys.stderr.flush()
    saved = os.dup(2)
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(null)


class Model:
    """A loaded int8 graph with one input.  Not thread-safe: one per thread."""

    def __init__(self, path: Path, *, runtime: RuntimeKind = RuntimeKind.AUTO, threads: int = 1) -> None:
        self.runtime = choose_runtime(runtime)
        module = importlib.import_module(_MODULES[self.runtime])
        try:
            with _stderr_silenced():
                self._interpreter: Any = module.Interpreter(model_path=str(path), num_threads=threads)
                self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise BundleError(f"{path}: {self.runtime.value} cannot load the model: {error}") from error
        inputs = self._interpreter.get_input_details()
        if len(inputs) != 1:
            raise BundleError(f"{path}: the model has {len(inputs)} inputs, expected 1")
        self.input = _info(inputs[0])
        self.outputs = tuple(_info(d) for d in self._interpreter.get_output_details())

    def invoke(self, tensor: NDArray[np.int8]) -> list[NDArray[Any]]:
        """Run once on a tensor of the input's shape and type; returns copies of all raw outputs in order."""
        self._interpreter.set_tensor(self.input.index, tensor)
        return self.run()

    def input_tensor(self) -> NDArray[np.int8]:
        """The model's own input, to be filled in place before :meth:`run`: a copy of a picture takes 0.05 ms.

        No reference to it may be left then: the runtimes refuse to run, as they may move the memory.
        """
        tensor: NDArray[np.int8] = self._interpreter.tensor(self.input.index)()
        return tensor

    def run(self) -> list[NDArray[Any]]:
        """Run once on what the input holds; returns copies of all raw outputs in order."""
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(o.index) for o in self.outputs]


def _info(detail: dict[str, Any]) -> TensorInfo:
    scale, zero_point = detail["quantization"]
    return TensorInfo(
        index=int(detail["index"]),
        shape=tuple(int(n) for n in detail["shape"]),
        dtype=detail["dtype"].__name__,
        scale=float(scale),
        zero_point=int(zero_point),
    )
