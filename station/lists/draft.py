"""An imported list that is not signed yet, as one file: what was found, then the sections of a full package."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import tempfile
import zlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Annotated, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import HotlistError
from protocol.hotlist.columns import decode_column, encode_column
from protocol.hotlist.entry import BLOCK_ENTRIES, decode_block, encode_block
from protocol.hotlist.manifest import FULL_SECTIONS, MAX_ROWS, Manifest, Rules, Section, Settings, explain
from protocol.hotlist.package import BLOCK_BYTES, measured, read_head

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from protocol.hotlist.columns import Column
    from protocol.seal.keys import VerifyKey

MAGIC = b"LPRLST1\n"
_HEAD = struct.Struct(">8sI")
_MAX_INFO_BYTES = 2**20


class DraftInfo(BaseModel):
    """What the import decided and found."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    settings: Settings
    rules: Rules = Rules()
    as_of_utc_us: int
    expires_utc_us: int | None = None
    rows: Annotated[int, Field(ge=0, le=MAX_ROWS)]
    records: int
    patterns: int = 0
    budget_per_million: int = 0
    held: tuple[str, ...] = ()
    """Why a person has to accept the list before it is signed."""
    note: str = ""
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a list as arrays, sorted by key."""

    keys: NDArray[np.uint64]
    refs: NDArray[np.uint32]
    starts: NDArray[np.uint64]


class BlockWriter:
    """Writes entries in blocks of 128 to a temporary file, in the order of their numbers."""

    def __init__(self) -> None:
        self.file: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close()
        self._starts = [0]
        self._pending: list[bytes] = []
        self.count = 0

    def add(self, entries: Sequence[bytes]) -> None:
        """Append entries."""
        self.count += len(entries)
        pending = [*self._pending, *entries]
        whole = len(pending) - len(pending) % BLOCK_ENTRIES
        for at in range(0, whole, BLOCK_ENTRIES):
            self._put(pending[at : at + BLOCK_ENTRIES])
        self._pending = pending[whole:]

    def finish(self) -> NDArray[np.uint64]:
        """Write the last block; return where the blocks begin, and the end."""
        if self._pending:
            self._put(self._pending)
            self._pending = []
        self.file.flush()
        return np.array(self._starts, np.uint64)

    def blocks(self) -> Iterator[bytes]:
        """Yield the bytes that were written."""
        self.file.seek(0)
        while data := self.file.read(BLOCK_BYTES):
            yield data

    def close(self) -> None:
        """Delete the temporary file."""
        self.file.close()

    def _put(self, entries: Sequence[bytes]) -> None:
        data = encode_block(entries)
        self.file.write(data)
        self._starts.append(self._starts[-1] + len(data))


def encode_patterns(entries: Sequence[bytes]) -> bytes:
    """Return the section of entries with wildcards."""
    return zlib.compress(b"\n".join(entries)) if entries else b""


@contextmanager
def spooled(sections: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[tuple[tuple[Section, ...], IO[bytes]]]:
    """Write sections to one temporary file; yield their sizes and hashes, and the file."""
    with tempfile.TemporaryFile() as file:
        found = tuple(measured(name, _written(blocks, file)) for name, blocks in sections)
        file.seek(0)
        yield found, file


def full_sections(
    keys: NDArray[np.uint64], refs: NDArray[np.uint32], blocks: BlockWriter, patterns: Sequence[bytes]
) -> Iterator[tuple[str, Iterable[bytes]]]:
    """Yield the sections of a full package in their order."""
    starts = blocks.finish()
    yield "keys", encode_column(keys, is_sorted=True)
    yield "refs", encode_column(refs, is_sorted=False)
    yield "starts", encode_column(starts, is_sorted=True)
    yield "blocks", blocks.blocks()
    yield "patterns", (encode_patterns(patterns),)


def write_draft(out: IO[bytes], info: DraftInfo, file: IO[bytes]) -> None:
    """Write what :func:`spooled` yielded."""
    data = info.model_dump_json().encode()
    out.write(_HEAD.pack(MAGIC, len(data)))
    out.write(data)
    while block := file.read(BLOCK_BYTES):
        out.write(block)


class ListFile:
    """A draft or a verified full package, with random access to its sections."""

    def __init__(self, path: Path, authorities: Sequence[VerifyKey] = ()) -> None:
        """Open a file.  Raises HotlistError for anything else, and for a package of an unknown authority."""
        self.path = path
        self._stack = ExitStack()
        self._file = self._stack.enter_context(path.open("rb"))
        try:
            self._read_head(authorities)
        except BaseException:
            self._stack.close()
            raise

    def _read_head(self, authorities: Sequence[VerifyKey]) -> None:
        head = self._file.read(_HEAD.size)
        self.manifest: Manifest | None = None
        if head.startswith(MAGIC) and len(head) == _HEAD.size:
            length = int(_HEAD.unpack(head)[1])
            if length > _MAX_INFO_BYTES:
                raise HotlistError(f"{self.path}: damaged")
            self.info = _parse_info(self.path, self._file.read(length))
            self._at = _HEAD.size + length
        else:
            self._file.seek(0)
            found = read_head(self._file, authorities)
            self.manifest = manifest = found.manifest
            self._at = found.payload_at
            self.info = DraftInfo(
                settings=manifest.settings, rules=manifest.rules, as_of_utc_us=manifest.as_of_utc_us,
                expires_utc_us=manifest.expires_utc_us, rows=manifest.carried_rows, records=manifest.carried_records,
                patterns=manifest.patterns, budget_per_million=manifest.budget_per_million, sections=manifest.sections,
            )  # fmt: skip
        expected = self._at + sum(section.size for section in self.info.sections)
        if os.fstat(self._file.fileno()).st_size != expected:
            raise HotlistError(f"{self.path}: truncated, or longer than it was written")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def digest(self) -> str:
        """SHA-256 of the manifest of a package."""
        return "" if self.manifest is None else self.manifest.digest

    def rows(self) -> Rows:
        """Return all rows; raises HotlistError."""
        rows = self.info.rows
        blocks = -(-self.info.records // BLOCK_ENTRIES)
        return Rows(
            self._column("keys", np.zeros(rows, np.uint64), is_sorted=True),
            self._column("refs", np.zeros(rows, np.uint32), is_sorted=False),
            self._column("starts", np.zeros(blocks + 1, np.uint64), is_sorted=True),
        )

    def each_block(self, starts: NDArray[np.uint64]) -> Iterator[list[bytes]]:
        """Yield the entries of each block in the order of the references."""
        at = self._offset("blocks")
        for first, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            yield decode_block(self._read_at(at + first, end - first))

    def block(self, starts: NDArray[np.uint64], number: int) -> list[bytes]:
        """Return the entries of one block."""
        first, end = int(starts[number]), int(starts[number + 1])
        return decode_block(self._read_at(self._offset("blocks") + first, end - first))

    def pattern_entries(self) -> list[bytes]:
        """Return the entries with wildcards."""
        data = self._read_at(self._offset("patterns"), self._section("patterns").size)
        return zlib.decompress(data).split(b"\n") if data else []

    def section_blocks(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a section."""
        at, left = self._offset(name), self._section(name).size
        while left:
            data = self._read_at(at, min(left, BLOCK_BYTES))
            at, left = at + len(data), left - len(data)
            yield data

    def verify(self) -> None:
        """Compare all sections with their hashes; raises HotlistError."""
        for section in self.info.sections:
            digest = hashlib.sha256()
            for data in self.section_blocks(section.name):
                digest.update(data)
            if digest.hexdigest() != section.sha256:
                raise HotlistError(f"{self.path}: {section.name}: altered or damaged")

    def _column(self, name: str, out: Column, *, is_sorted: bool) -> Column:
        section = self._section(name)
        self._file.seek(self._offset(name))
        decode_column(self._file.read, section.size, out, is_sorted=is_sorted)
        return out

    def _section(self, name: str) -> Section:
        return next(section for section in self.info.sections if section.name == name)

    def _offset(self, name: str) -> int:
        at = self._at
        for section in self.info.sections:
            if section.name == name:
                return at
            at += section.size
        raise HotlistError(f"{self.path}: it has no section {name}")

    def _read_at(self, offset: int, size: int) -> bytes:
        data = os.pread(self._file.fileno(), size, offset)
        if len(data) != size:
            raise HotlistError(f"{self.path}: truncated")
        return data


def _parse_info(path: Path, data: bytes) -> DraftInfo:
    try:
        info = DraftInfo.model_validate_json(data)
    except ValidationError as error:
        raise HotlistError(f"{path}: not a draft of this version: {explain(error)}") from None
    except (ValueError, RecursionError) as error:
        raise HotlistError(f"{path}: damaged: {error}") from error
    if tuple(section.name for section in info.sections) != FULL_SECTIONS:
        raise HotlistError(f"{path}: damaged: sections are missing")
    return info


def _written(blocks: Iterable[bytes], file: IO[bytes]) -> Iterator[bytes]:
    for data in blocks:
        file.write(data)
        yield data


def as_json(info: DraftInfo) -> dict[str, object]:
    """Return what a draft says, without its sections."""
    found: dict[str, object] = json.loads(info.model_dump_json(exclude={"sections"}))
    return found
