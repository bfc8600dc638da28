"""The ordered, resumable stream of new records that outputs follow, on any database.

A record is added in the transaction that stores it, and only if an output asked for its type.  Each output has a place
in the stream, which it moves after it has delivered: a record is delivered at least once, and its unit and id tell
duplicates.

On PostgreSQL, numbers that several workers draw do not follow the order of their commits.  Rows are therefore ordered
by transaction, and shown only when every transaction that began before theirs has ended: none can appear behind a place
that was already passed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, bindparam, delete, func, insert, literal_column, or_, select, tuple_, update

from station.errors import StoreError
from station.store.records import SHOWN
from station.store.rows import DeadLetter, OutputState, RecordRow, StreamPlace, StreamRow
from station.store.tables import DEAD_LETTERS, HERE, OUTPUTS, RECORDS, STREAM

if TYPE_CHECKING:
    from collections.abc import Sequence

    from station.store.database import Database

MAX_DEAD_LETTERS = 10_000
"""Of one output; the oldest are dropped."""
_MAX_REASON = 500
_MAX_LEASE_US = 3_600_000_000
"""A lease that ends later than this after a new one was made by a clock that was wrong, and is not waited for."""
_PLACE = (STREAM.c.xid, STREAM.c.number)
_HAS_ENDED: Any = literal_column("stream.xid < pg_snapshot_xmin(pg_current_snapshot())::text::bigint")
_IS_IT = OUTPUTS.c.name == bindparam("of")
_AT = select(OUTPUTS.c.at_xid, OUTPUTS.c.at_number, OUTPUTS.c.schemas).where(_IS_IT)
_ROWS = (
    select(
        STREAM.c.xid, STREAM.c.number, STREAM.c.unit, STREAM.c.record_id, STREAM.c.schema, STREAM.c.received_us, *SHOWN
    )
    .select_from(
        STREAM.outerjoin(
            RECORDS,
            and_(
                RECORDS.c.unit == STREAM.c.unit,
                RECORDS.c.record_id == STREAM.c.record_id,
                RECORDS.c.received_us == STREAM.c.received_us,
                RECORDS.c.schema == STREAM.c.schema,
                HERE,
            ),
        )
    )
    .order_by(*_PLACE)
)  # fmt: skip
_TRANSACTIONS = select(
    select(func.max(OUTPUTS.c.at_xid)).scalar_subquery(),
    select(func.max(STREAM.c.xid)).scalar_subquery(),
    literal_column("pg_current_xact_id()::text::bigint"),
)
_STATES = select(
    OUTPUTS.c.name, OUTPUTS.c.schemas, OUTPUTS.c.at_xid, OUTPUTS.c.at_number, OUTPUTS.c.registered_us,
    OUTPUTS.c.delivered, OUTPUTS.c.skipped, OUTPUTS.c.overflowed, OUTPUTS.c.buried, OUTPUTS.c.attempts,
    OUTPUTS.c.delivered_us, OUTPUTS.c.last_error, OUTPUTS.c.holder, OUTPUTS.c.lease_us,
).order_by(OUTPUTS.c.name)  # fmt: skip
_TAKE = (
    update(OUTPUTS)
    .where(
        _IS_IT,
        or_(
            OUTPUTS.c.holder == bindparam("by"),
            OUTPUTS.c.lease_us <= bindparam("now"),
            OUTPUTS.c.lease_us > bindparam("impossible"),
        ),
    )
    .values(holder=bindparam("by"), lease_us=bindparam("until"))
)
_FREE = update(OUTPUTS).where(_IS_IT, OUTPUTS.c.holder == bindparam("by")).values(holder="", lease_us=0)
_ADVANCE = (
    update(OUTPUTS)
    .where(_IS_IT)
    .values(
        at_xid=bindparam("to_xid"),
        at_number=bindparam("to_number"),
        delivered=OUTPUTS.c.delivered + bindparam("n_delivered"),
        skipped=OUTPUTS.c.skipped + bindparam("n_skipped"),
        attempts=0,
        last_error="",
        delivered_us=func.coalesce(bindparam("at_us"), OUTPUTS.c.delivered_us),
    )
)
_FAILED = update(OUTPUTS).where(_IS_IT).values(attempts=OUTPUTS.c.attempts + 1, last_error=bindparam("error"))
_BURY = (
    update(OUTPUTS)
    .where(_IS_IT)
    .values(
        at_xid=bindparam("to_xid"),
        at_number=bindparam("to_number"),
        buried=OUTPUTS.c.buried + 1,
        attempts=0,
        last_error=bindparam("error"),
    )
)
_OVERFLOW = (
    update(OUTPUTS)
    .where(_IS_IT)
    .values(
        at_xid=bindparam("to_xid"),
        at_number=bindparam("to_number"),
        overflowed=OUTPUTS.c.overflowed + bindparam("count"),
        attempts=0,
    )
)
_DEAD = (
    select(
        DEAD_LETTERS.c.number, DEAD_LETTERS.c.output, DEAD_LETTERS.c.unit, DEAD_LETTERS.c.record_id,
        DEAD_LETTERS.c.schema, DEAD_LETTERS.c.received_us, DEAD_LETTERS.c.failed_us, DEAD_LETTERS.c.attempts,
        DEAD_LETTERS.c.reason,
    )
    .order_by(DEAD_LETTERS.c.number.desc())
)  # fmt: skip


class Stream:
    """See the module.  Every method raises StoreError, and has a transaction of its own unless it says otherwise."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def register(self, name: str, schemas: Sequence[str], now_us: int) -> bool:
        """Add an output, which gets what is stored from now on, or change its types; True if it is new."""
        with self._db.transaction():
            kept = {"schemas": " ".join(sorted(schemas))}
            changed = self._db.run(update(OUTPUTS).where(_IS_IT).values(**kept), {"of": name})
            if changed.rowcount:
                self._restart_after_restore(name)
                return False
            at = self._end()
            values = {"name": name, **kept, "at_xid": at.xid, "at_number": at.number, "registered_us": now_us}
            self._db.run(self._db.insert(OUTPUTS).on_conflict_do_nothing(), values)
            return True

    def _end(self) -> StreamPlace:
        row = self._db.run(select(*_PLACE).order_by(STREAM.c.xid.desc(), STREAM.c.number.desc()).limit(1)).first()
        if row is not None:
            return StreamPlace(row.xid, row.number)
        # Numbers go on after those that were pruned.
        last = self._db.run(select(func.max(OUTPUTS.c.at_xid), func.max(OUTPUTS.c.at_number))).first()
        return StreamPlace(last[0] or 0, last[1] or 0)

    def _restart_after_restore(self, name: str) -> None:
        """A database that was restored into another server counts its transactions from the start again."""
        if self._db.is_sqlite:
            return
        latest, newest, now = self._db.run(_TRANSACTIONS).one()
        if max(latest or 0, newest or 0) <= now:
            return
        # From the start: delivered again is better than left out.
        self._db.run(update(STREAM).values(xid=0))
        self._db.run(update(OUTPUTS).values(at_xid=0, at_number=0))
        self.fail_inside(name, "the database was restored: records are sent again")

    def fail_inside(self, name: str, error: str) -> None:
        """Note an error.  Inside a transaction."""
        self._db.run(_FAILED, {"of": name, "error": error[:_MAX_REASON]})

    def remove(self, name: str) -> bool:
        """Remove an output with what it could not deliver; False if there is none."""
        with self._db.transaction():
            self._db.run(delete(DEAD_LETTERS).where(DEAD_LETTERS.c.output == name))
            gone = self._db.run(delete(OUTPUTS).where(_IS_IT), {"of": name}).rowcount
        self.prune()
        return bool(gone)

    def take(self, name: str, holder: str, now_us: int, until_us: int) -> bool:
        """Hold an output until a time, so that two processes do not both deliver; False if another one holds it."""
        with self._db.transaction():
            values = {
                "of": name, "by": holder, "now": now_us, "until": until_us, "impossible": until_us + _MAX_LEASE_US,
            }  # fmt: skip
            return bool(self._db.run(_TAKE, values).rowcount)

    def free(self, name: str, holder: str) -> None:
        """Hold it no longer."""
        with self._db.transaction():
            self._db.run(_FREE, {"of": name, "by": holder})

    def following(self, name: str, limit: int) -> list[StreamRow]:
        """Return the next records of an output, in order; without contents if they were purged."""
        at = self._db.first(_AT, {"of": name})
        if at is None:
            raise StoreError(f"there is no output {name!r}: start `patrol-lpr station outputs run` with it")
        rows = self._db.all(self._after(_ROWS, name, at).limit(limit))
        return [_row(row) for row in rows]

    def _after(self, statement: Any, name: str, at: Any) -> Any:
        statement = statement.where(
            tuple_(*_PLACE) > tuple_(at.at_xid, at.at_number),
            or_(
                and_(STREAM.c.only_for.is_(None), STREAM.c.schema.in_(at.schemas.split())),
                STREAM.c.only_for == name,
            ),
        )
        return statement if self._db.is_sqlite else statement.where(_HAS_ENDED)

    def advance(self, name: str, to: StreamPlace, delivered: int, skipped: int, now_us: int) -> None:
        """Move an output's place behind what was delivered, or skipped."""
        with self._db.transaction():
            self._db.run(
                _ADVANCE,
                {
                    "of": name, "to_xid": to.xid, "to_number": to.number, "n_delivered": delivered,
                    "n_skipped": skipped, "at_us": now_us if delivered else None,
                },
            )  # fmt: skip

    def fail(self, name: str, error: str) -> None:
        """Note that the next record could not be delivered for the moment."""
        with self._db.transaction():
            self.fail_inside(name, error)

    def bury(self, name: str, row: StreamRow, reason: str, attempts: int, now_us: int) -> None:
        """Give up on a record: keep it as a dead letter, and move behind it."""
        reason = reason[:_MAX_REASON]
        with self._db.transaction():
            self._db.run(
                insert(DEAD_LETTERS),
                {
                    "output": name, "unit": row.unit, "record_id": row.record_id, "schema": row.schema,
                    "received_us": row.received_us, "failed_us": now_us, "attempts": attempts, "reason": reason,
                },
            )  # fmt: skip
            self._db.run(
                _BURY, {"of": name, "to_xid": row.place.xid, "to_number": row.place.number, "error": reason}
            )
            oldest = (
                select(DEAD_LETTERS.c.number)
                .where(DEAD_LETTERS.c.output == name)
                .order_by(DEAD_LETTERS.c.number.desc())
                .offset(MAX_DEAD_LETTERS)
                .limit(1)
            )
            found = self._db.run(oldest).first()
            if found is not None:
                own = DEAD_LETTERS.c.output == name
                self._db.run(delete(DEAD_LETTERS).where(own, DEAD_LETTERS.c.number <= found[0]))

    def bound(self, name: str, max_waiting: int) -> int:
        """Leave out the oldest records if more than ``max_waiting`` wait; return how many."""
        at = self._db.first(_AT, {"of": name})
        if at is None:
            return 0
        newest = self._after(select(*_PLACE), name, at).order_by(STREAM.c.xid.desc(), STREAM.c.number.desc())
        last = self._db.first(newest.offset(max_waiting).limit(1))
        if last is None:
            return 0
        with self._db.transaction():
            behind = self._after(select(func.count()).select_from(STREAM), name, at)
            count = self._db.run(behind.where(tuple_(*_PLACE) <= tuple_(last.xid, last.number))).first()[0]
            values = {"of": name, "to_xid": last.xid, "to_number": last.number, "count": count}
            self._db.run(_OVERFLOW, values)
        return int(count)

    def bound_all(self, max_waiting: int) -> int:
        """Bound every output, also one that nobody runs; return how many records were left out.

        Its own program bounds an output that runs, by its table.
        """
        count = sum(self.bound(row.name, max_waiting) for row in self._db.all(select(OUTPUTS.c.name)))
        if count:
            self.prune()
        return count

    def prune(self) -> None:
        """Forget what every output has passed."""
        first = select(OUTPUTS.c.at_xid, OUTPUTS.c.at_number).order_by(OUTPUTS.c.at_xid, OUTPUTS.c.at_number)
        at = self._db.first(first.limit(1))
        with self._db.transaction():
            gone = delete(STREAM)
            self._db.run(gone if at is None else gone.where(tuple_(*_PLACE) <= tuple_(at.at_xid, at.at_number)))

    def states(self) -> list[OutputState]:
        """Return all outputs, by name."""
        return [self._state(row) for row in self._db.all(_STATES)]

    def _state(self, row: Any) -> OutputState:
        counted = select(func.count(), func.min(STREAM.c.received_us)).select_from(STREAM)
        waiting, oldest_us = self._db.all(self._after(counted, row.name, row))[0]
        dead = self._db.first(select(func.count()).where(DEAD_LETTERS.c.output == row.name))[0]
        return OutputState(
            row.name, tuple(row.schemas.split()), row.registered_us, waiting, oldest_us, row.delivered, row.skipped,
            row.overflowed, row.buried, dead, row.attempts, row.delivered_us, row.last_error, row.holder, row.lease_us,
        )  # fmt: skip

    def dead_letters(self, name: str | None = None, limit: int = 1_000) -> list[DeadLetter]:
        """Return dead letters, the latest first."""
        statement = _DEAD if name is None else _DEAD.where(DEAD_LETTERS.c.output == name)
        return [DeadLetter(*row) for row in self._db.all(statement.limit(limit))]

    def retry(self, name: str) -> int:
        """Put the dead letters of an output back into the stream, for it alone; return their number."""
        own = DEAD_LETTERS.c.output == name
        columns = (
            DEAD_LETTERS.c.unit,
            DEAD_LETTERS.c.record_id,
            DEAD_LETTERS.c.schema,
            DEAD_LETTERS.c.received_us,
        )
        with self._db.transaction():
            rows = self._db.run(select(*columns).where(own).order_by(DEAD_LETTERS.c.number)).all()
            names = ("unit", "record_id", "schema", "received_us")
            again = [{**dict(zip(names, row, strict=True)), "only_for": name} for row in rows]
            self._db.run(insert(STREAM), again)
            self._db.run(delete(DEAD_LETTERS).where(own))
        return len(rows)


def _row(columns: Any) -> StreamRow:
    xid, number, unit, record_id, schema, received_us, *shown = columns
    row = None if shown[0] is None else RecordRow(*shown)
    return StreamRow(StreamPlace(xid, number), unit, record_id, schema, received_us, row)
