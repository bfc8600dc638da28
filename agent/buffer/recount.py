"""Compares the counters with the rows: recounted after a salvage, compared when damage is suspected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.buffer.counters import PICTURE_BYTES, ROW_BYTES, load
from agent.buffer.rows import OVERVIEWS, PLATES, PicturePriority
from agent.buffer.table import MAX_SCHEMA_CHARS
from protocol.wire.enums import PictureKind

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence


def _among(values: Sequence[int] | Sequence[str] | frozenset[PicturePriority]) -> str:
    return ", ".join(f"'{value}'" if isinstance(value, str) else str(int(value)) for value in values)


_ODD_ROW = (
    f"typeof(schema) != 'text' OR length(schema) NOT BETWEEN 1 AND {MAX_SCHEMA_CHARS} OR typeof(priority) != 'integer'"
    " OR kept NOT IN (0, 1) OR typeof(expires_us) NOT IN ('integer', 'null')"
    " OR typeof(class) NOT IN ('text', 'null') OR typeof(payload) != 'blob'"
    " OR typeof(id) != 'blob'"
)
_ODD = {
    "a record without a type": f"records WHERE {_ODD_ROW}",
    "a quarantined record without a type": f"quarantine WHERE {_ODD_ROW} OR typeof(code) != 'text'",
    "a number both waiting and quarantined": "records JOIN quarantine USING (seq)",
    "a picture without a kind": f"pictures WHERE kind NOT IN ({_among([kind.value for kind in PictureKind])})"
    f" OR lane NOT IN ({_among(list(PicturePriority))}) OR typeof(seq) != 'integer' OR typeof(stored) != 'integer'"
    " OR typeof(read_id) != 'blob' OR typeof(sha) != 'blob'",
    "a picture without its bytes": "pictures p LEFT JOIN jpegs j USING (pic)"
    " WHERE j.pic IS NULL OR typeof(j.jpeg) != 'blob' OR length(j.jpeg) IS NOT p.size",
    "picture bytes without a picture": "jpegs LEFT JOIN pictures p USING (pic) WHERE p.pic IS NULL",
}
_QUARANTINED = frozenset({PicturePriority.QUARANTINED})


def recount(con: sqlite3.Connection) -> dict[str, int]:
    """Return the counters computed from the rows, except those per type; raises sqlite3.Error."""
    (records_bytes,) = _one(
        con,
        f"SELECT coalesce(sum(length(payload) + {ROW_BYTES}), 0) FROM records",  # noqa: S608 - a number of ours
    )
    quarantined, quarantine_bytes = _one(
        con,
        f"SELECT count(*), coalesce(sum(length(payload) + {ROW_BYTES}), 0) FROM quarantine",  # noqa: S608 - a number of ours
    )
    by_priority = dict(con.execute("SELECT lane, count(*) FROM pictures GROUP BY lane"))
    (pictures_bytes,) = _one(con, f"SELECT coalesce(sum(size + {PICTURE_BYTES}), 0) FROM pictures")  # noqa: S608 - a number of ours
    return {
        "quarantined": quarantined,
        "plates": sum(by_priority.get(priority, 0) for priority in PLATES),
        "overviews": sum(by_priority.get(priority, 0) for priority in OVERVIEWS),
        "held": sum(by_priority.get(priority, 0) for priority in _QUARANTINED),
        "used_bytes": records_bytes + quarantine_bytes + pictures_bytes,
    }


def waiting_by_type(con: sqlite3.Connection) -> dict[str, int]:
    """Return the number of waiting records of each type; raises sqlite3.Error."""
    return dict(con.execute("SELECT schema, count(*) FROM records GROUP BY schema"))


def contradictions(con: sqlite3.Connection) -> str:
    """Return the first contradiction between rows, or rows and counters, or an empty string; raises sqlite3.Error."""
    found = [
        what
        for what, rows in _ODD.items()
        if con.execute(f"SELECT 1 FROM {rows} LIMIT 1").fetchone() is not None  # noqa: S608 - words of ours
    ]
    counts = load(con)
    found += [
        f"{name} is {getattr(counts, name)}, not {true}"
        for name, true in recount(con).items()
        if getattr(counts, name) != true
    ]
    waiting = waiting_by_type(con)
    found += [
        f"{of_type.waiting} of {schema!r} wait, not {waiting.get(schema, 0)}"
        for schema, of_type in counts.types.items()
        if of_type.waiting != waiting.get(schema, 0)
    ]
    if not waiting.keys() <= counts.types.keys():
        found.append("a record of a type that was never counted")
    highest = _one(con, "SELECT max(coalesce((SELECT max(seq) FROM records), 0),"
                        " coalesce((SELECT max(seq) FROM quarantine), 0))")[0]  # fmt: skip
    (last_pic,) = _one(con, "SELECT coalesce(max(pic), 0) FROM pictures")
    if counts.next_seq <= highest or counts.next_pic <= last_pic:
        found.append("a number would be assigned twice")
    return "; ".join(found)


def _one(con: sqlite3.Connection, query: str) -> tuple[int, ...]:
    row: tuple[int, ...] = con.execute(query).fetchone()
    return row
