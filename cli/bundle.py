"""``patrol-lpr bundle``: check model bundles against their contracts, measure their speed."""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING

import numpy as np
from rich.text import Text

from agent.recognise import RuntimeKind, load_active
from agent.recognise.bundle import Bundle, run_golden
from agent.recognise.interpreter import choose_runtime, installed_runtimes
from agent.recognise.models_folder import default_models_folder
from cli.show import TextTable, print_json, print_table

if TYPE_CHECKING:
    from pathlib import Path

_ROUNDS = 100


def verify(models: Path | None, *, as_json: bool = False) -> int:
    """Print one line per bundle and runtime; returns 1 if a golden does not match.

    Raises BundleError if a contract does not match.
    """
    table = TextTable("bundle", "sha256", "runtime", "largest difference", "allowed", "")
    failed = False
    values: list[dict[str, object]] = []
    for bundle in load_active(models or default_models_folder()):
        for runtime in installed_runtimes():
            result = run_golden(bundle, runtime)
            failed |= not result.passed
            values.append(
                {
                    "bundle": bundle.contract.id,
                    "sha256": bundle.contract.sha256,
                    "runtime": runtime.value,
                    "difference_lsb": result.largest_difference_lsb,
                    "allowed_lsb": result.tolerance_lsb,
                    "passed": result.passed,
                }
            )
            table.add_row(
                bundle.contract.id,
                bundle.contract.sha256[:12],
                runtime.value,
                f"{result.largest_difference_lsb} LSB",
                f"{result.tolerance_lsb} LSB",
                Text("ok", "green") if result.passed else Text("differs", "red"),
            )
    if as_json:
        print_json(values)
    else:
        print_table(table)
    return 1 if failed else 0


def bench(models: Path | None, *, runtime: str, threads: int, as_json: bool = False) -> int:
    """Print the median time of one call of each model on this board."""
    table = TextTable("bundle", "runtime", "threads", "median ms", "p90 ms")
    values: list[dict[str, object]] = []
    for bundle in load_active(models or default_models_folder()):
        times_ms = _times_ms(bundle, RuntimeKind(runtime), threads)
        values.append(
            {
                "bundle": bundle.contract.id,
                "runtime": choose_runtime(RuntimeKind(runtime)).value,
                "threads": threads,
                "median_ms": statistics.median(times_ms),
                "p90_ms": statistics.quantiles(times_ms, n=10)[-1],
            }
        )
        table.add_row(
            bundle.contract.id,
            choose_runtime(RuntimeKind(runtime)).value,
            str(threads),
            f"{statistics.median(times_ms):.2f}",
            f"{statistics.quantiles(times_ms, n=10)[-1]:.2f}",
        )
    if as_json:
        print_json(values)
    else:
        print_table(table)
    return 0


def _times_ms(bundle: Bundle, runtime: RuntimeKind, threads: int) -> list[float]:
    model = bundle.open(runtime=runtime, threads=threads)
    tensor = np.zeros(bundle.contract.input.shape, np.int8)
    times = []
    for _ in range(_ROUNDS):
        start = time.perf_counter()
        model.invoke(tensor)
        times.append((time.perf_counter() - start) * 1e3)
    return times
