"""What a draft or package holds, and how two of them differ."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from protocol.hotlist.entry import BLOCK_ENTRIES, Entry, decode_entry
from protocol.hotlist.package import verify_package
from station.lists.draft import MAGIC, ListFile
from station.lists.report import RuleLine
from station.lists.signing import compare

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from protocol.hotlist.manifest import Rules, Settings
    from protocol.seal.keys import VerifyKey
    from station.lists.draft import Rows

_E4 = 10_000


@dataclass(frozen=True, slots=True)
class Contents:
    """A draft or package, without its entries."""

    settings: Settings
    kind: str
    version: int
    entries: int
    patterns: int
    as_of_utc_us: int
    expires_utc_us: int | None
    rules: tuple[RuleLine, ...]
    signed_by: str = ""
    """Key id; empty for a draft."""
    base_version: int = 0
    removed: int = 0
    added: int = 0
    accepted_by: str = ""
    note: str = ""
    held: tuple[str, ...] = ()
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Difference:
    """How two lists differ; entries with wildcards are compared as a whole."""

    added: int
    removed: int
    changed: int
    """Plates of which an entry is gone and another is new."""
    kept: int
    examples: dict[str, list[Entry]] = field(default_factory=dict)


def contents_of(path: Path, authorities: Sequence[VerifyKey]) -> Contents:
    """Verify all bytes of a file; raises HotlistError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(len(MAGIC)) == MAGIC:
            with ListFile(path) as draft:
                draft.verify()
                info = draft.info
            return Contents(
                info.settings, "draft", 0, info.rows + info.patterns, info.patterns, info.as_of_utc_us,
                info.expires_utc_us, _lines(info.rules), held=info.held, note=info.note, bytes=size,
            )  # fmt: skip
        file.seek(0)
        m = verify_package(file, authorities)
        file.seek(len(MAGIC))
        signed_by = file.read(8).hex()
    return Contents(
        m.settings, m.kind.value, m.version, m.entries, m.patterns, m.as_of_utc_us, m.expires_utc_us, _lines(m.rules),
        signed_by, m.base_version, m.removed_rows, m.carried_rows, m.accepted_by, m.note, (), size,
    )  # fmt: skip


def difference_of(older: ListFile, newer: ListFile, show: int) -> Difference:
    """Compare two drafts or full packages; raises HotlistError."""
    change = compare(older, newer)
    first, second = older.rows(), newer.rows()
    gone, new = first.keys[change.removed], second.keys[change.added]
    both = np.intersect1d(gone, new)
    only_gone = change.removed[~np.isin(gone, both)]
    only_new = change.added[~np.isin(new, both)]
    changed = change.added[np.isin(new, both)]
    patterns = (set(older.pattern_entries()), set(newer.pattern_entries()))
    out, into = len(patterns[0] - patterns[1]), len(patterns[1] - patterns[0])
    examples = {
        kind: _entries(file, rows, which[:show])
        for kind, file, rows, which in (
            ("new", newer, second, only_new),
            ("gone", older, first, only_gone),
            ("changed", newer, second, changed),
        )
        if show and len(which)
    }
    equal = len(first.keys) - len(change.removed) + len(patterns[0] & patterns[1])
    return Difference(len(only_new) + into, len(only_gone) + out, len(both), equal, examples)


def _entries(file: ListFile, rows: Rows, which: NDArray[np.uint32]) -> list[Entry]:
    found = []
    for ref in rows.refs[which].tolist():
        block, within = divmod(ref, BLOCK_ENTRIES)
        found.append(decode_entry(file.block(rows.starts, block)[within], f"row {ref}"))
    return found


def _lines(rules: Rules) -> tuple[RuleLine, ...]:
    return tuple(
        RuleLine(
            name,
            terms.enabled,
            terms.regions.value,
            terms.min_probability_e4 / _E4,
            terms.alarms_per_million / 1000,
        )
        for name, terms in (
            ("exact", rules.exact),
            ("approximate", rules.approximate),
            ("patterns", rules.patterns),
        )
    )
