"""``patrol-lpr station config``: example and check of ``station.toml``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import Annotated

import typer

from cli.show import print_done

app = typer.Typer(
    help="The station's file station.toml: print an example, check it.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command()
def example() -> None:
    """Print a complete example with a comment for each key."""
    from station.config import example as text  # noqa: PLC0415 - keeps --help fast

    sys.stdout.write(text())


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="station.toml")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; keys: docs/operations.md.")] = False,
) -> None:
    """Check a file and the files that it names; all errors are listed."""
    from station.config import load_station_config  # noqa: PLC0415 - keeps --help fast
    from station.outputs.runner import open_destination  # noqa: PLC0415 - as above

    config = load_station_config(file)
    for table in config.outputs:
        open_destination(table, lambda: 0).close()
    names = ", ".join(f"{table.name} ({table.kind})" for table in config.outputs)
    outputs = [{"name": table.name, "kind": table.kind} for table in config.outputs]
    print_done(
        f"{file}: valid; outputs {names or 'none'}", {"file": str(file), "valid": True, "outputs": outputs},
        as_json=as_json,
    )  # fmt: skip
