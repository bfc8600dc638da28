"""``patrol-lpr``: the command line.  Each verb imports what it needs when it runs, so that ``--help`` is instant."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from agent.errors import AgentError
from hw.ports import HwError

EXIT_USAGE = 2
EXIT_FAILED = 1
EXIT_CRASHED = 70

app = typer.Typer(
    name="patrol-lpr",
    help="Mobile licence plate reader: camera frame to acknowledged read.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

ModelsOption = Annotated[
    Path | None,
    typer.Option("--models", help="Folder with active.toml and the bundles; the shipped ones by default."),
]
RuntimeOption = Annotated[str, typer.Option("--runtime", help="TFLite runtime: auto, litert or tflite.")]


@app.command()
def read(
    inputs: Annotated[list[Path], typer.Argument(help="Pictures, folders of pictures, or videos.")],
    crops: Annotated[bool, typer.Option("--crops", help="Take each whole picture as one plate.")] = False,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object a picture.")] = False,
    models: ModelsOption = None,
    runtime: RuntimeOption = "auto",
) -> None:
    """Read the plates in photographs and videos."""
    from agent.runtime import read_command  # noqa: PLC0415 - keeps --help instant

    raise typer.Exit(read_command.run(inputs, crops=crops, jsonl=jsonl, models=models, runtime=runtime))


bundle_app = typer.Typer(help="Verify and time the model bundles.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(bundle_app, name="bundle")


@bundle_app.command("verify")
def bundle_verify(models: ModelsOption = None) -> None:
    """Check contracts, hashes and goldens on every installed runtime."""
    from agent.runtime import bundle_command  # noqa: PLC0415 - keeps --help instant

    raise typer.Exit(bundle_command.verify(models))


@bundle_app.command("bench")
def bundle_bench(models: ModelsOption = None, runtime: RuntimeOption = "auto", threads: int = 1) -> None:
    """Time both models on this board."""
    from agent.runtime import bundle_command  # noqa: PLC0415 - keeps --help instant

    raise typer.Exit(bundle_command.bench(models, runtime=runtime, threads=threads))


def main() -> None:
    """Entry point: errors raised on purpose become one line and an exit code, anything else a traceback."""
    try:
        app()
    except (AgentError, HwError) as error:
        sys.stderr.write(f"patrol-lpr: {error}\n")
        sys.exit(EXIT_FAILED)
