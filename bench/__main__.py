"""Run every bench and print one table; ``--out FILE`` keeps the figures as the reference of this kind of machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.measure import Figure, arguments

BENCHES = tuple(f"bench.{path.stem}" for path in sorted(Path(__file__).parent.glob("bench_*.py")))


def run(module: str, *options: str) -> list[Figure]:
    """Run one bench in a process of its own (memory and CPU time are its own, too); raises CalledProcessError."""
    done = subprocess.run([sys.executable, "-m", module, *options], stdout=subprocess.PIPE, text=True, check=True)
    return [Figure(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]


def main() -> None:
    """Measure, print, keep; exit 1 when a bench fails or a figure misses its limit.

    What one bench raises goes to standard error, and the others run all the same.
    """
    parser = arguments(__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("benches", nargs="*", default=BENCHES)
    options = parser.parse_args()
    table = Table("figure", "value", "limit", "")
    figures, failed = [], []
    for module in options.benches:
        try:
            figures += run(module, *(["--tiny"] if options.tiny else []))
        except subprocess.CalledProcessError:
            failed.append(module)
    for figure in figures:
        bound = f"<= {figure.limit:g}" if figure.limit is not None else ""
        bound = f">= {figure.floor:g}" if figure.floor is not None else bound
        verdict = "" if not bound else "[green]ok[/]" if figure.ok else "[red]missed[/]"
        table.add_row(figure.name, f"{figure.value:.3g} {figure.unit}", bound, verdict)
    Console().print(table)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}; nothing is kept")
    if options.out:
        options.out.write_text("".join(f.as_json() + "\n" for f in figures))
    sys.exit(0 if options.tiny or all(f.ok for f in figures) else 1)


if __name__ == "__main__":
    main()
