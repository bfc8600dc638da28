"""``patrol-lpr``: the command line.  Each command imports its modules when it runs, so that ``--help`` is fast."""

from __future__ import annotations

import errno
import functools
import importlib
import io
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from agent.errors import ConfigError
from hw.paths import COMMAND_DIR, CONFIG_FILE, FEED_SOCKET, STATE_DIR
from protocol.errors import PatrolError

EXIT_FAILED = 1
EXIT_CONFIG = 78
"""EX_CONFIG of sysexits.h.  The service is not restarted then: a restart does not fix a configuration."""

_USER_ERRORS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}
    # A card or a share that fails or is pulled out while it is read, and a file that it does not hold.
    | {errno.EIO, errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.EREMOTEIO, errno.ENOMEDIUM, errno.EFBIG}
)
"""OSErrors that are reported as one line even if they name no file."""

app = typer.Typer(
    name="patrol-lpr",
    help="Mobile licence plate reader: camera frame to receipted read.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _say_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - keeps --help fast

        sys.stdout.write(f"patrol-lpr {version('patrol-lpr')}\n")
        raise typer.Exit


@app.callback()
def main_options(
    version: Annotated[
        bool, typer.Option("--version", callback=_say_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Mobile licence plate reader: camera frame to receipted read."""


ModelsOption = Annotated[
    Path | None,
    typer.Option("--models", help="Folder with active.toml and the bundles; default: the shipped models."),
]


LATER = {
    **{
        name: name
        for name in ("station", "provision", "update", "roster", "shift", "deployment", "hotlist", "policy")
    },
    "report": "report_recompute",
}
"""Commands with modules of their own, in ``cli``."""


class RuntimeName(StrEnum):
    """TFLite runtimes, as in :class:`agent.recognise.RuntimeKind`, which is too slow to import for --help."""

    AUTO = "auto"
    LITERT = "litert"
    TFLITE = "tflite"


RuntimeOption = Annotated[RuntimeName, typer.Option("--runtime", help="TFLite runtime.")]


@app.command()
def read(  # noqa: PLR0917 - each option is one of the command's
    inputs: Annotated[list[str], typer.Argument(help="Pictures, videos, or folders of them.")],
    crops: Annotated[bool, typer.Option("--crops", help="Treat each picture as the crop of one plate.")] = False,
    jsonl: Annotated[
        bool, typer.Option("--jsonl", help="Print one JSON object per picture, and per read of a video.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the same objects as one JSON document.")] = False,
    formats: Annotated[
        bool, typer.Option("--formats", help="Also suggest the likeliest text in a plate format of the region.")
    ] = False,
    mask: Annotated[
        list[str] | None,
        typer.Option(help="Ignore plates in this box, x0,y0,x1,y1 as shares of the picture; repeatable."),
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(help="Ignore this text; * matches any characters; repeatable.")
    ] = None,
    models: ModelsOption = None,
    runtime: RuntimeOption = RuntimeName.AUTO,
) -> None:
    """Read the plates in photographs and videos."""
    from cli import read  # noqa: PLC0415 - keeps --help fast
    from hw.scene import known_scene  # noqa: PLC0415

    scene = known_scene([_mask_box(text) for text in mask or []], ignore or [])
    if jsonl and as_json:
        raise typer.BadParameter("give --json or --jsonl, not both")
    lines = read.OutputForm.LINES if jsonl else read.OutputForm.TABLES
    form = read.OutputForm.DOCUMENT if as_json else lines
    options = read.ReadOptions(crops=crops, form=form, formats=formats, scene=scene)
    raise typer.Exit(read.run(inputs, options, models=models, runtime=runtime.value))


def _mask_box(text: str) -> tuple[float, float, float, float]:
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter("expected x0,y0,x1,y1, such as 0,0.9,1,1", param_hint="--mask") from None
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise typer.BadParameter("expected shares, 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1", param_hint="--mask")
    return x0, y0, x1, y1


ConfigOption = Annotated[Path, typer.Option("--config", help="Configuration file of the unit.")]
SetOption = Annotated[list[str] | None, typer.Option("--set", help="Override section.key=value; repeatable.")]
_CONFIG = CONFIG_FILE


@app.command()
def run(  # noqa: PLR0917 - options of a command
    config: ConfigOption = _CONFIG,
    overrides: SetOption = None,
    until_cameras_end: Annotated[bool, typer.Option(help="Exit after the last frame of finite sources.")] = False,
    drain_s: Annotated[float, typer.Option(min=0, max=86_400, help="Seconds to keep sending at the end.")] = 3.0,
    console: Annotated[
        bool, typer.Option("--console", help="Also serve the page of `patrol-lpr console`, on this machine alone.")
    ] = False,
    console_port: Annotated[int, typer.Option(help="TCP port of that page.", min=0, max=65535)] = 8470,
) -> None:
    """Run the agent on the configured hardware."""
    from cli import run  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(
        run.run(
            config, overrides or [], until_cameras_end=until_cameras_end, drain_s=drain_s,
            console_port=console_port if console else None,
        )
    )  # fmt: skip


@app.command()
def console(  # noqa: PLR0917 - options of a command
    feed: Annotated[Path, typer.Option(help="UNIX socket of the agent's feed.")] = FEED_SOCKET,
    command: Annotated[Path, typer.Option(help="UNIX socket for commands to the agent.")] = COMMAND_DIR
    / "command.sock",
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback with a certificate only.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="TCP port; 0: any free one.", min=0, max=65535)] = 8470,
    unix: Annotated[Path | None, typer.Option(help="Listen on this UNIX socket instead, for a proxy.")] = None,
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
    from cli import console as console_cli  # noqa: PLC0415 - keeps --help fast

    console_cli.run(
        feed=feed, command=command, host=host, port=port, unix=unix, tls_cert=tls_cert, tls_key=tls_key,
        names=tuple(name or ()), sign_on_required=require_sign_on,
    )  # fmt: skip


@app.command()
def record(
    out: Annotated[Path, typer.Argument(help="Folder for the new drive.")],
    config: ConfigOption = _CONFIG,
    overrides: SetOption = None,
    camera: Annotated[str | None, typer.Option(help="Name of the camera; default: the first.")] = None,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, max=86_400, help="Stop after this many seconds.")
    ] = None,
) -> None:
    """Record a drive from the configured camera and receiver."""
    from cli import record  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(record.run(config, overrides or [], out, camera_name=camera, seconds=seconds))


@app.command()
def simulate(
    drives: Annotated[list[Path], typer.Argument(help="Drive folders.")],
    report: Annotated[Path | None, typer.Option(help="Write an HTML report here.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Keep outbox and station files in this folder.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; keys: docs/operations.md.")] = False,
) -> None:
    """Replay drives through agent, outbox, link and station, with the faults of their scripts."""
    from cli import simulate  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(simulate.run(drives, report, keep, as_json=as_json))


@app.command()
def demo(
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for reports and files: a new or empty one, or one of an earlier demo, which is emptied."
        ),
    ] = Path("demo-out"),
    drives: Annotated[Path, typer.Option(help="Folder with drives.")] = Path("tests/drives"),
    page: Annotated[
        bool | None,
        typer.Option(
            help="Keep the pages of station and console open until Enter is pressed; default: if there is a terminal."
        ),
    ] = None,
) -> None:
    """Run a demo: one drive live through a real broker, then all drives replayed, with reports."""
    from cli import demo  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(demo.run(drives, out, page=sys.stdin.isatty() if page is None else page))


@app.command()
def doctor(
    config: ConfigOption = _CONFIG,
    overrides: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    lamps: Annotated[
        bool, typer.Option("--lamps", help="Only show every lamp and sound in turn, and speak a line.")
    ] = False,
) -> None:
    """Check configuration, devices, keys and network; say what to do if a check fails."""
    from cli.diagnostics import doctor  # noqa: PLC0415 - keeps --help fast

    if lamps:
        raise typer.Exit(doctor.show_panel(config, overrides or [], each_s=3.0))
    raise typer.Exit(doctor.run(config, overrides or [], as_json=as_json))


@app.command()
def selftest(  # noqa: PLR0917 - options of a command
    config: ConfigOption = _CONFIG,
    overrides: SetOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write a printable checklist as HTML.")] = None,
    attended: Annotated[
        bool | None,
        typer.Option("--attended/--unattended", help="Ask the operator; default: if there is a terminal."),
    ] = None,
    sky_s: Annotated[
        float, typer.Option(min=0, max=86_400, help="Maximum time to wait for a fix, in seconds.")
    ] = 180.0,
) -> None:
    """Test a unit on the bench, step by step, with a checklist (stop the agent first)."""
    from cli.diagnostics import selftest  # noqa: PLC0415 - keeps --help fast
    from hw.clock import RealClock  # noqa: PLC0415

    raise typer.Exit(
        selftest.run(
            config, overrides or [], RealClock(), as_json=as_json, out=out, sky_s=sky_s,
            attended=sys.stdin.isatty() if attended is None else attended,
        )
    )  # fmt: skip


config_app = typer.Typer(
    help="Check or show a configuration, or print an example.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(config_app, name="config")


@config_app.command("check")
def config_check(
    path: Annotated[Path, typer.Argument()] = _CONFIG,
    overrides: SetOption = None,
    over: Annotated[Path | None, typer.Option(help="Configuration of an update to merge over it.")] = None,
) -> None:
    """Check a configuration and list all errors."""
    from cli import config  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(config.check(path, overrides or [], over))


@config_app.command("show")
def config_show(path: Annotated[Path, typer.Argument()] = _CONFIG, overrides: SetOption = None) -> None:
    """Print the effective configuration, including defaults."""
    from cli import config  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(config.show(path, overrides or []))


@config_app.command("example")
def config_example(
    camera: Annotated[str, typer.Option(help="Kind of the camera: pi, device, video, folder or sim.")] = "pi",
    gnss: Annotated[str, typer.Option(help="Kind of the receiver: serial, gpsd, fixed, sim or none.")] = "serial",
) -> None:
    """Print a complete example with a comment for every key; replace its unit, agency and host."""
    from cli import config  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(config.example(camera, gnss))


outbox_app = typer.Typer(help="Inspect the outbox of a unit.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(outbox_app, name="outbox")
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON; keys: docs/operations.md.")]
StateOption = Annotated[Path, typer.Option("--state-dir", help="Folder of the outbox.")]
_STATE = STATE_DIR


@outbox_app.command("show")
def outbox_show(state_dir: StateOption = _STATE, as_json: JsonOption = False) -> None:
    """Print the counters."""
    from cli import outbox  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(outbox.show(state_dir, as_json=as_json))


@outbox_app.command("list")
def outbox_list(
    state_dir: StateOption = _STATE,
    quarantined: Annotated[bool, typer.Option(help="Show quarantined records instead.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the oldest pending records."""
    from cli import outbox  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(outbox.listing(state_dir, quarantined=quarantined, as_json=as_json))


@outbox_app.command("requeue")
def outbox_requeue(config: ConfigOption = _CONFIG) -> None:
    """Send quarantined records again (stop the agent first)."""
    from agent.runtime.config import load_config  # noqa: PLC0415
    from cli import outbox  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(outbox.requeue(load_config(config)))


@outbox_app.command("discard")
def outbox_discard(config: ConfigOption = _CONFIG) -> None:
    """Delete quarantined records permanently; the station is told (stop the agent first)."""
    from agent.runtime.config import load_config  # noqa: PLC0415
    from cli import outbox  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(outbox.discard(load_config(config)))


keys_app = typer.Typer(help="Create and show keys.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(keys_app, name="keys")
FolderArgument = Annotated[Path, typer.Argument(help="Folder for the new files.")]


@keys_app.command("station")
def keys_station(
    folder: FolderArgument,
    name: Annotated[str, typer.Option(help="Base name of the files; must begin with station.")] = "station",
) -> None:
    """Create a station's key pairs for encryption, receipts and its audit log: keep .key at the station."""
    from cli import keys  # noqa: PLC0415 - keeps --help fast

    if not name.startswith("station") or "/" in name:
        raise typer.BadParameter("must begin with station and must not be a path", param_hint="--name")
    raise typer.Exit(keys.make_station(folder, name))


@keys_app.command("unit")
def keys_unit(folder: FolderArgument, unit: Annotated[str, typer.Argument(help="Id of the unit.")]) -> None:
    """Create a unit's signing key pair: keep unit.key on the unit, copy unit-ID.pub to the station."""
    from cli import keys  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(keys.make_unit(folder, unit))


@keys_app.command("release")
def keys_release(folder: FolderArgument) -> None:
    """Create the key pair that signs updates: keep release.key offline, copy release.pub to every unit."""
    from cli import keys  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(keys.make_signer(folder, "release"))


@keys_app.command("agency")
def keys_agency(folder: FolderArgument) -> None:
    """Create the key pair that signs rosters: keep agency.key offline, copy agency.pub to every unit."""
    from cli import keys  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(keys.make_signer(folder, "agency"))


@keys_app.command("policy")
def keys_policy(folder: FolderArgument) -> None:
    """Create the key pair that signs policies: keep policy.key offline, copy policy.pub to every unit."""
    from cli import keys  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(keys.make_signer(folder, "policy"))


@keys_app.command("hash")
def keys_hash(folder: FolderArgument) -> None:
    """Create the agency's key for keyed hashes of plates, which some policies keep instead of the text."""
    from cli import keys  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(keys.make_hash(folder))


@keys_app.command("show")
def keys_show(
    paths: Annotated[list[Path], typer.Argument(help="Public keys.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print fingerprints of public keys, to be compared by two people."""
    from cli import keys  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(keys.show(paths, as_json=as_json))


@app.command()
def verify(
    path: Annotated[
        Path,
        typer.Argument(help="A series, audit log or evidence package, from a command of `patrol-lpr station`."),
    ],
    key: Annotated[
        list[Path] | None,
        typer.Option(
            "--key", help="Trusted unit-ID.pub or log.pub; repeatable; if omitted, the keys in the file."
        ),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="A checkpoint that somebody keeps, or a unit's witness.json; repeatable."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check offline that an export is complete and unaltered; list what is missing, changed or reordered."""
    from cli import verify  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(verify.run(path, key or [], checkpoint or [], as_json=as_json))


bundle_app = typer.Typer(
    help="Check model bundles and measure their speed.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(bundle_app, name="bundle")


@bundle_app.command("verify")
def bundle_verify(models: ModelsOption = None, as_json: JsonOption = False) -> None:
    """Check contracts, hashes and goldens with every installed runtime."""
    from cli import bundle  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(bundle.verify(models, as_json=as_json))


@bundle_app.command("bench")
def bundle_bench(
    models: ModelsOption = None,
    runtime: RuntimeOption = RuntimeName.AUTO,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Threads of the detector.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Measure the speed of both models on this board."""
    from cli import bundle  # noqa: PLC0415 - keeps --help fast

    raise typer.Exit(bundle.bench(models, runtime=runtime.value, threads=threads, as_json=as_json))


def main() -> None:
    """Entry point: our own and the user's errors become one line and an exit code, anything else a traceback."""
    _prepare_streams()
    for name, module in LATER.items():
        if sys.argv[1:2] in ([name], ["--help"], []):
            # Only whoever uses it needs what it imports.
            app.add_typer(importlib.import_module(f"cli.{module}").app, name=name)
    try:
        command = typer.main.get_command(app)
        if "" in sys.argv[1:] and "." not in sys.argv[1:]:
            _refuse_empty_paths(command)
        command()
    except (PatrolError, OSError, ValueError) as error:
        told = _message_of(error)
        if told is None:
            raise
        _fail(told, EXIT_CONFIG if isinstance(error, ConfigError) else EXIT_FAILED)


def _message_of(error: Exception) -> str | None:
    """The message for a mistake of the user, who can mend it; None for a defect."""
    from cli.terminal import explained  # noqa: PLC0415 - only when something is wrong

    if isinstance(error, UnicodeEncodeError):
        wrong = next((text for text in sys.argv[1:] if not _is_text(text)), None)
        return wrong and f"{wrong}: not UTF-8, which this command needs of texts and names"
    if isinstance(error, PatrolError):
        return explained(error)
    if isinstance(error, OSError):
        # A missing file, a folder without write permission, a full disk.
        known = error.filename is not None or error.errno in _USER_ERRORS
        return explained(error) if known else None
    return _mistakes_of_values(error)


def _prepare_streams() -> None:
    """Standard streams that are closed lead to the null device; what an encoding lacks is written as an escape."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # In this order each takes the descriptor that is free, its own: no file of ours may.
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - open to the end
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _refuse_empty_paths(command: Any) -> None:
    """Have every command below refuse an empty path: ``pathlib`` takes it for the working folder."""
    for inner in getattr(command, "commands", {}).values():
        _refuse_empty_paths(inner)
    called = command.callback
    if called is None:
        return

    @functools.wraps(called)
    def checked(*arguments: Any, **values: Any) -> Any:
        for name, value in values.items():
            paths = value if isinstance(value, list | tuple) else (value,)
            if any(isinstance(path, Path) and path == Path() for path in paths):
                raise typer.BadParameter("must not be empty", param_hint=name.replace("_", "-"))
        return called(*arguments, **values)

    command.callback = checked


def _mistakes_of_values(error: Exception) -> str | None:
    """The mistakes in words if a value given to a command does not fit what is made of it; else None."""
    models: Any = sys.modules.get("pydantic")
    if models is None or not isinstance(error, models.ValidationError):
        return None
    from agent.runtime.config.mistakes import lines_of  # noqa: PLC0415 - only when something is wrong

    return "a value cannot be used:\n" + "\n".join(lines_of(error, {}))


def _is_text(argument: str) -> bool:
    """False if it has bytes that are not UTF-8; Python holds them as surrogates."""
    return not any("\ud800" <= char <= "\udfff" for char in argument)


def _fail(text: str, code: int) -> NoReturn:
    from cli.terminal import say  # noqa: PLC0415 - only when something is wrong

    say(text)
    if "--json" in sys.argv[1:]:
        from cli.show import print_json  # noqa: PLC0415 - only when something is wrong

        print_json({"error": text})
    sys.exit(code)
