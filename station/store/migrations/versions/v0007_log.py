"""The audit log, its checkpoints and witnesses, legal holds, and certificates of purges.

Entries of the trail so far become the log's first ones, with a note that they were not protected before.  What was
purged so far gets one certificate that says so: from then on, contents that are missing without one were removed.

Revision 0007.
"""

from __future__ import annotations

import hashlib
import json
import time
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from alembic import op

from protocol.merkle.entry import LogEntry, encode_entry
from protocol.merkle.tree import Frontier, leaf_hash

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

revision = "0007"
down_revision = "0006"

_INT64 = sa.BigInteger().with_variant(sa.Integer, "sqlite")
_MAX_TEXT = 8_000
"""Characters of a filter; a longer one is cut, and ends with the hash of the whole."""
_TRAIL = (
    "SELECT number, utc_us, who, what, count AS n, filter, purpose, case_number FROM audit WHERE number > :after"
    " ORDER BY number LIMIT 1000"
)
_PURGED_IN_FILE = "SELECT unit, seq FROM records WHERE payload IS NULL"
_PURGED_ON_SERVER = """SELECT e.unit, e.seq FROM evidence e WHERE NOT EXISTS (
    SELECT FROM records r WHERE r.unit = e.unit AND r.record_id = e.record_id AND r.seq = e.seq)"""


def upgrade() -> None:
    """Create the tables, then fill the log."""
    _create()
    connection = op.get_bind()
    log = _Log(connection)
    migrated = log.take_over()
    now_us = time.time_ns() // 1000
    if migrated:
        log.append(LogEntry(utc_us=now_us, who="station", what="log begins", filter="", count=migrated))
    ranges, count = _purged(connection)
    if ranges:
        text = "".join(f"{unit} {first} {last}\n" for unit, first, last in ranges)
        told = {
            "v": 1, "kind": "purge", "number": 1, "t": now_us, "by": "station", "why": "before the log", "rules": [],
            "classes": [], "records": count, "pictures": 0, "days": [], "held": 0, "holds": [],
            "ranges": hashlib.sha256(text.encode()).hexdigest(),
        }  # fmt: skip
        certificate = json.dumps(told, sort_keys=True, separators=(",", ":")).encode("ascii")
        _insert(connection, "purges", [{"number": 1, "certificate": certificate}])
        _insert(
            connection,
            "purged",
            [{"unit": unit, "first": first, "purge": 1, "last": last} for unit, first, last in ranges],
        )
        document = hashlib.sha256(certificate).hexdigest()
        log.append(
            LogEntry(
                utc_us=now_us, who="station", what="purge", filter="before the log", count=count, document=document
            )
        )


def _create() -> None:
    # Compared with columns of other tables, which have this collation on PostgreSQL.
    unit = sa.Text(collation="C") if op.get_bind().dialect.name == "postgresql" else sa.Text()

    def key(name: str, kind: Any) -> sa.Column[Any]:
        return sa.Column(name, kind, primary_key=True, nullable=False, autoincrement=False)

    def must(name: str, kind: Any) -> sa.Column[Any]:
        return sa.Column(name, kind, nullable=False)

    op.create_table("log_entries", key("number", _INT64), must("entry", sa.LargeBinary))
    op.create_table(
        "log_nodes", key("level", sa.Integer), key("place", _INT64), must("hash", sa.LargeBinary),
        sqlite_with_rowid=False,
    )  # fmt: skip
    op.create_table("log_checkpoints", key("size", _INT64), must("note", sa.Text), must("made_us", _INT64))
    for name, text in (("log_witnesses", "line"), ("log_conflicts", "note")):
        op.create_table(
            name, key("unit", unit), must("size", _INT64), must(text, sa.Text), must("received_us", _INT64)
        )
    op.create_table(
        "holds",
        key("number", _INT64),
        must("statement", sa.LargeBinary),
        sa.Column("release", sa.LargeBinary, nullable=True),
    )
    op.create_table(
        "held", key("unit", unit), key("record_id", sa.LargeBinary), key("hold", _INT64), sqlite_with_rowid=False
    )
    op.create_index("held_hold", "held", ["hold"])
    op.create_table("purges", key("number", _INT64), must("certificate", sa.LargeBinary))
    op.create_table(
        "purged", key("unit", unit), key("first", _INT64), key("purge", _INT64), must("last", _INT64),
        sqlite_with_rowid=False,
    )  # fmt: skip
    op.create_index("purged_purge", "purged", ["purge"])


class _Log:
    """The log while it is filled."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._frontier = Frontier()

    def take_over(self) -> int:
        """Append all entries of the trail, numbered anew without gaps; return how many there are."""
        after = -1
        while rows := self._connection.execute(sa.text(_TRAIL), {"after": after}).all():
            after = rows[-1].number
            self._connection.execute(
                sa.text("DELETE FROM audit WHERE number BETWEEN :first AND :last"),
                {"first": rows[0].number, "last": after},
            )
            self._write(
                [
                    LogEntry(
                        utc_us=max(row.utc_us, 0), who=row.who, what=row.what, filter=_cut(row.filter),
                        count=row.n, purpose=row.purpose, case_number=row.case_number,
                    )
                    for row in rows
                ]
            )  # fmt: skip
        return self._frontier.size

    def append(self, entry: LogEntry) -> None:
        self._write([entry])

    def _write(self, entries: Sequence[LogEntry]) -> None:
        stored, nodes, trail = [], [], []
        for entry in entries:
            number, data = self._frontier.size, encode_entry(entry)
            made = self._frontier.append(leaf_hash(data))
            stored.append({"number": number, "entry": data})
            nodes += [{"level": level, "place": number >> level, "hash": node} for level, node in enumerate(made)]
            trail.append(
                {
                    "number": number + 1, "utc_us": entry.utc_us, "who": entry.who, "what": entry.what,
                    "count": entry.count, "filter": entry.filter, "purpose": entry.purpose,
                    "case_number": entry.case_number,
                }
            )  # fmt: skip
        for table, rows in (("log_entries", stored), ("log_nodes", nodes), ("audit", trail)):
            _insert(self._connection, table, rows)


def _insert(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    names = ", ".join(f'"{name}"' for name in rows[0])
    values = ", ".join(f":{name}" for name in rows[0])
    connection.execute(sa.text(f'INSERT INTO "{table}" ({names}) VALUES ({values})'), rows)  # noqa: S608 - of this file


def _cut(text: str) -> str:
    if len(text) <= _MAX_TEXT:
        return text
    return f"{text[:_MAX_TEXT]}... sha256 {hashlib.sha256(text.encode()).hexdigest()}"


def _purged(connection: Connection) -> tuple[list[tuple[str, int, int]], int]:
    """Return ranges of the numbers whose contents were purged, and how many records."""
    is_server = connection.dialect.name == "postgresql"
    # A page at a time: PostgreSQL's driver would hold all of millions of rows.
    statement = sa.text(f"{_PURGED_ON_SERVER if is_server else _PURGED_IN_FILE} ORDER BY 1, 2")
    found = connection.execute(statement, execution_options={"yield_per": 10_000})
    count = 0

    def numbers() -> Iterator[tuple[str, int]]:
        nonlocal count
        for unit, seq in found:
            count += 1
            yield unit, seq

    return list(_ranges(numbers())), count


def _ranges(numbers: Iterator[tuple[str, int]]) -> Iterator[tuple[str, int, int]]:
    first = last = None
    for unit, seq in numbers:
        if first is not None and last is not None and last[0] == unit and last[1] <= seq <= last[1] + 1:
            last = unit, seq
            continue
        if first is not None and last is not None:
            yield first[0], first[1], last[1]
        first = last = unit, seq
    if first is not None and last is not None:
        yield first[0], first[1], last[1]
