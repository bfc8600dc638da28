"""Signs a draft as a full package, or as a delta to an earlier full package."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import chain
from typing import IO, TYPE_CHECKING

import numpy as np

from protocol.errors import HotlistError
from protocol.hotlist.columns import encode_column
from protocol.hotlist.entry import BLOCK_ENTRIES
from protocol.hotlist.manifest import FORMAT, Kind, Manifest
from protocol.hotlist.package import write_package
from station.lists.draft import BlockWriter, full_sections, spooled

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    from protocol.hotlist.manifest import Section
    from protocol.seal.keys import SigningKey
    from station.lists.draft import ListFile, Rows

_MIX_KEY, _MIX_ENTRY = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F)


@dataclass(frozen=True, slots=True)
class Signing:
    """What the signer adds to a draft."""

    version: int
    accepted_by: str = ""
    """Who accepts what the import held; required if it held something."""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Change:
    """The difference between two lists."""

    removed: NDArray[np.uint32]
    """Rows of the older list."""
    added: NDArray[np.uint32]
    """Rows of the newer list."""


def sign_full(out: IO[bytes], draft: ListFile, key: SigningKey, signing: Signing) -> Manifest:
    """Write a full package; raises HotlistError if the list is held and nobody accepts it."""
    _refuse_held(draft, signing)
    draft.verify()
    manifest = _manifest(draft, signing, Kind.FULL, draft.info.sections, rows=draft.info.rows)
    write_package(out, manifest, key, {s.name: draft.section_blocks(s.name) for s in draft.info.sections})
    return manifest


def sign_again(out: IO[bytes], package: ListFile, key: SigningKey, signing: Signing) -> Manifest:
    """Sign the contents of an earlier full package with a higher version: units refuse an older one as it is.

    The time of the data stays, so that hits tell its age.  Raises HotlistError for a delta, a version that is not
    higher, or without a person who accepts it.
    """
    earlier = package.manifest
    if earlier is None or earlier.kind is not Kind.FULL:
        raise HotlistError(f"{package.path}: only a signed full package can be signed again")
    if signing.version <= earlier.version:
        raise HotlistError(f"version {signing.version} is not above that of the package, {earlier.version}")
    if not signing.accepted_by:
        raise HotlistError("going back to an earlier list needs a person who accepts it: --accept-change NAME")
    package.verify()
    manifest = _manifest(package, signing, Kind.FULL, package.info.sections, rows=package.info.rows)
    write_package(out, manifest, key, {s.name: package.section_blocks(s.name) for s in package.info.sections})
    return manifest


def sign_delta(out: IO[bytes], draft: ListFile, base: ListFile, key: SigningKey, signing: Signing) -> Manifest:
    """Write what changed since a full package; raises HotlistError if the list is held, or the base does not fit."""
    _refuse_held(draft, signing)
    if base.manifest is None or base.manifest.kind is not Kind.FULL:
        raise HotlistError(f"{base.path}: a delta needs a signed full package as its base")
    if base.info.settings.list_id != draft.info.settings.list_id:
        raise HotlistError(
            f"{base.path}: it is list {base.info.settings.list_id}, the draft is {draft.info.settings.list_id}"
        )
    if signing.version <= base.manifest.version:
        raise HotlistError(f"version {signing.version} is not above that of the base, {base.manifest.version}")
    draft.verify()
    rows = draft.rows()
    change = compare(base, draft)
    blocks = BlockWriter()
    try:
        added_keys, refs = rows.keys[change.added], _copy_entries(draft, rows, change.added, blocks)
        sections = chain(
            [("removed", encode_column(change.removed, is_sorted=True))],
            full_sections(added_keys, refs, blocks, draft.pattern_entries()),
        )
        with spooled(sections) as (found, file):
            manifest = _manifest(
                draft, signing, Kind.DELTA, found, rows=len(added_keys), removed=len(change.removed), base=base
            )
            write_package(out, manifest, key, _each(found, file))
    finally:
        blocks.close()
    return manifest


def compare(older: ListFile, newer: ListFile) -> Change:
    """Return which rows of the older list are gone and which of the newer are new; a changed entry is both."""
    first, second = older.rows(), newer.rows()
    first_marks, second_marks = _marks(older, first), _marks(newer, second)
    removed = np.flatnonzero(~np.isin(first_marks, second_marks)).astype(np.uint32)
    added = np.flatnonzero(~np.isin(second_marks, first_marks)).astype(np.uint32)
    if len(first.keys) - len(removed) + len(added) != len(second.keys):
        raise HotlistError("the two lists cannot be compared: one has the same entry twice; import it again")
    return Change(removed, added)


def _marks(file: ListFile, rows: Rows) -> NDArray[np.uint64]:
    """A number for each row by plate and entry."""
    sums = np.fromiter(
        (zlib.crc32(entry) for block in file.each_block(rows.starts) for entry in block),
        np.uint32,
        file.info.records,
    )
    marks = (rows.keys * _MIX_KEY) ^ (sums[rows.refs].astype(np.uint64) * _MIX_ENTRY)
    mixed: NDArray[np.uint64] = marks ^ (marks >> np.uint64(29))
    return mixed


def _copy_entries(
    draft: ListFile, rows: Rows, which: NDArray[np.uint32], blocks: BlockWriter
) -> NDArray[np.uint32]:
    """Copy the entries of some rows; return the references of the copies in the order of the rows."""
    wanted = rows.refs[which]
    order = np.argsort(wanted, kind="stable")
    refs = np.zeros(len(which), np.uint32)
    number, entries = -1, []
    for copy, row in enumerate(order.tolist()):
        block, within = divmod(int(wanted[row]), BLOCK_ENTRIES)
        if block != number:
            number, entries = block, draft.block(rows.starts, block)
        blocks.add([entries[within]])
        refs[row] = copy
    return refs


def _manifest(
    draft: ListFile,
    signing: Signing,
    kind: Kind,
    sections: tuple[Section, ...],
    *,
    rows: int,
    removed: int = 0,
    base: ListFile | None = None,
) -> Manifest:
    info = draft.info
    records = rows if base is not None else info.records
    based = base.manifest if base is not None else None
    return Manifest(
        format=FORMAT, settings=info.settings, rules=info.rules, version=signing.version, kind=kind,
        base_version=0 if based is None else based.version, base_digest="" if based is None else based.digest,
        as_of_utc_us=info.as_of_utc_us, expires_utc_us=info.expires_utc_us, rows=info.rows, carried_rows=rows,
        carried_records=records, removed_rows=removed, patterns=info.patterns,
        budget_per_million=info.budget_per_million, accepted_by=signing.accepted_by, note=signing.note,
        sections=sections,
    )  # fmt: skip


def _refuse_held(draft: ListFile, signing: Signing) -> None:
    if draft.manifest is not None:
        raise HotlistError(f"{draft.path}: it is signed already; sign a draft made by `patrol-lpr hotlist import`")
    if draft.info.held and not signing.accepted_by:
        raise HotlistError(
            f"{draft.path}: held: {'; '.join(draft.info.held)}. Look at it with `patrol-lpr hotlist diff`, then sign "
            "with --accept-change NAME"
        )


def _each(sections: tuple[Section, ...], file: IO[bytes]) -> dict[str, Iterable[bytes]]:
    return {section.name: _blocks(file, section.size) for section in sections}


def _blocks(file: IO[bytes], size: int) -> Iterator[bytes]:
    while size:
        data = file.read(min(size, 2**18))
        size -= len(data)
        yield data
