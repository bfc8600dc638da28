"""The audit log in the database: exact bytes of each entry, and the hashes of all complete subtrees.

An entry is appended in the transaction of what it records.  A lock until the end of that transaction gives the entries
of all processes one order without gaps: it is to be taken last, so nobody waits for it longer than for a commit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, func, literal, or_, select, tuple_

from protocol.errors import EntryError
from protocol.merkle.entry import encode_entry
from protocol.merkle.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    frontier_nodes,
    inclusion_proof,
    leaf_hash,
    root_of,
)
from station.errors import StoreError
from station.store.log_entry import entry_of
from station.store.rows import AuditRow, CheckpointRow, ConflictRow, WitnessRow
from station.store.tables import AUDIT, LOG_CHECKPOINTS, LOG_CONFLICTS, LOG_ENTRIES, LOG_NODES, LOG_WITNESSES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from protocol.merkle.tree import Node
    from station.store.database import Database

LOCK = "log"
_PAGE = 1_000
_NODES_AT_ONCE = 200
"""Of one statement: SQLite has a limit of parameters."""
_LEVEL = (
    select(LOG_NODES.c.place, LOG_NODES.c.hash)
    .where(LOG_NODES.c.level == bindparam("of"), LOG_NODES.c.place >= bindparam("first"))
    .order_by(LOG_NODES.c.place)
    .limit(_PAGE)
)
_ROWS = (
    select(
        AUDIT.c.number, AUDIT.c.utc_us, AUDIT.c.who, AUDIT.c.what, AUDIT.c.filter, AUDIT.c.count, AUDIT.c.purpose,
        AUDIT.c.case_number,
    )
    .where(AUDIT.c.number >= bindparam("first"))
    .order_by(AUDIT.c.number)
    .limit(_PAGE)
)  # fmt: skip
_LAST = select(func.max(LOG_ENTRIES.c.number))
_ENTRY = select(LOG_ENTRIES.c.entry).where(LOG_ENTRIES.c.number == bindparam("wanted"))
_PAGE_OF = (
    select(LOG_ENTRIES.c.number, LOG_ENTRIES.c.entry)
    .where(LOG_ENTRIES.c.number >= bindparam("first"))
    .order_by(LOG_ENTRIES.c.number)
    .limit(_PAGE)
)
_CHECKPOINT = select(LOG_CHECKPOINTS.c.size, LOG_CHECKPOINTS.c.note, LOG_CHECKPOINTS.c.made_us)
_WITNESS = select(
    LOG_WITNESSES.c.unit, LOG_WITNESSES.c.size, LOG_WITNESSES.c.line, LOG_WITNESSES.c.received_us
).order_by(LOG_WITNESSES.c.unit)
_CONFLICT = select(
    LOG_CONFLICTS.c.unit, LOG_CONFLICTS.c.size, LOG_CONFLICTS.c.note, LOG_CONFLICTS.c.received_us
).order_by(LOG_CONFLICTS.c.unit)


class SqlLog:
    """See :class:`station.store.port.StoredLog`."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._add_entry = db.insert(LOG_ENTRIES)
        self._add_nodes = db.insert(LOG_NODES)
        trail = db.insert(AUDIT)
        # A row that somebody put there by hand does not stop the log; what it says is not kept.
        self._add_row = trail.on_conflict_do_update(
            index_elements=["number"],
            set_={c.name: trail.excluded[c.name] for c in AUDIT.c if c.name != "number"},
        )

    def append(self, row: AuditRow) -> int:
        """Inside a transaction, after everything else in it that waits for others."""
        try:
            entry = encode_entry(entry_of(row))
        except EntryError as error:
            raise StoreError(f"the audit trail cannot record this, so nothing was done: {error}") from error
        self._db.lock(LOCK, b"")
        number = self.size()
        frontier = self._frontier(number)
        made = frontier.append(leaf_hash(entry))
        self._db.run(self._add_entry, {"number": number, "entry": entry})
        self._db.run(
            self._add_nodes,
            [{"level": level, "place": number >> level, "hash": node} for level, node in enumerate(made)],
        )
        self._db.run(
            self._add_row,
            {
                "number": number + 1,
                "utc_us": row.utc_us,
                "who": row.who,
                "what": row.what,
                "filter": row.filter,
                "count": row.count,
                "purpose": row.purpose,
                "case_number": row.case_number,
            },
        )
        return number

    def size(self) -> int:
        """One more than the last number."""
        row = self._db.first(_LAST)
        return 0 if row is None or row[0] is None else int(row[0]) + 1

    def root(self, size: int) -> bytes:
        """From the stored hashes."""
        return root_of(size, self._hashes) if size else EMPTY_ROOT

    def entry(self, number: int) -> bytes | None:
        """None if there is none."""
        row = self._db.first(_ENTRY, {"wanted": number})
        return None if row is None else bytes(row.entry)

    def entries(self, first: int = 0) -> Iterator[tuple[int, bytes]]:
        """A page at a time."""
        while rows := self._db.all(_PAGE_OF, {"first": first}):
            for number, entry in rows:
                # SQLite has types by value: what somebody stored as text is altered.
                yield number, entry.encode() if isinstance(entry, str) else bytes(entry)
            first = rows[-1].number + 1

    def level(self, level: int) -> Iterator[tuple[int, bytes]]:
        """A page at a time."""
        first = 0
        while rows := self._db.all(_LEVEL, {"of": level, "first": first}):
            for place, node in rows:
                yield place, b"" if isinstance(node, str) else bytes(node)
            first = rows[-1].place + 1

    def rows(self) -> Iterator[tuple[int, AuditRow]]:
        """A page at a time."""
        first = 1
        while rows := self._db.all(_ROWS, {"first": first}):
            for number, *values in rows:
                yield number - 1, AuditRow(*values)
            first = rows[-1].number + 1

    def inclusion(self, number: int, size: int) -> list[bytes]:
        """Of about twenty hashes for a million entries."""
        return inclusion_proof(number, size, self._hashes)

    def consistency(self, old: int, new: int) -> list[bytes]:
        """As above."""
        return consistency_proof(old, new, self._hashes)

    def add_checkpoint(self, row: CheckpointRow) -> None:
        """Inside a transaction; one per size, the first stays."""
        statement = self._db.insert(LOG_CHECKPOINTS).on_conflict_do_nothing()
        self._db.run(statement, {"size": row.size, "note": row.note, "made_us": row.made_us})

    def checkpoints(self, *, latest: int | None = None) -> list[CheckpointRow]:
        """By size."""
        statement = _CHECKPOINT.order_by(LOG_CHECKPOINTS.c.size.desc()).limit(latest)
        return [CheckpointRow(*row) for row in reversed(self._db.all(statement))]

    def checkpoint(self, size: int) -> CheckpointRow | None:
        """Of this size."""
        row = self._db.first(_CHECKPOINT.where(LOG_CHECKPOINTS.c.size == size))
        return None if row is None else CheckpointRow(*row)

    def add_witness(self, row: WitnessRow) -> None:
        """Inside a transaction; one per unit.  A countersignature of fewer entries does not replace one of more."""
        values = {"size": row.size, "line": row.line, "received_us": row.received_us}
        statement = self._db.insert(LOG_WITNESSES).values(unit=row.unit, **values)
        newer = or_(LOG_WITNESSES.c.size <= row.size, LOG_WITNESSES.c.line == "", literal(row.line) == "")
        self._db.run(statement.on_conflict_do_update(index_elements=["unit"], set_=values, where=newer))

    def witnesses(self) -> list[WitnessRow]:
        """By unit."""
        return [WitnessRow(*row) for row in self._db.all(_WITNESS)]

    def add_conflict(self, row: ConflictRow) -> None:
        """Inside a transaction; of a unit the one with the most entries stays."""
        values = {"size": row.size, "note": row.note, "received_us": row.received_us}
        statement = self._db.insert(LOG_CONFLICTS).values(unit=row.unit, **values)
        higher = LOG_CONFLICTS.c.size < row.size
        self._db.run(statement.on_conflict_do_update(index_elements=["unit"], set_=values, where=higher))

    def conflicts(self) -> list[ConflictRow]:
        """By unit."""
        return [ConflictRow(*row) for row in self._db.all(_CONFLICT)]

    def _frontier(self, size: int) -> Frontier:
        # Only what the next entry is joined with is read, one node on average.
        wanted = frontier_nodes(size)
        joined = wanted[len(wanted) - _trailing_ones(size) :]
        found = self._hashes(joined)
        return Frontier(size, [found[node] for node in joined])

    def _hashes(self, wanted: Sequence[Node]) -> Mapping[Node, bytes]:
        found = self._find(wanted)
        if missing := [node for node in wanted if node not in found]:
            raise StoreError(
                f"the audit log is damaged: {len(missing)} hashes are missing; run `patrol-lpr station check`, and "
                "restore the database from the backup"
            )
        return found

    def _find(self, wanted: Sequence[Node]) -> dict[Node, bytes]:
        found: dict[Node, bytes] = {}
        for start in range(0, len(wanted), _NODES_AT_ONCE):
            part = wanted[start : start + _NODES_AT_ONCE]
            where = tuple_(LOG_NODES.c.level, LOG_NODES.c.place).in_(part)
            rows: Sequence[Any] = self._db.all(
                select(LOG_NODES.c.level, LOG_NODES.c.place, LOG_NODES.c.hash).where(where)
            )
            found |= {(level, place): bytes(node) for level, place, node in rows if not isinstance(node, str)}
        return found


def _trailing_ones(size: int) -> int:
    return (~size & (size + 1)).bit_length() - 1
