"""Opens a sealed list: plates into memory that is no file, entries one block at a time for a match.

The rows are 12 bytes each in anonymous memory files (memfd_create(2)), which have no name and end with the process.
Entries stay sealed on disk; a match opens the block of 128 entries that it needs.
"""

from __future__ import annotations

import mmap
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.hotlist.matcher import OpenList
from agent.hotlist.records import ListInfo
from agent.hotlist.terms import load_zone
from protocol.errors import HotlistError, SealError
from protocol.hotlist.columns import decode_column, inflate
from protocol.hotlist.entry import BLOCK_ENTRIES, decode_block, decode_entry
from protocol.hotlist.manifest import Kind
from protocol.hotlist.package import read_head
from protocol.hotlist.patterns import PatternTable, check_pattern
from protocol.seal.container import SealedFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from agent.hotlist.records import Entry
    from protocol.hotlist.columns import Column
    from protocol.hotlist.manifest import Manifest
    from protocol.hotlist.package import Head
    from protocol.seal.keys import StationKey, VerifyKey

DELTA_REF = np.uint32(2**31)
"""Set in the references of rows that came with the delta."""
_MAX_PATTERN_BYTES = 32 * 2**20
_MERGE_ROWS = 2**17


@dataclass(frozen=True, slots=True)
class Part:
    """One sealed package that is open: the full one, or the delta."""

    head: Head
    file: SealedFile
    starts: NDArray[np.uint64]

    @property
    def manifest(self) -> Manifest:
        """Its manifest."""
        return self.head.manifest

    def entry(self, ref: int) -> Entry:
        """Return an entry; raises HotlistError or SealError if the file is damaged."""
        block, within = divmod(ref, BLOCK_ENTRIES)
        section = self.manifest.section("blocks")
        if block + 1 >= len(self.starts):
            raise HotlistError(f"{self.file.name}: entry {ref} is not in the list")
        first, end = int(self.starts[block]), int(self.starts[block + 1])
        if not first <= end <= section.size:
            raise HotlistError(f"{self.file.name}: the blocks of the list are damaged")
        at = self.head.payload_at + self.manifest.offset_of("blocks")
        entries = decode_block(self.file.read_at(at + first, end - first))
        if within >= len(entries):
            raise HotlistError(f"{self.file.name}: entry {ref} is not in its block")
        return decode_entry(entries[within], f"{self.manifest.version}-{ref}")


@dataclass(frozen=True, slots=True)
class SealedEntries:
    """Entries of a full package, and of a delta if there is one."""

    full: Part
    delta: Part | None = None

    def entry(self, ref: int) -> Entry:
        """Return the entry with this reference."""
        if ref & int(DELTA_REF):
            if self.delta is None:
                raise HotlistError(f"{self.full.file.name}: entry {ref} is of a delta that is not there")
            return self.delta.entry(ref & ~int(DELTA_REF))
        return self.full.entry(ref)


def open_part(path: Path, key: StationKey, authorities: Sequence[VerifyKey]) -> Part:
    """Open a sealed package and verify its manifest; raises HotlistError, SealError or OSError."""
    file = SealedFile(path, key)
    head = read_head(file, authorities)
    if file.size != head.payload_at + head.manifest.payload_bytes:
        raise SealError(f"{path.name}: its size does not match its manifest")
    starts = _column(file, head, "starts", np.zeros(_blocks(head.manifest) + 1, np.uint64), is_sorted=True)
    return Part(head, file, starts)


def open_list(full: Part, delta: Part | None = None) -> OpenList:
    """Load a list into memory; raises HotlistError, SealError or OSError."""
    zone = load_zone((delta or full).manifest.settings)
    if delta is None:
        keys, refs = _load_rows(full)
    else:
        _check_base(full.manifest, delta.manifest)
        keys, refs = _merged_rows(full, delta)
    newest = delta or full
    patterns, entries = _load_patterns(newest)
    return OpenList(
        list_info(newest.manifest), newest.manifest.settings, newest.manifest.rules, zone, keys, refs,
        SealedEntries(full, delta), patterns, entries,
    )  # fmt: skip


def list_info(manifest: Manifest) -> ListInfo:
    """Return what is said of a list in force."""
    settings = manifest.settings
    return ListInfo(
        settings.list_id, settings.name, settings.owner, manifest.version, manifest.as_of_utc_us,
        manifest.expires_utc_us, settings.priority, settings.sound, settings.lamp, settings.jurisdiction,
        manifest.entries,
    )  # fmt: skip


def _check_base(full: Manifest, delta: Manifest) -> None:
    if (
        full.kind is not Kind.FULL
        or delta.kind is not Kind.DELTA
        or delta.settings.list_id != full.settings.list_id
        or delta.base_digest != full.digest
    ):
        raise HotlistError(
            f"list {delta.settings.list_id}: version {delta.version} changes full version {delta.base_version}, which "
            "is not the one here: get the full list"
        )
    if full.rows - delta.removed_rows + delta.carried_rows != delta.rows:
        raise HotlistError(f"list {delta.settings.list_id}: the row counts of version {delta.version} are wrong")


def _load_rows(part: Part) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    rows = part.manifest.carried_rows
    keys = _column(part.file, part.head, "keys", _memory(rows, np.uint64), is_sorted=True)
    refs = _column(part.file, part.head, "refs", _memory(rows, np.uint32), is_sorted=False)
    if rows and int(refs.max()) >= part.manifest.carried_records:
        raise HotlistError(f"{part.file.name}: a row has no entry")
    return keys, refs


def _merged_rows(full: Part, delta: Part) -> tuple[NDArray[np.uint64], NDArray[np.uint32]]:
    """Load the rows of the full list without the removed ones and with the added ones, in order, part by part."""
    base_keys, base_refs = _load_rows(full)
    added_keys, added_refs = _load_rows(delta)
    removed = _column(
        delta.file, delta.head, "removed", np.zeros(delta.manifest.removed_rows, np.uint32), is_sorted=True
    )
    if len(removed) and (int(removed[-1]) >= len(base_keys) or np.any(removed[1:] == removed[:-1])):
        raise HotlistError(f"{delta.file.name}: it removes rows that the list does not have")
    keys, refs = _memory(delta.manifest.rows, np.uint64), _memory(delta.manifest.rows, np.uint32)
    places = np.searchsorted(base_keys, added_keys, side="right")
    added_refs = added_refs | DELTA_REF
    done = 0
    for start in range(0, len(base_keys) + 1, _MERGE_ROWS):
        end = min(start + _MERGE_ROWS, len(base_keys))
        is_last = end == len(base_keys)
        low, high = np.searchsorted(places, (start, end), side="left")
        high = len(places) if is_last else high
        kept = np.ones(end - start, bool)
        gone_low, gone_high = np.searchsorted(removed, (start, end))
        kept[removed[gone_low:gone_high] - np.uint32(start)] = False
        # Where each added row stands among the rows that are kept.
        before = np.concatenate(([0], np.cumsum(kept)))[places[low:high] - start]
        part_keys = np.insert(base_keys[start:end][kept], before, added_keys[low:high])
        part_refs = np.insert(base_refs[start:end][kept], before, added_refs[low:high])
        keys[done : done + len(part_keys)] = part_keys
        refs[done : done + len(part_refs)] = part_refs
        done += len(part_keys)
        if is_last:
            break
    return keys, refs


def _load_patterns(part: Part) -> tuple[PatternTable, tuple[Entry, ...]]:
    section = part.manifest.section("patterns")
    data = part.file.read_at(part.head.payload_at + part.manifest.offset_of("patterns"), section.size)
    lines = inflate(data, _MAX_PATTERN_BYTES).split(b"\n") if data else []
    if len(lines) != part.manifest.patterns:
        raise HotlistError(f"{part.file.name}: {part.manifest.patterns} patterns expected, found {len(lines)}")
    entries = tuple(decode_entry(line, f"{part.manifest.version}-p{n}") for n, line in enumerate(lines))
    try:
        patterns = [check_pattern(entry.text) for entry in entries]
    except HotlistError:
        # Its message has the plate, which must not reach the log.
        raise HotlistError(
            f"{part.file.name}: it has a pattern that is not valid: import the list again"
        ) from None
    return PatternTable.compile(patterns), entries


def _column(file: SealedFile, head: Head, name: str, out: Column, *, is_sorted: bool) -> Column:
    section = head.manifest.section(name)
    decode_column(
        _reader(file, head.payload_at + head.manifest.offset_of(name)), section.size, out, is_sorted=is_sorted
    )
    out.flags.writeable = False
    return out


def _reader(file: SealedFile, at: int) -> Callable[[int], bytes]:
    place = at

    def read(size: int) -> bytes:
        nonlocal place
        data = file.read_at(place, size)
        place += len(data)
        return data

    return read


def _blocks(manifest: Manifest) -> int:
    return -(-manifest.carried_records // BLOCK_ENTRIES)


def _memory(rows: int, dtype: type[np.unsignedinteger[Any]]) -> Column:
    """Return an array in a memory file without a name."""
    size = max(rows, 1) * np.dtype(dtype).itemsize
    handle = os.memfd_create("patrol-lpr-hotlist", os.MFD_CLOEXEC)
    try:
        os.ftruncate(handle, size)
        shared = mmap.mmap(handle, size)
    finally:
        os.close(handle)
    return np.frombuffer(shared, dtype, count=rows)
