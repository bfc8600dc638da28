"""Verifies signed files before they are rolled out, as each unit will."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from protocol.errors import HotlistError, SignedFileError, UpdateError
from protocol.policy.envelope import KIND, open_pack
from protocol.seal.keys import VerifyKey
from protocol.signed_file import refuse_unless_newer
from protocol.update.envelope import verify_update

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


class FileType(StrEnum):
    """What is rolled out."""

    HOTLIST = "hotlist"
    POLICY = "policy"
    UPDATE = "update"


@dataclass(frozen=True, slots=True)
class VerifiedFile:
    """What a signed file says of itself."""

    kind: str
    """Kind of file at the units."""
    version: int
    parts: tuple[str, ...]
    told: str = ""
    """For the audit trail: the alarm figures of a list."""


def verify_file(
    what: FileType, file: Path, keys: Sequence[VerifyKey], *, slot: int = 1, units: Iterable[str] = ()
) -> VerifiedFile:
    """Verify signature and contents; ``slot`` is one of a unit's four for lists.

    Raises HotlistError, SignedFileError or UpdateError, each a PatrolError that says what to do.
    """
    try:
        match what:
            case FileType.HOTLIST:
                return _hot_list(file, keys, slot)
            case FileType.POLICY:
                # Not read as a whole: it may be anything.
                with file.open("rb") as opened:
                    signed = open_pack(opened, keys)
                for unit in units:
                    refuse_unless_newer(signed.header, unit=unit, in_force=0, now_s=time.time())
                return VerifiedFile(KIND, signed.header.version, ())
            case FileType.UPDATE:
                return _update(file, keys)
    except OSError as error:
        raise SignedFileError(f"{file.name} cannot be read: {error.strerror}") from error


def _hot_list(file: Path, keys: Sequence[VerifyKey], slot: int) -> VerifiedFile:
    from station.lists.inspect import contents_of  # noqa: PLC0415 - slow to import
    from station.reports.quality import figures_of, figures_text  # noqa: PLC0415 - as above

    contents = contents_of(file, list(keys))
    if not contents.signed_by:
        raise HotlistError(f"{file.name} is a draft: sign it first")
    kind = "hotlist" if slot == 1 else f"hotlist-{slot}"
    told = figures_text(figures_of(contents))
    return VerifiedFile(kind, contents.version, (contents.settings.list_id,), told)


def _update(file: Path, keys: Sequence[VerifyKey]) -> VerifiedFile:
    error: UpdateError | None = None
    for key in keys:
        try:
            with file.open("rb") as opened:
                manifest = verify_update(opened, key)
        except UpdateError as refused:
            error = refused
        else:
            return VerifiedFile("update", manifest.release, tuple(part.value for part in manifest.parts))
    raise error or UpdateError(f"{file.name}: there is no key to verify it with")


def trusted_keys(folder: Path, what: FileType) -> list[VerifyKey]:
    """Return the public keys of a folder for a type: ``hotlist*.pub``, ``policy*.pub``, ``release*.pub``.

    Raises KeyFileError for a file that is no key; a folder that is missing has none.
    """
    prefix = {FileType.UPDATE: "release"}.get(what, what.value)
    return [key for path in sorted(folder.glob(f"{prefix}*.pub")) for key in VerifyKey.load_all(path)]
