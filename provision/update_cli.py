"""``patrol-lpr update``: make and look at updates; on the unit apply one, see how it stands, go back."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from agent.errors import UpdateError
from agent.seal.keys import SigningKey, VerifyKey
from agent.update.envelope import verify_update
from agent.update.making import Sources, Terms, make_update

if TYPE_CHECKING:
    from agent.update.manifest import Manifest

app = typer.Typer(
    help="Signed updates of code, models and configuration.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
RELEASE_KEY = Path("/etc/patrol-lpr/release.pub")
_DAY_S = 86_400
_MEBI = 2**20
FileArgument = Annotated[Path, typer.Argument(help="The update, *.lprup.")]
KeyOption = Annotated[Path, typer.Option("--key", help="release.pub to believe.")]


@app.command()
def make(
    out: FileArgument,
    *,
    key: Annotated[Path, typer.Option(help="release.key, from `patrol-lpr keys release`.")],
    release: Annotated[int, typer.Option(min=1, help="Number of the release; only ever rises.")],
    wheels: Annotated[
        Path | None, typer.Option(help="Folder with the wheels of patrol-lpr and its needs.")
    ] = None,
    models: Annotated[Path | None, typer.Option(help="Folder with active.toml and the bundles.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML to lay over the configuration of the units.")] = None,
    unit: Annotated[
        list[str] | None, typer.Option("--unit", help="Id or pattern of units; repeatable; absent: the fleet.")
    ] = None,
    days: Annotated[float, typer.Option(min=0.01, help="How long it may be applied.")] = 90,
    needs: Annotated[int, typer.Option(min=0, help="Lowest release it may be applied on.")] = 0,
    base: Annotated[
        Path | None, typer.Option(help="Earlier update whose wheels the units have; they are left out.")
    ] = None,
    note: Annotated[str, typer.Option(help="One line for people.")] = "",
) -> None:
    """Sign an update of code, models, configuration, or any of them."""
    signing, sources = SigningKey.load(key), Sources()
    if wheels is not None:
        sources.add_wheels(wheels)
    if models is not None:
        sources.add_models(models)
    if config is not None:
        sources.add_config(config)
    if not sources.paths:
        raise typer.BadParameter("give --wheels, --models or --config")
    now_s = int(time.time())
    terms = Terms(release, tuple(unit or ("*",)), now_s - _DAY_S, now_s + round(days * _DAY_S), needs, note)
    made = make_update(
        out, sources, terms, signing, base=None if base is None else _verified(base, signing.public)
    )
    Console().print(
        f"{out}: release {release}, {out.stat().st_size / _MEBI:.1f} MiB, {_parts(made)}", highlight=False
    )


@app.command()
def show(file: FileArgument, key: KeyOption = RELEASE_KEY) -> None:
    """Verify every byte of an update and say what it holds."""
    manifest = _verified(file, VerifyKey.load(key))
    table = Table("part", "file", "bytes", "sha256", "")
    for entry in manifest.files:
        carried = "" if entry.carried else "from the unit"
        table.add_row(entry.part.value, entry.name, f"{entry.size:,}", entry.sha256[:12], carried)
    console = Console()
    console.print(
        f"release {manifest.release} for {', '.join(manifest.units)}, on release {manifest.needs} or higher, "
        f"from {_utc(manifest.not_before_s)} to {_utc(manifest.expires_s)}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    if manifest.note:
        console.print(manifest.note, highlight=False, markup=False)
    console.print(table)


def _verified(path: Path, key: VerifyKey) -> Manifest:
    try:
        with path.open("rb") as file:
            return verify_update(file, key)
    except OSError as error:
        raise UpdateError(f"{path}: cannot be read: {error.strerror}") from error


def _parts(manifest: Manifest) -> str:
    return ", ".join(sorted(part.value for part in manifest.parts))


def _utc(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")
