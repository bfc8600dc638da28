"""Files of the hits that wait for a decision or an outcome: they survive a restart and a power cut.

One small file for each hit, replaced as a whole with each change, and one for its pictures.  They are encrypted with a
key that is derived from the unit's own, so that a stolen card gives no plates without it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.hits.saved import (
    SavedHitError,
    dump_hit,
    dump_pictures,
    dump_watched,
    load_hit,
    load_pictures,
    load_watched,
)
from hw.output import OutputError, output, sync_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from agent.hits.records import Hit
    from agent.hits.watch import Watched
    from agent.records import Picture

_LOG = structlog.get_logger(__name__)
FOLDER = "hits"
PURPOSE = b"hits"
"""Purpose for which the key is derived from the unit's own."""
_HIT, _PICTURES, _WATCHED = ".hit", ".pictures", "watched.list"
_UNREADABLE = ".unreadable"
_MAGIC = b"patrol-lpr hit/1\0"
_NONCE_BYTES = 12


@dataclass(frozen=True, slots=True)
class Found:
    """A hit of the run before."""

    hit: Hit
    pending: tuple[bytes, ...]
    """Encoded bodies that may not be in the outbox."""


class HitFiles:
    """The folder.  Used by one thread at a time; a file that cannot be written is counted, and the agent goes on."""

    def __init__(self, folder: Path, key: bytes | None) -> None:
        """``key``: 32 bytes; None: the files are not encrypted."""
        self._folder = folder
        self._cipher = None if key is None else ChaCha20Poly1305(key)
        self._pictures_of: dict[bytes, tuple[bytes, ...]] = {}
        """Hashes of the pictures that are on the disk, by hit."""
        self.failures = 0
        """Files that could not be written or deleted."""
        self.unreadable = 0
        """Files that could not be read at the start; they are kept under another name."""

    def load(self) -> list[Found]:
        """Return the hits in the order in which they were raised."""
        self._sweep()
        found: list[Found] = []
        for path in sorted(self._folder.glob("*" + _HIT)):
            data = self._read(path)
            if data is None:
                continue
            try:
                saved = load_hit(data)
                hit = replace(saved.hit, pictures=self._pictures(path.with_suffix(_PICTURES)))
            except SavedHitError as error:
                self._set_aside(path, str(error))
                continue
            self._pictures_of[hit.hit_id] = _hashes(hit.pictures)
            found.append(Found(hit, saved.pending))
        return found

    def save(self, hit: Hit, pending: Iterable[bytes]) -> None:
        """Replace the file of a hit, and that of its pictures if they are others."""
        path = self._folder / (hit.hit_id.hex() + _HIT)
        hashes = _hashes(hit.pictures)
        is_new = bool(hashes) and self._pictures_of.get(hit.hit_id) != hashes
        if is_new and self._write(path.with_suffix(_PICTURES), dump_pictures(hit.pictures)):
            self._pictures_of[hit.hit_id] = hashes
        self._write(path, dump_hit(hit, tuple(pending)))

    def delete(self, hit_id: bytes) -> None:
        """Delete the files of a hit that is over."""
        self._pictures_of.pop(hit_id, None)
        try:
            for suffix in (_HIT, _PICTURES):
                (self._folder / (hit_id.hex() + suffix)).unlink(missing_ok=True)
            sync_folder(self._folder)
        except OSError as error:
            self._fail(str(error))

    def load_watched(self) -> tuple[Watched, ...]:
        """Return the entries of officers."""
        path = self._folder / _WATCHED
        data = self._read(path) if path.exists() else None
        if data is None:
            return ()
        try:
            return load_watched(data)
        except SavedHitError as error:
            self._set_aside(path, str(error))
            return ()

    def save_watched(self, entries: Iterable[Watched]) -> None:
        """Replace the entries of officers."""
        self._write(self._folder / _WATCHED, dump_watched(entries))

    def _pictures(self, path: Path) -> tuple[Picture, ...]:
        data = self._read(path) if path.exists() else None
        try:
            return () if data is None else load_pictures(data)
        except SavedHitError as error:
            # The hit itself still waits for its decision.
            self._set_aside(path, str(error))
            return ()

    def _sweep(self) -> None:
        """Delete what a power cut left half written, or half deleted."""
        try:
            for path in self._folder.glob(".*.part"):
                path.unlink(missing_ok=True)
            for path in self._folder.glob("*" + _PICTURES):
                if not any(path.with_suffix(_HIT + end).exists() for end in ("", _UNREADABLE)):
                    path.unlink(missing_ok=True)
        except OSError as error:
            self._fail(str(error))

    def _write(self, path: Path, data: bytes) -> bool:
        """Replace a file; False if it could not be written."""
        if self._cipher is not None:
            nonce = os.urandom(_NONCE_BYTES)
            data = _MAGIC + nonce + self._cipher.encrypt(nonce, data, path.name.encode())
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with output(path, private=True) as file:
                file.write(data)
        except (OutputError, OSError) as error:
            self._fail(str(error))
            return False
        return True

    def _read(self, path: Path) -> bytes | None:
        """Return the contents; None for a file that cannot be read, which is set aside."""
        try:
            return self._decrypted(path.read_bytes(), path.name)
        except (OSError, InvalidTag, SavedHitError) as error:
            self._set_aside(path, str(error) or type(error).__name__)
            return None

    def _decrypted(self, data: bytes, name: str) -> bytes:
        if self._cipher is None:
            return data
        start = len(_MAGIC) + _NONCE_BYTES
        if not data.startswith(_MAGIC) or len(data) < start:
            raise SavedHitError("not encrypted with a key of this unit")
        return self._cipher.decrypt(data[len(_MAGIC) : start], data[start:], name.encode())

    def _set_aside(self, path: Path, reason: str) -> None:
        self.unreadable += 1
        _LOG.error("hit_file_unreadable", file=path.name, reason=reason)
        try:
            path.replace(path.with_name(path.name + _UNREADABLE))
        except OSError as error:
            self._fail(str(error))

    def _fail(self, reason: str) -> None:
        self.failures += 1
        _LOG.error("hit_file_failed", reason=reason)


def _hashes(pictures: tuple[Picture, ...]) -> tuple[bytes, ...]:
    return tuple(picture.sha256 for picture in pictures)
