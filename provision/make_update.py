"""Make an update from folders of wheels, models and a configuration; runs where the release key is, never on a unit."""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pydantic import ValidationError

from agent.errors import ConfigError
from agent.recognise import load_active
from agent.recognise.bundle import REQUIRED_FILES
from agent.runtime.config import check_patch
from hw.output import output
from protocol.errors import UpdateError
from protocol.mistakes import mistakes_of
from protocol.update.envelope import write_update
from protocol.update.manifest import CONFIG_NAME, FORMAT, FileEntry, Manifest, Part
from protocol.written import WrittenFileError, parse_toml, read_written

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.seal.keys import SigningKey

_OWN_WHEEL = re.compile(r"patrol_lpr-([^-]+)-[^/]+\.whl")


@dataclass(slots=True)
class Sources:
    """Contents: name and path of each file of each part."""

    paths: dict[tuple[Part, str], Path] = field(default_factory=dict)
    software: str = ""

    def add_wheels(self, folder: Path) -> None:
        """All wheels of a folder; exactly one must be patrol-lpr's."""
        wheels = sorted(folder.glob("*.whl"))
        own = [found[1] for wheel in wheels if (found := _OWN_WHEEL.fullmatch(wheel.name))]
        if len(own) != 1:
            raise UpdateError(
                f"{folder}: {len(own)} wheels of patrol_lpr, must be exactly one; run: pip wheel . -w {folder}"
            )
        self.software = own[0]
        self.paths |= {(Part.CODE, wheel.name): wheel for wheel in wheels}

    def refuse_damaged_wheels(self) -> None:
        """Raise UpdateError for a wheel that is not whole, such as one whose copy was interrupted.

        No unit could install it, and each would fetch it first.
        """
        for (part, _), path in self.paths.items():
            if part is Part.CODE and not _is_whole(path):
                raise UpdateError(f"{path}: damaged, or not a wheel; copy or build it again")

    def add_models(self, folder: Path) -> None:
        """``active.toml`` and the two bundles it names; raises BundleError if one does not match its contract."""
        self.paths[Part.MODELS, "active.toml"] = folder / "active.toml"
        for bundle in load_active(folder):
            inside = bundle.folder.relative_to(folder)
            for name in REQUIRED_FILES:
                self.paths[Part.MODELS, (inside / name).as_posix()] = bundle.folder / name

    def add_config(self, path: Path) -> None:
        """A TOML file to be merged over the units' own."""
        try:
            check_patch(parse_toml(read_written(path)), str(path))
        except OSError as error:
            raise UpdateError(f"{path}: cannot be read: {error.strerror or error}") from error
        except WrittenFileError as error:
            raise UpdateError(f"{path}: cannot be used: {error}") from error
        except ConfigError as error:
            raise UpdateError(str(error)) from None
        self.paths[Part.CONFIG, CONFIG_NAME] = path


def _is_whole(wheel: Path) -> bool:
    try:
        with zipfile.ZipFile(wheel) as file:
            return file.testzip() is None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
        return False


@dataclass(frozen=True, slots=True)
class Terms:
    """Units, validity period and required base release."""

    release: int
    units: tuple[str, ...]
    not_before_s: int
    expires_s: int
    needs: int = 0
    note: str = ""


def make_update(
    out: Path, sources: Sources, terms: Terms, key: SigningKey, *, base: Manifest | None = None
) -> Manifest:
    """Sign and write the file, with one rename.

    Wheels that ``base`` also has are listed but not included: the update is then for units that run it.  Raises
    UpdateError.
    """
    in_base = {(e.name, e.sha256) for e in base.files if e.part is Part.CODE} if base is not None else set()
    try:
        manifest = Manifest(
            format=FORMAT,
            release=terms.release,
            units=terms.units,
            not_before_s=terms.not_before_s,
            expires_s=terms.expires_s,
            needs=max(terms.needs, 0 if base is None else base.release),
            software=sources.software,
            note=terms.note,
            files=tuple(_entry(part, name, path, in_base) for (part, name), path in sorted(sources.paths.items())),
        )
    except ValidationError as error:
        raise UpdateError("; ".join(mistakes_of(error, "update"))) from None
    with output(out) as file:
        write_update(file, manifest, key, lambda entry: sources.paths[entry.part, entry.name].open("rb"))
    return manifest


def _entry(part: Part, name: str, path: Path, in_base: set[tuple[str, str]]) -> FileEntry:
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    carried = part is not Part.CODE or (name, sha256) not in in_base
    return FileEntry(part=part, name=name, size=path.stat().st_size, sha256=sha256, carried=carried)
