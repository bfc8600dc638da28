"""A backup is a folder with a copy of the store and ``backup.json``, which says what must be in it.

Keys are not in it: whoever has a backup alone reads no sealed picture and signs nothing.  The manifest names the keys
that are needed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from protocol.seal.keys import fingerprint
from protocol.written import read_written
from station.errors import BackupError, StoreError
from station.store.copy import copy_store, count_rows, is_postgres_copy, restore_store
from station.store.migrations import LATEST

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.seal import KeyRing

FORMAT = 1
MANIFEST = "backup.json"
_NAME = "%Y-%m-%dT%H%M%SZ"
_PART = ".part"
_US = 1_000_000
_DAY_US = 86_400 * _US


@dataclass(frozen=True, slots=True)
class Backup:
    """What ``backup.json`` says."""

    format: int
    made_us: int
    """When the copy was begun, UTC."""
    kind: str
    """``sqlite`` or ``postgresql``."""
    version: int
    """Of the store's tables."""
    station: str
    rows: dict[str, int]
    """Number of rows by table."""
    files: dict[str, str]
    """SHA-256 of each file, by its path in the folder."""
    keys: dict[str, str]
    """Fingerprints of the units' keys at the station, by unit; empty without ``--keys``."""

    @property
    def records(self) -> int:
        """Number of records, purged ones in a file included."""
        return self.rows.get("records", 0)


def make_backup(
    place: Path | str, target: Path, now_us: int, *, station: str, ring: KeyRing | None = None
) -> Path:
    """Copy a store that may be in use into a new folder in ``target``, check the copy, and return the folder.

    Raises BackupError; then no folder is left that looks like a backup.
    """
    name = datetime.fromtimestamp(now_us / _US, UTC).strftime(_NAME)
    folder, part = target / name, target / f"{name}{_PART}"
    try:
        target.mkdir(mode=0o700, parents=True, exist_ok=True)
        if folder.exists():
            raise BackupError(f"{folder} exists: one backup a second is enough")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(mode=0o700)
        rows = copy_store(place, part)
        kind = "postgresql" if is_postgres_copy(part) else "sqlite"
        files = {str(path.relative_to(part)): _sha256(path) for path in _files(part)}
        backup = Backup(FORMAT, now_us, kind, LATEST, station, rows, files, _keys(ring))
        (part / MANIFEST).write_text(json.dumps(asdict(backup), indent=1) + "\n", encoding="utf-8")
        for path in _files(part):
            _sync(path)
        part.rename(folder)
        _sync(target)
    except (OSError, StoreError) as error:
        shutil.rmtree(part, ignore_errors=True)
        raise BackupError(f"no backup was made: {error}") from error
    return folder


def read_backup(folder: Path) -> Backup:
    """Read ``backup.json``.  Raises BackupError."""
    try:
        told: dict[str, Any] = json.loads(read_written(folder / MANIFEST))
        backup = Backup(**told)
        is_newer = int(backup.format) != FORMAT or int(backup.version) > LATEST
        datetime.fromtimestamp(backup.made_us / _US, UTC)
    except OSError as error:
        raise BackupError(f"{folder} is no backup: {MANIFEST}: {error.strerror or error}") from error
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise BackupError(f"{folder} is no backup, or is incomplete: {error}") from error
    if not all(isinstance(table, dict) for table in (backup.rows, backup.files, backup.keys)):
        raise BackupError(f"{folder} is no backup, or is incomplete: rows, files and keys are tables")
    if is_newer:
        raise BackupError(f"{folder} is of a newer station: install it first")
    return backup


def verify(folder: Path) -> Backup:
    """Compare every file with its hash, and of an SQLite copy all pages and counts.  Raises BackupError."""
    backup = read_backup(folder)
    there = {str(path.relative_to(folder)) for path in _files(folder)} - {MANIFEST}
    for name in sorted(there ^ set(backup.files)):
        raise BackupError(f"{folder / name}: {'is not of the backup' if name in there else 'is missing'}")
    for name, expected in backup.files.items():
        if _sha256(folder / name) != expected:
            raise BackupError(f"{folder / name} is damaged: its hash differs; use another backup")
    if backup.kind == "sqlite":
        _compare(backup, count_rows(folder / "station.db"))
    return backup


def restore(folder: Path, place: Path | str) -> Backup:
    """Verify a backup, put it where there is no store yet, and count what arrived.  Raises BackupError."""
    backup = verify(folder)
    is_database = isinstance(place, str)
    if is_database != (backup.kind == "postgresql"):
        raise BackupError(
            f"{folder} is a backup of {backup.kind}: restore it to "
            f"{'a file' if backup.kind == 'sqlite' else 'an empty PostgreSQL database'}; a file can then be moved with "
            "`patrol-lpr station migrate`"
        )
    try:
        restore_store(folder, place)
        _compare(backup, count_rows(place))
    except StoreError as error:
        raise BackupError(f"not restored: {error}") from error
    return backup


def expire(target: Path, before_us: int, now_us: int) -> list[Path]:
    """Delete backups made before a time, but never the newest; return them.  Other folders are left alone.

    What an interrupted backup left is deleted, too.  One that was dated after ``now_us`` is not the newest: it was made
    while the clock was wrong.
    """
    unfinished = []
    for folder in _folders(target):
        begun_us = _begun_us(folder.name)
        if begun_us is not None and begun_us < before_us:
            unfinished.append(folder)
    made = [(made_us, folder) for made_us, folder in _finished(target) if made_us <= now_us]
    gone = [folder for made_us, folder in made[:-1] if made_us < before_us]
    for folder in [*gone, *unfinished]:
        try:
            # Without its manifest an interrupted deletion is no backup any more.
            (folder / MANIFEST).unlink(missing_ok=folder in unfinished)
            shutil.rmtree(folder)
        except OSError as error:
            raise BackupError(f"{folder} cannot be deleted: {error}") from error
    return gone


def made_after(target: Path, now_us: int) -> list[Path]:
    """Return the backups that are dated after a time: they never expire."""
    return [folder for made_us, folder in _finished(target) if made_us > now_us]


def _finished(target: Path) -> list[tuple[int, Path]]:
    """Return when each backup was made, oldest first."""
    found: list[tuple[int, Path]] = []
    for folder in _folders(target):
        if _begun_us(folder.name) is None:
            with suppress(BackupError):
                found.append((read_backup(folder).made_us, folder))
    return sorted(found)


def _folders(target: Path) -> list[Path]:
    if not target.is_dir():
        return []
    return [folder for folder in target.iterdir() if folder.is_dir() and not folder.is_symlink()]


def _begun_us(name: str) -> int | None:
    """When an unfinished backup was begun, by its folder's name; None for another folder."""
    try:
        begun = datetime.strptime(name, f"{_NAME}{_PART}").replace(tzinfo=UTC)
    except ValueError:
        return None
    return int(begun.timestamp()) * _US


def _compare(backup: Backup, rows: dict[str, int]) -> None:
    differing = [name for name, count in backup.rows.items() if rows.get(name) != count]
    if differing:
        raise BackupError(f"the numbers of rows differ in {', '.join(differing)}: use another backup")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _keys(ring: KeyRing | None) -> dict[str, str]:
    if ring is None:
        return {}
    return {
        unit: " ".join(sorted(fingerprint(key.raw) for key in keys.values())) for unit, keys in ring.units.items()
    }
