"""Put an update beside what runs, check it there with its own program, and begin its trial.  Root, on the unit.

Nothing is trusted of whoever brought the file: it is read once, what is written is what was hashed, and until the last
rename nothing that runs has changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol

from protocol.errors import UpdateError
from protocol.update.envelope import each_file, read_manifest
from protocol.update.manifest import CONFIG_NAME, Part, refuse_unless_fits
from updater.releases import sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.seal.keys import VerifyKey
    from protocol.update.manifest import FileEntry, Manifest
    from updater.releases import Releases

MANIFEST = "manifest.json"
_ROOM_FACTOR = 4
_MIN_ROOM_BYTES = 256 * 2**20
"""Wheels are kept, and unpack to about three times their size, those of the unit too; the reads need room as well."""
_TOOL_S = 1200
_TOLD = 400


class Tools(Protocol):
    """What needs other programs."""

    def make_environment(self, folder: Path, wheels: Path) -> None:
        """Make a virtual environment with the program in it; raises UpdateError."""

    def check(self, code: Path, *, models: Path | None, config: Path, over: Path) -> None:
        """Let a release's own program check models and whole configuration; raises UpdateError."""


class RealTools:
    """venv, pip without a network, and the new program itself."""

    def make_environment(self, folder: Path, wheels: Path) -> None:
        """As the installer does."""
        _run(Path(sys.base_prefix) / "bin/python3", "-m", "venv", "--system-site-packages", str(folder))
        _run(
            folder / "bin/pip", "install", "--quiet", "--no-index", "--no-cache-dir", "--disable-pip-version-check",
            "--find-links", str(wheels), "patrol-lpr[litert]",
        )  # fmt: skip

    def check(self, code: Path, *, models: Path | None, config: Path, over: Path) -> None:
        """``config check`` and ``bundle verify``: contracts, hashes and goldens, on this very board."""
        program = code / "bin/patrol-lpr"
        _run(program, "config", "check", str(config), "--over", str(over))
        _run(program, "bundle", "verify", *(() if models is None else ("--models", str(models))))


@dataclass(frozen=True, slots=True)
class Site:
    """What this unit is and whom it believes."""

    key: VerifyKey
    config: Path
    """The unit's own configuration."""

    def unit(self) -> str:
        """The unit's id; raises UpdateError where there is no configuration yet."""
        try:
            return str(tomllib.loads(self.config.read_text(encoding="utf-8"))["unit"])
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, KeyError) as error:
            raise UpdateError(f"{self.config}: tells no unit: {error}") from None


def apply(
    file: IO[bytes], releases: Releases, site: Site, tools: Tools, *, now_s: float, anyway: bool = False
) -> Manifest:
    """Stage and begin the trial; the agent takes it up at its next start.

    Raises UpdateError, after which everything is as before, and remembers a refusal where the manifest could be read.
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
        raise UpdateError(f"release {running} runs already")
    refuse_unless_fits(
        manifest, unit=site.unit(), now_s=now_s, running=running, floor=state.floor, failed=frozenset(state.failed),
        anyway=anyway,
    )  # fmt: skip
    free = shutil.disk_usage(releases.home).free
    needed = sum(entry.size for entry in manifest.files) * _ROOM_FACTOR + _MIN_ROOM_BYTES
    if free < needed:
        raise UpdateError(f"{free // 2**20} MiB are free, {needed // 2**20} are needed beside what runs")


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
    """What the update does not bring comes from what runs; new code brings its own models unless others come along."""
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
    """Wheels that the update names and does not carry, out of the release that runs or of the image."""
    running = releases.folder(releases.current) / "code" / "wheels"
    for entry in manifest.files:
        if entry.carried:
            continue
        source = next((p for d in (running, releases.home / "wheels") if _is(p := d / entry.name, entry)), None)
        if source is None:
            raise UpdateError(f"{entry.name} is not on this unit: send the update without --base")
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
    """Remove what an earlier try left; never what runs or is proven."""
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
        raise UpdateError(f"{program.name} {arguments[0]} did not end in {_TOOL_S} s") from None
    if done.returncode:
        told = " ".join((done.stderr or done.stdout).split())[-_TOLD:]
        raise UpdateError(f"{program.name} {' '.join(arguments[:2])}: {told}")
