"""The signed manifest of an update, and the check whether it is for this unit."""

from __future__ import annotations

import json
import re
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from protocol.errors import UpdateError

FORMAT = 1
MAX_MANIFEST_BYTES = 256 * 1024
MAX_FILE_BYTES = 512 * 2**20
MAX_TOTAL_BYTES = 2**30
MAX_RELEASE = 2**31 - 1
CONFIG_NAME = "config.toml"
_MAX_FILES = 512
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]*(?:/[A-Za-z0-9_][A-Za-z0-9._+-]*){0,3}")
"""No part of a name may begin with a dot: no parent folders, no hidden files."""


class Part(StrEnum):
    """What an update may change."""

    CODE = "code"
    """Wheels: the program and its dependencies."""
    MODELS = "models"
    """A models folder: ``active.toml`` and the bundles it names."""
    CONFIG = "config"
    """Configuration merged over the unit's own file."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class FileEntry(_Record):
    """One file of the update."""

    part: Annotated[Part, Field(strict=False)]
    name: Annotated[str, Field(max_length=200)]
    size: Annotated[int, Field(ge=0, le=MAX_FILE_BYTES)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    carried: bool = True
    """False: not in this file; the unit has it from its running release."""


class Manifest(_Record):
    """The manifest."""

    format: int
    release: Annotated[int, Field(ge=1, le=MAX_RELEASE)]
    """Rises with every update that one key signs."""
    units: Annotated[tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9_*?-]{1,36}$")], ...], Field(strict=False)]
    """Ids, or patterns with ``*`` and ``?``, of the units it is for."""
    not_before_s: Annotated[int, Field(ge=0)]
    expires_s: Annotated[int, Field(ge=0)]
    """Seconds UTC; an installed update stays."""
    needs: Annotated[int, Field(ge=0, le=MAX_RELEASE)] = 0
    """Lowest release on which it may be applied."""
    software: Annotated[str, Field(max_length=64)] = ""
    """Version of the program, if the update includes code."""
    note: Annotated[str, Field(max_length=200)] = ""
    files: Annotated[tuple[FileEntry, ...], Field(strict=False, min_length=1, max_length=_MAX_FILES)]

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [(entry.part, entry.name) for entry in self.files]
        taken = set(names)
        if len(taken) != len(names):
            raise ValueError("a file is listed twice")
        for entry in self.files:
            if not _NAME.fullmatch(entry.name):
                raise ValueError(f"{entry.name!r} is not a valid name of a file in the update's folder")
            parents = entry.name.split("/")[:-1]
            if any((entry.part, "/".join(parents[: n + 1])) in taken for n in range(len(parents))):
                raise ValueError(f"{entry.name!r} is below a file")
            if entry.part is Part.CODE and not re.fullmatch(r"[^/]+\.whl", entry.name):
                raise ValueError(f"{entry.name!r} is not a wheel")
            if entry.part is Part.CONFIG and (entry.name != CONFIG_NAME or not entry.carried):
                raise ValueError(
                    f"{entry.name!r}: the configuration must be a single {CONFIG_NAME}, included in the file"
                )
        if sum(entry.size for entry in self.files) > MAX_TOTAL_BYTES:
            raise ValueError(f"more than {MAX_TOTAL_BYTES} bytes")
        if self.not_before_s >= self.expires_s:
            raise ValueError("expires before it becomes valid")
        return self

    @property
    def parts(self) -> frozenset[Part]:
        """The parts that it changes."""
        return frozenset(entry.part for entry in self.files)

    @property
    def carried(self) -> tuple[FileEntry, ...]:
        """The files whose bytes follow, in order."""
        return tuple(entry for entry in self.files if entry.carried)

    @property
    def carried_bytes(self) -> int:
        """Their sum."""
        return sum(entry.size for entry in self.carried)

    def canonical(self) -> bytes:
        """The bytes that are signed: the same manifest is the same bytes."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":")).encode("ascii")


def parse_manifest(data: bytes) -> Manifest:
    """Parse verified bytes; raises UpdateError for a newer format and anything that this version would not write."""
    try:
        told = json.loads(data)
        found = told.get("format") if isinstance(told, dict) else None
    except (ValueError, RecursionError) as error:
        raise UpdateError(f"the manifest is not JSON: {error}") from error
    if isinstance(found, int) and found > FORMAT:
        raise UpdateError(f"the update is of format {found}, this version reads {FORMAT}: update in smaller steps")
    try:
        manifest = Manifest.model_validate_json(data)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'manifest'}: {e['msg']}" for e in error.errors()[:5])
        raise UpdateError(f"the manifest is invalid: {wrong}") from None
    if manifest.format != FORMAT or manifest.canonical() != data:
        raise UpdateError("the manifest is not in the canonical form of format 1")
    return manifest


def refuse_unless_fits(
    manifest: Manifest, *, unit: str, now_s: float, running: int, floor: int, failed: frozenset[int], anyway: bool
) -> None:
    """Raise UpdateError unless this unit may install the update now.

    ``floor`` is the highest release ever committed here, ``failed`` are those that were rolled back.  ``anyway`` is
    given by an operator on the unit itself: an older or failed release is then accepted.
    """
    if not any(fnmatchcase(unit, pattern) for pattern in manifest.units):
        raise UpdateError(f"the update is for {', '.join(manifest.units)}, this unit is {unit}")
    if now_s < manifest.not_before_s:
        raise UpdateError("the update is not valid yet, or this unit's clock is behind")
    if now_s >= manifest.expires_s:
        raise UpdateError("the update has expired: sign it again")
    if running < manifest.needs:
        raise UpdateError(f"the update needs release {manifest.needs}, this unit runs {running}: apply that first")
    if anyway:
        return
    if manifest.release in failed:
        raise UpdateError(
            f"release {manifest.release} was rolled back here: sign a higher one, or apply it on the unit with --anyway"
        )
    if manifest.release <= floor:
        raise UpdateError(
            f"release {manifest.release} is not above {floor}, which was committed here: an update cannot go back"
        )
