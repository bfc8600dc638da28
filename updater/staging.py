"""Stage an update next to the running release, check it with its own program, and start its trial.  Root, on the unit.

The source of the file is not trusted: it is read once, exactly the hashed bytes are written, and until the last
rename the running release is unchanged.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from protocol.errors import UpdateError
from protocol.update.envelope import each_file, read_manifest
from protocol.update.manifest import CONFIG_NAME, Part, refuse_unless_fits
from protocol.written import WrittenFileError, parse_toml, read_written
from updater.releases import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.seal.keys import VerifyKey
    from protocol.update.manifest import FileEntry, Manifest
    from updater.releases import Releases

MANIFEST = "manifest.json"
_ROOM_FACTOR = 4
_MIN_ROOM_BYTES = 256 * 2**20
"""Wheels are kept, and unpack to about three times their size; reads need space as well."""
_TOOL_S = 1200
_TOLD = 400


class Tools(Protocol):
    """Steps that run other programs."""

    def make_environment(self, folder: Path, wheels: Path) -> None:
        """Create a virtual environment with the program; raises UpdateError."""

    def check(self, code: Path, *, models: Path | None, config: Path, over: Path) -> None:
        """Check models and complete configuration with the release's own program; raises UpdateError."""


class RealTools:
    """Uses venv, pip without a network, and the new program."""

    def make_environment(self, folder: Path, wheels: Path) -> None:
        """Like the installer."""
        _run(Path(sys.base_prefix) / "bin/python3", "-m", "venv", "--system-site-packages", str(folder))
        _run(
            folder / "bin/pip", "install", "--quiet", "--no-index", "--no-cache-dir", "--disable-pip-version-check",
            "--find-links", str(wheels), "patrol-lpr[litert]",
        )  # fmt: skip

    def check(self, code: Path, *, models: Path | None, config: Path, over: Path) -> None:
        """``config check`` and ``bundle verify``: contracts, hashes and goldens, on this board."""
        program = code / "bin/patrol-lpr"
        _run(program, "config", "check", str(config), "--over", str(over))
        _run(program, "bundle", "verify", *(() if models is None else ("--models", str(models))))


@dataclass(frozen=True, slots=True)
class Site:
    """Identity of the unit and the key it trusts."""

    key: VerifyKey
    config: Path
    """The unit's own configuration."""

    def unit(self) -> str:
        """The unit's id; raises UpdateError if there is no configuration yet."""
        try:
            return str(parse_toml(read_written(self.config))["unit"])
        except (OSError, WrittenFileError, KeyError) as error:
            raise UpdateError(f"{self.config}: has no unit: {error}") from None


def apply(
    file: IO[bytes], releases: Releases, site: Site, tools: Tools, *, now_s: float, anyway: bool = False
) -> Manifest:
    """Stage an update and start its trial; it runs from the agent's next start.

    Raises UpdateError, after which nothing has changed; a rejection is recorded if the manifest could be read.
    """
    manifest = read_manifest(file, site.key)
    try:
        _refuse_now(manifest, releases, site, now_s=now_s, anyway=anyway)
        _stage(file, manifest, releases, site, tools)
    except UpdateError as error:
        releases.refuse(manifest.release, str(error))
        raise
    releases.begin(manifest.release)
    return manifest


def _refuse_now(manifest: Manifest, releases: Releases, site: Site, *, now_s: float, anyway: bool) -> None:
    state, running = releases.load(), releases.current
    if running != releases.committed:
        raise UpdateError(f"release {running} is on trial: wait until it is committed or rolled back")
    if manifest.release == running:
        raise UpdateError(f"release {running} is already running")
    refuse_unless_fits(
        manifest, unit=site.unit(), now_s=now_s, running=running, floor=state.floor, failed=frozenset(state.failed),
        anyway=anyway,
    )  # fmt: skip
    free = shutil.disk_usage(releases.home).free
    needed = sum(entry.size for entry in manifest.files) * _ROOM_FACTOR + _MIN_ROOM_BYTES
    if free < needed:
        raise UpdateError(
            f"{free // 2**20} MiB are free, {needed // 2**20} are needed next to the running release"
        )


def _stage(file: IO[bytes], manifest: Manifest, releases: Releases, site: Site, tools: Tools) -> None:
    try:
        _lay_out(file, manifest, releases, site, tools)
    except OSError as error:
        _forget(releases, manifest.release)
        raise UpdateError(f"release {manifest.release} cannot be staged: {error}") from error
    except UpdateError:
        _forget(releases, manifest.release)
        raise


def _lay_out(file: IO[bytes], manifest: Manifest, releases: Releases, site: Site, tools: Tools) -> None:
    release, done = manifest.release, releases.done
    _forget(releases, release)
    done("cleared")
    part = _part(releases, release)
    part.mkdir(parents=True)
    folders = {
        Part.CODE: releases.home / "code" / str(release) / "wheels",
        Part.MODELS: releases.home / "models" / str(release),
        Part.CONFIG: part,
    }
    for entry, blocks in each_file(file, manifest):
        _write(folders[entry.part] / entry.name, blocks)
        done(f"wrote {entry.part.value}/{entry.name}")
    if Part.CODE in manifest.parts:
        _bring_held(manifest, releases, folders[Part.CODE])
        tools.make_environment(folders[Part.CODE].parent, folders[Part.CODE])
        done("environment")
    _compose(manifest, releases, part)
    done("composed")
    models = part / "models"
    tools.check(
        (part / "code").resolve(), models=models.resolve() if models.is_symlink() else None, config=site.config,
        over=part / CONFIG_NAME,
    )  # fmt: skip
    done("checked")
    os.sync()
    part.rename(releases.folder(release))
    sync_folder(part.parent)
    done("staged")


def _compose(manifest: Manifest, releases: Releases, part: Path) -> None:
    """Parts that the update omits come from the running release; new code includes models unless the update does."""
    running, own, parts = releases.folder(releases.current), str(manifest.release), manifest.parts
    (part / "code").symlink_to(f"../../code/{own}" if Part.CODE in parts else (running / "code").readlink())
    if Part.MODELS in parts:
        (part / "models").symlink_to(f"../../models/{own}")
    elif Part.CODE not in parts and (running / "models").is_symlink():
        (part / "models").symlink_to((running / "models").readlink())
    if Part.CONFIG not in parts and (running / CONFIG_NAME).exists():
        shutil.copyfile(running / CONFIG_NAME, part / CONFIG_NAME)
    (part / MANIFEST).write_bytes(manifest.canonical())


def _bring_held(manifest: Manifest, releases: Releases, wheels: Path) -> None:
    """Wheels that the update lists but does not include, from the running release or the image."""
    running = releases.folder(releases.current) / "code" / "wheels"
    for entry in manifest.files:
        if entry.carried:
            continue
        source = next((p for d in (running, releases.home / "wheels") if _is(p := d / entry.name, entry)), None)
        if source is None:
            raise UpdateError(f"{entry.name} is not on this unit: make the update without --base")
        wheels.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, wheels / entry.name)


def _is(path: Path, entry: FileEntry) -> bool:
    if not path.is_file() or path.stat().st_size != entry.size:
        return False
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == entry.sha256


def _write(path: Path, blocks: Iterable[bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as out:
        for block in blocks:
            out.write(block)


def _part(releases: Releases, release: int) -> Path:
    return releases.folder(release).with_name(f"{release}.part")


def _forget(releases: Releases, release: int) -> None:
    """Delete remains of an earlier attempt; never the running or the committed release."""
    if release in {releases.current, releases.committed}:
        return
    for path in (
        releases.folder(release), _part(releases, release), releases.home / "code" / str(release),
        releases.home / "models" / str(release),
    ):  # fmt: skip
        if path.exists():
            shutil.rmtree(path)


def _run(program: Path, *arguments: str) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - programs of the release, arguments of our own
            [str(program), *arguments], capture_output=True, text=True, check=False, timeout=_TOOL_S
        )
    except subprocess.TimeoutExpired:
        raise UpdateError(f"{program.name} {arguments[0]} did not finish in {_TOOL_S} s") from None
    if done.returncode:
        told = " ".join((done.stderr or done.stdout).split())[-_TOLD:]
        raise UpdateError(f"{program.name} {' '.join(arguments[:2])}: {told}")
