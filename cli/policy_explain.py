"""Why a record is kept and until when: from the unit's outbox, or from a station's database."""

from __future__ import annotations

import datetime as dt
import time
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.buffer import OutboxReader
from agent.buffer.outbox import FILE_NAME
from agent.runtime.config import load_config
from agent.runtime.stages import load_policies
from cli.account import operator
from cli.station_place import place_named
from protocol.errors import WireError
from protocol.wire.record import decode_record
from protocol.wire.records.read import Read
from protocol.wire.released import released_registry
from station.query import Query
from station.store import open_store

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.wire.registry import RecordBody

ID_BYTES = 16
_US_PER_S = 1_000_000
_GONE = (
    "it was never kept, or it was sent and receipted, or deleted; "
    "purge records and tombstones at the station say how many were deleted, and when"
)


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known about a record."""

    record_id: bytes
    found: bool
    where: str
    """Such as ``outbox`` or ``quarantine``."""
    unit: str = ""
    seq: int | None = None
    schema: str = ""
    policy_class: str | None = None
    policy: str | None = None
    """None: the record is sealed, and only the station can open it."""
    until_utc_us: int | None = None
    made_utc_us: int | None = None
    policies_now: tuple[str, ...] = ()
    """The policies in force on the unit at present."""

    def lines(self) -> list[str]:
        """Return sentences for people."""
        if not self.found:
            return [f"{self.record_id.hex()} is not in {self.where}: {_GONE}"]
        lines = [f"{self.record_id.hex()} is in {self.where}: {self.schema}, number {self.seq}"]
        if self.policy:
            made = "" if self.made_utc_us is None else f", made {_utc(self.made_utc_us)}"
            lines.append(f"kept as class {self.policy_class} under policy {self.policy}{made}")
        elif self.policy is None:
            kept = "" if self.policy_class is None else f"kept as class {self.policy_class}; "
            lines.append(f"{kept}its policy is inside the sealed record, which only the station can open")
        else:
            lines.append("no policy was in force when it was made")
        if self.until_utc_us is None:
            lines.append(
                "until its receipt; the time at which it was made is not known yet, or no policy limits it"
            )
        else:
            lines.append(f"until its receipt, at most until {_utc(self.until_utc_us)}")
        if self.policies_now:
            lines.append(f"in force now: {', '.join(self.policies_now)}")
        return lines


def on_unit(config_path: Path, record_id: bytes) -> Explanation:
    """Look in the outbox of a unit; raises OutboxError and ConfigError."""
    config = load_config(config_path)
    policies = load_policies(config)
    now = () if policies is None else policies().names
    with closing(OutboxReader(config.state_dir / FILE_NAME)) as reader:
        found = reader.find(record_id)
    if found is None:
        return Explanation(record_id, found=False, where=f"the outbox of {config.unit}", policies_now=now)
    row, waits = found
    told = Explanation(
        record_id,
        found=True,
        where="the outbox" if waits else "quarantine",
        unit=config.unit,
        seq=row.seq,
        schema=row.schema,
        policy_class=row.retention or None,
        until_utc_us=row.expires_us,
        policies_now=now,
    )
    return _with_read(told, _body(row.payload))


def at_station(db: str, record_id: bytes) -> Explanation:
    """Look in a station's database, which notes it in its audit trail; raises StoreError."""
    store = open_store(place_named(db), must_exist=True)
    try:
        query = Query(store, operator(), lambda: time.time_ns() // 1000)
        for unit, _ in query.units():
            stored = query.record(unit.unit, record_id)
            if stored is not None:
                schema = stored.record.envelope.schema_id
                told = Explanation(record_id, found=True, where=db, unit=unit.unit, seq=stored.seq, schema=schema)
                return _with_read(told, stored.body)
    finally:
        store.close()
    return Explanation(record_id, found=False, where=db)


def _body(payload: bytes) -> RecordBody | None:
    """None for a sealed record, and for one that this version does not know."""
    try:
        return decode_record(payload, released_registry()).body
    except WireError:
        return None


def _with_read(told: Explanation, body: RecordBody | None) -> Explanation:
    if not isinstance(body, Read):
        return told
    return replace(
        told,
        policy_class=body.retention.policy_class,
        policy=body.policy,
        made_utc_us=body.utc_us,
        until_utc_us=told.until_utc_us or body.expires_utc_us or None,
    )


def _utc(utc_us: int) -> str:
    return dt.datetime.fromtimestamp(utc_us / _US_PER_S, dt.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
