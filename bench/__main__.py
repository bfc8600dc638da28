"""Run every bench and print one table; ``--out FILE`` keeps the figures as the reference of this kind of machine."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import Figure

BENCHES = (
    "bench.bench_vision",
    "bench.bench_agent",
    "bench.bench_outbox",
    "bench.bench_sync",
    "bench.bench_seal",
    "bench.bench_backlog",
    "bench.bench_recovery",
)


def run(module: str) -> list[Figure]:
    """Run one bench in a process of its own (memory and CPU time are its own, too)."""
    done = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{module} failed:\n{done.stderr}")
    return [Figure(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]


def main() -> None:
    """Measure, print, keep; exit 1 when a figure misses its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("benches", nargs="*", default=BENCHES)
    arguments = parser.parse_args()
    table = Table("figure", "value", "limit", "")
    figures = []
    for module in arguments.benches:
        figures += run(module)
    for figure in figures:
        bound = f"<= {figure.limit:g}" if figure.limit is not None else ""
        bound = f">= {figure.floor:g}" if figure.floor is not None else bound
        verdict = "" if not bound else "[green]ok[/]" if figure.ok else "[red]missed[/]"
        table.add_row(figure.name, f"{figure.value:.3g} {figure.unit}", bound, verdict)
    Console().print(table)
    if arguments.out:
        arguments.out.write_text("".join(f.as_json() + "\n" for f in figures))
    sys.exit(0 if all(f.ok for f in figures) else 1)


if __name__ == "__main__":
    main()
