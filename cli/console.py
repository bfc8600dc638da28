"""``patrol-lpr console``: the page for the terminal in the vehicle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from console.__main__ import become_console
from console.config import COMMAND_SOCKET, DEFAULT_PORT, FEED_SOCKET, LOOPBACK, ConsoleConfig

FeedOption = Annotated[Path, typer.Option("--feed", help="UNIX socket of the agent's feed.")]
CommandOption = Annotated[Path, typer.Option("--command", help="UNIX socket for commands to the agent.")]


def console(  # noqa: PLR0917 - options of a command
    feed: FeedOption = FEED_SOCKET,
    command: CommandOption = COMMAND_SOCKET,
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback with a certificate only.")
    ] = LOOPBACK,
    port: Annotated[int, typer.Option(help="TCP port; 0: any free one.", min=0, max=65535)] = DEFAULT_PORT,
    unix: Annotated[Path | None, typer.Option(help="Listen on this UNIX socket instead.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="Certificate chain (PEM).")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="Private key of the certificate (PEM).")] = None,
    name: Annotated[
        list[str] | None, typer.Option(help="Host name under which browsers reach it; repeatable.")
    ] = None,
    require_sign_on: Annotated[
        bool | None,
        typer.Option(help="Show reads and hits only after a sign-on; default: only beyond loopback."),
    ] = None,
) -> None:
    """Serve the page for the terminal in the vehicle."""
    config = ConsoleConfig(
        feed=feed, command=command, host=host, port=port, unix=unix, tls_cert=tls_cert, tls_key=tls_key,
        names=tuple(name or ()), sign_on_required=require_sign_on,
    )  # fmt: skip
    become_console(config)
