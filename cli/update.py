"""``patrol-lpr update``: make and inspect updates; on a unit: apply, status, confirm, roll back."""

from __future__ import annotations

import datetime as dt
import os
import stat
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated

import typer

from cli.show import TextTable, json_value, print_json, print_table
from cli.terminal import PlainConsole, beside
from hw.paths import CONFIG_FILE, STATE_DIR
from protocol.errors import UpdateError
from protocol.seal.keys import SigningKey, VerifyKey
from protocol.update.envelope import verify_update
from updater.release_state import HOME, INBOX, RELEASE_KEY
from updater.releases import MAX_STARTS, Releases
from updater.staging import RealTools, Site, apply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protocol.update.manifest import Manifest

app = typer.Typer(
    help="Signed updates of code, models and configuration.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
_LEFT = STATE_DIR / INBOX
_READABLE = 0o022
"""Independent of root's umask: the service's user must be able to read the release."""
_DAY_S = 86_400
_MEBI = 2**20
FileArgument = Annotated[Path, typer.Argument(help="The update, *.lprup.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON; keys: docs/operations.md.")]
HomeOption = Annotated[Path, typer.Option(help="Folder of the releases.")]
ConfigOption = Annotated[Path, typer.Option(help="The unit's own configuration.")]
KeyOption = Annotated[Path, typer.Option("--key", help="release.pub that must have signed it.")]


@app.command()
def make(
    out: FileArgument,
    *,
    key: Annotated[Path, typer.Option(help="release.key, from `patrol-lpr keys release`.")],
    release: Annotated[int, typer.Option(min=1, max=2**31 - 1, help="Number of the release; must increase.")],
    wheels: Annotated[
        Path | None, typer.Option(help="Folder with the wheels of patrol-lpr and its dependencies.")
    ] = None,
    models: Annotated[Path | None, typer.Option(help="Folder with active.toml and the bundles.")] = None,
    config: Annotated[Path | None, typer.Option(help="TOML to merge over the configuration of the units.")] = None,
    unit: Annotated[
        list[str] | None,
        typer.Option("--unit", help="Id or pattern of units; repeatable; if omitted, the whole fleet."),
    ] = None,
    days: Annotated[float, typer.Option(min=0.01, max=36_600, help="Days during which it can be applied.")] = 90,
    needs: Annotated[int, typer.Option(min=0, max=2**31 - 1, help="Lowest release it can be applied on.")] = 0,
    base: Annotated[
        Path | None, typer.Option(help="Earlier update whose wheels the units already have; these are left out.")
    ] = None,
    note: Annotated[str, typer.Option(help="Description, one line.")] = "",
) -> None:
    """Make and sign an update with code, models, configuration, or any of them."""
    from provision.make_update import Sources, Terms, make_update  # noqa: PLC0415 - loads the models' runtime

    signing, sources = SigningKey.load(key), Sources()
    if wheels is not None:
        sources.add_wheels(wheels)
        sources.refuse_damaged_wheels()
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
    beside(out).print(f"{out}: release {release}, {out.stat().st_size / _MEBI:.1f} MiB, {_parts(made)}")


@app.command()
def show(file: FileArgument, key: KeyOption = RELEASE_KEY, *, as_json: JsonOption = False) -> None:
    """Verify an update completely and print its contents."""
    manifest = _verified(file, VerifyKey.load(key))
    if as_json:
        print_json(manifest.model_dump(mode="json"))
        return
    table = TextTable("part", "file", "bytes", "sha256", "")
    for entry in manifest.files:
        carried = "" if entry.carried else "from the unit"
        table.add_row(entry.part.value, entry.name, f"{entry.size:,}", entry.sha256[:12], carried)
    console = PlainConsole()
    console.print(
        f"release {manifest.release} for {', '.join(manifest.units)}, on release {manifest.needs} or higher, "
        f"from {_utc(manifest.not_before_s)} to {_utc(manifest.expires_s)}",
    )  # fmt: skip
    if manifest.note:
        console.print(manifest.note)
    print_table(table, console)


@app.command("apply")
def apply_command(
    file: FileArgument,
    *,
    home: HomeOption = HOME,
    key: KeyOption = RELEASE_KEY,
    config: ConfigOption = CONFIG_FILE,
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Accept an older release, or one that was rolled back.")
    ] = False,
) -> None:
    """On the unit, as root: verify, stage and check an update; on trial from the next start."""
    os.umask(_READABLE)
    with _opened(file) as opened:
        made = apply(
            opened,
            Releases(home),
            Site(VerifyKey.load(key), config),
            RealTools(),
            now_s=time.time(),
            anyway=anyway,
        )
    PlainConsole().print(
        f"release {made.release} is staged and on trial from the next start: systemctl restart patrol-lpr",
    )  # fmt: skip


@app.command()
def take(
    inbox: Annotated[Path, typer.Option(help="The file that the agent fetched; deleted afterwards.")] = _LEFT,
    home: HomeOption = HOME,
    key: KeyOption = RELEASE_KEY,
    config: ConfigOption = CONFIG_FILE,
) -> None:
    """Run by patrol-lpr-update.service: apply the file that the agent fetched, without trusting the agent."""
    os.umask(_READABLE)
    with fetched_update(inbox) as file:
        made = apply(file, Releases(home), Site(VerifyKey.load(key), config), RealTools(), now_s=time.time())
    PlainConsole().print(f"release {made.release} is staged")


@app.command()
def status(home: HomeOption = HOME, *, as_json: JsonOption = False) -> None:
    """Show the running and the committed release and the result of the last update."""
    releases = Releases(home)
    state, current, committed = releases.load(), releases.current, releases.committed
    if as_json:
        print_json({"running": current, "committed": committed, **json_value(state)})
        return
    console = PlainConsole()
    if current == committed:
        console.print(f"release {current}, committed")
    else:
        starts = 0 if state.trial is None else state.trial.starts
        console.print(
            f"release {current} on trial, started {starts} of {MAX_STARTS} times; {committed} is committed"
        )
    if state.last_outcome:
        reason = f": {state.last_reason}" if state.last_reason else ""
        console.print(f"last update: release {state.last_release} {state.last_outcome}{reason}")
    console.print(
        f"{state.commits} committed, {state.roll_backs} rolled back, {state.refusals} refused; "
        f"updates must be above {state.floor}"
    )


@app.command()
def confirm(home: HomeOption = HOME) -> None:
    """On the unit, as root: commit the release on trial."""
    releases = Releases(home)
    releases.commit(releases.current)
    PlainConsole().print(f"release {releases.committed} is committed")


@app.command()
def rollback(home: HomeOption = HOME) -> None:
    """On the unit, as root: go back to the previous release; then systemctl restart patrol-lpr."""
    PlainConsole().print(f"release {Releases(home).return_to_previous()} is used from the next start")


@contextmanager
def fetched_update(inbox: Path) -> Iterator[IO[bytes]]:
    """Open a file of an unprivileged user, without following links, and delete it at the end.

    Raises UpdateError.
    """
    folder = -1
    try:
        folder = os.open(inbox.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        handle = os.open(inbox.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise UpdateError(f"{inbox}: no file")
            yield file
    except OSError as error:
        raise UpdateError(f"{inbox}: cannot be used: {error.strerror}") from error
    finally:
        if folder != -1:
            with suppress(OSError):
                _delete(inbox.name, folder)
            os.close(folder)


def _delete(name: str, folder: int) -> None:
    """Delete what the agent left, whatever it is; never a device, which an agent cannot make: /dev/null was named."""
    mode = os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode
    if not stat.S_ISBLK(mode) and not stat.S_ISCHR(mode):
        os.unlink(name, dir_fd=folder)


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise UpdateError(f"{path}: cannot be read: {error.strerror}") from error


def _verified(path: Path, key: VerifyKey) -> Manifest:
    with _opened(path) as file:
        return verify_update(file, key)


def _parts(manifest: Manifest) -> str:
    return ", ".join(sorted(part.value for part in manifest.parts))


def _utc(seconds: int) -> str:
    return dt.datetime.fromtimestamp(seconds, dt.UTC).strftime("%Y-%m-%d %H:%M")
