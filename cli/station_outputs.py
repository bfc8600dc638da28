"""``patrol-lpr station outputs``: send hits and reads to other systems, show what waits and what failed."""

from __future__ import annotations

import signal
import sys
import threading
from pathlib import Path  # noqa: TC003 - typer reads the annotations
from typing import TYPE_CHECKING, Annotated, Any

import structlog
import typer

from cli.show import TextTable, print_done, print_json, print_table
from cli.station_place import DbOption, JsonOption, commands_on, now_us, opened
from cli.terminal import beside
from hw.output import output
from station.query.export import iso

if TYPE_CHECKING:
    from station.store import DeadLetter, OutputState

EXIT_CRASHED = 70
_POLL_S = 1.0
app = typer.Typer(
    help="Outputs to other systems: docs/outputs.md.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
NameArgument = Annotated[str, typer.Argument(help="Name of the output.")]


@app.command()
def run(
    context: typer.Context,
    *,
    config: Annotated[Path, typer.Option(help="station.toml, with the outputs.")],
    db: DbOption = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this output; repeatable.")] = None,
) -> None:
    """Deliver new records to the outputs of a file, until Ctrl-C; several of these share the work safely."""
    from station.config import load_station_config  # noqa: PLC0415 - keeps --help fast
    from station.outputs.runner import OutputService  # noqa: PLC0415 - as above

    _log_to_stderr()
    tables = load_station_config(config).outputs
    for name in only or ():
        if name not in {table.name for table in tables}:
            raise typer.BadParameter(f"{config} has no output {name!r}", param_hint="--only")
    chosen = [table for table in tables if not only or table.name in only]
    if not chosen:
        raise typer.BadParameter(f"{config} has no outputs", param_hint="--config")
    ending = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ending.set())
    with opened(context, db) as store:
        service = OutputService(store, chosen, now_us)
        service.start()
        sys.stderr.write(f"sending to {', '.join(table.name for table in chosen)}; Ctrl-C to stop\n")
        while not ending.wait(_POLL_S) and service.is_alive:
            pass
        crashed = not service.is_alive
        service.close()
    raise typer.Exit(EXIT_CRASHED if crashed else 0)


@app.command()
def show(context: typer.Context, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Show each output: what waits, what was delivered, and why the next record was not."""
    with opened(context, db) as store:
        states = store.stream.states()
    if as_json:
        print_json([_values(state) for state in states])
        return
    table = TextTable(
        "output", "records", "waiting", "delivered", "left out", "dead letters", "last delivered", "error"
    )
    for state in states:
        left_out = state.skipped + state.overflowed
        counts = (f"{state.waiting:,}", f"{state.delivered:,}", f"{left_out:,}", f"{state.dead:,}")
        table.add_row(
            state.name, ", ".join(state.schemas), *counts, iso(state.delivered_us) or "", state.last_error
        )
    print_table(table)


@app.command()
def dead(
    context: typer.Context,
    name: Annotated[str | None, typer.Argument(help="Only of this output.")] = None,
    *,
    db: DbOption = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="Number of dead letters.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """Show records that could not be delivered, the latest first."""
    with opened(context, db) as store:
        if name is not None:
            commands_on(store).refuse_unknown_output(name)
        letters = store.stream.dead_letters(name, limit)
    if as_json:
        print_json([_letter_values(letter) for letter in letters])
        return
    table = TextTable("output", "unit", "record", "id", "failed", "attempts", "reason")
    for letter in letters:
        table.add_row(
            letter.output, letter.unit, letter.schema, letter.record_id.hex(), iso(letter.failed_us) or "",
            str(letter.attempts), letter.reason,
        )  # fmt: skip
    print_table(table)


@app.command()
def retry(context: typer.Context, name: NameArgument, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Send the dead letters of an output again; recorded in the audit trail."""
    with opened(context, db) as store:
        count = commands_on(store).retry_output(name)
    print_done(
        f"{count:,} records will be sent to {name} again", {"output": name, "records": count}, as_json=as_json
    )


@app.command()
def remove(context: typer.Context, name: NameArgument, db: DbOption = None, as_json: JsonOption = False) -> None:
    """Forget an output with its place and dead letters; recorded in the audit trail."""
    with opened(context, db) as store:
        was = commands_on(store).remove_output(name)
    text = f"output {name} removed" if was else f"there is no output {name}"
    print_done(text, {"output": name, "removed": was}, as_json=as_json)


@app.command()
def secret(file: Annotated[Path, typer.Argument(help="New file for the secret.")]) -> None:
    """Make the secret of a webhook; the receiver needs the same line."""
    from station.outputs.webhook import new_secret  # noqa: PLC0415 - keeps --help fast

    if file.exists():
        raise typer.BadParameter(f"{file} exists: a secret is not overwritten", param_hint="FILE")
    with output(file, private=True) as out:
        out.write(f"{new_secret()}\n".encode())
    beside(file).print(f"{file}: give the receiver this line over a safe channel")


def _values(state: OutputState) -> dict[str, Any]:
    return {
        "output": state.name,
        "records": list(state.schemas),
        "registered": iso(state.registered_us),
        "waiting": state.waiting,
        "oldest": iso(state.oldest_us),
        "delivered": state.delivered,
        "skipped": state.skipped,
        "overflowed": state.overflowed,
        "given_up": state.buried,
        "dead": state.dead,
        "attempts": state.attempts,
        "last_delivered": iso(state.delivered_us),
        "error": state.last_error,
        "holder": state.holder,
    }


def _letter_values(letter: DeadLetter) -> dict[str, Any]:
    return {
        "output": letter.output,
        "unit": letter.unit,
        "schema": letter.schema,
        "record_id": letter.record_id.hex(),
        "received": iso(letter.received_us),
        "failed": iso(letter.failed_us),
        "attempts": letter.attempts,
        "reason": letter.reason,
    }


def _log_to_stderr() -> None:
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
