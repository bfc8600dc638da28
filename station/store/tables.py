"""The station's tables, in SQLAlchemy Core: one definition for every database.

``records`` has all types, known or not; a record's contents are decoded from its payload, the bytes that the unit
signed.  Tables that index the contents are created from the registry (``station.store.projections``).  A change here
needs a migration in ``station/store/migrations/versions``; a test compares the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    and_,
    literal_column,
    or_,
    text,
)

METADATA = MetaData()
_EMPTY = text("x''")
INT64 = BigInteger().with_variant(Integer, "sqlite")
"""SQLite's INTEGER has 64 bits."""


def _key(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, primary_key=True, nullable=False, autoincrement=False)


def _must(name: str, kind: Any, **options: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, **options)


RECORDS = Table(
    "records",
    METADATA,
    _key("unit", Text),
    _key("record_id", LargeBinary),
    _must("seq", INT64),
    _must("boot", LargeBinary),
    _must("schema", Text),
    _must("received_us", INT64),  # 0: stations before 0.3 did not record it for this type
    Column("retention", Text),  # NULL: kept as long as the unit's series, or type unknown
    Column("mono_us", INT64),
    Column("utc_us", INT64),
    Column("time_source", Text),
    Column("uncertainty_ms", INT64),
    Column("dating_gap_us", INT64),  # NULL: the unit's own time
    _must("generation", INT64),  # of the projection with which the record was indexed; 0: its type was unknown
    Column("payload", LargeBinary),  # NULL: purged
    _must("life", LargeBinary, server_default=_EMPTY),
)
SALT: Any = literal_column("records.salt", LargeBinary)
"""On PostgreSQL, where it is deleted with the record; in the SQLite file it is in ``evidence``."""
HERE = RECORDS.c.payload.is_not(None)
"""Records whose contents have not been purged."""
Index(
    "records_received",
    RECORDS.c.schema,
    RECORDS.c.received_us,
    RECORDS.c.unit,
    RECORDS.c.seq,
    RECORDS.c.record_id,
    sqlite_where=HERE,
    postgresql_where=HERE,
)
OPAQUE = and_(RECORDS.c.generation == text("0"), HERE)
"""Records whose type was unknown when they were stored."""
Index("records_series", RECORDS.c.unit, RECORDS.c.life, RECORDS.c.seq)
Index("records_opaque", RECORDS.c.schema, sqlite_where=OPAQUE, postgresql_where=OPAQUE)
UNDATED = and_(
    RECORDS.c.mono_us.is_not(None), or_(RECORDS.c.utc_us.is_(None), RECORDS.c.dating_gap_us.is_not(None))
)
"""Records dated by a time anchor, or to be dated by one."""
Index("records_undated", RECORDS.c.unit, RECORDS.c.boot, sqlite_where=UNDATED, postgresql_where=UNDATED)

EVIDENCE = Table(
    "evidence",
    METADATA,
    _key("unit", Text),
    _key("seq", INT64),
    _key("record_id", LargeBinary),
    _must("prev", LargeBinary),
    _must("digest", LargeBinary),
    _must("key", LargeBinary),
    _must("signature", LargeBinary),
    Column("salt", LargeBinary),  # NULL: purged with the contents
    _must("life", LargeBinary, server_default=_EMPTY),
    sqlite_with_rowid=False,
)

SEEN = Table(
    "seen",
    METADATA,
    _key("unit", Text),
    _key("life", LargeBinary),
    _key("first", INT64),
    _must("last", INT64),
    sqlite_with_rowid=False,
)

LOST = Table(
    "lost",
    METADATA,
    _must("unit", Text),
    _must("first", INT64),
    _must("last", INT64),
    _must("life", LargeBinary, server_default=_EMPTY),
)
Index("lost_unit", LOST.c.unit, LOST.c.life, LOST.c.first)

LIVES = Table(
    "lives",
    METADATA,
    _key("unit", Text),
    _key("life", LargeBinary),
    _must("first_us", INT64),  # when its first message was received; 0: before lives were told apart
    _must("seq_high", INT64, server_default=text("0")),  # announced by the unit
    _must("n_overlaps", INT64, server_default=text("0")),
    Column("overlap_us", INT64),
    _must("n_forks", INT64, server_default=text("0")),
    Column("head", LargeBinary),  # head/1, verified
    Column("head_us", INT64),  # when it was received
    sqlite_with_rowid=False,
)

USAGE = Table(
    "usage",
    METADATA,
    _key("unit", Text),
    _key("day", INT64),  # since 1970, by the station's clock
    _key("slot", Integer),  # workers add to different ones, and do not wait for each other
    _must("records", INT64, server_default=text("0")),
    _must("bytes", INT64, server_default=text("0")),
    _must("loose", INT64, server_default=text("0")),  # bytes of pictures of unknown records
    _must("refused", INT64, server_default=text("0")),
    sqlite_with_rowid=False,
)

ANCHORS = Table(
    "time_anchors",
    METADATA,
    _key("unit", Text),
    _key("record_id", LargeBinary),
    _must("boot", LargeBinary),
    _must("mono_us", INT64),
    _must("utc_us", INT64),
    _must("time_source", Text),
    Column("uncertainty_ms", INT64),
)
Index("time_anchors_boot", ANCHORS.c.unit, ANCHORS.c.boot)

RECORD_PICTURES = Table(
    "record_pictures",
    METADATA,
    _key("unit", Text),
    _key("record_id", LargeBinary),
    _key("sha", LargeBinary),
    _must("kind", Text),
    sqlite_with_rowid=False,
)
Index("record_pictures_sha", RECORD_PICTURES.c.unit, RECORD_PICTURES.c.sha)

PICTURES = Table(
    "pictures",
    METADATA,
    _key("unit", Text),
    _key("sha", LargeBinary),
    _must("kind", Text),
    _must("total", INT64),
    _must("stored", INT64),  # bytes from the start without a gap
    _must("failures", Integer, server_default=text("0")),
    _must("updated_us", INT64),
    Column("jpeg", LargeBinary),
    Column("opened", LargeBinary),  # of a sealed picture: the hash under which the opened picture is stored
)

CHUNKS = Table(
    "chunks",
    METADATA,
    _key("unit", Text),
    _key("sha", LargeBinary),
    _key("offset", INT64),
    _must("data", LargeBinary),
)

UNITS = Table(
    "units",
    METADATA,
    _key("unit", Text),
    Column("seen_us", INT64),
    _must("seq_high", INT64, server_default=text("0")),  # not used since version 8: see LIVES
    Column("state", Text),
    Column("reason", Text),
    Column("software", Text),
    Column("status_us", INT64),
    Column("health_us", INT64),
    Column("health", LargeBinary),
    Column("report", LargeBinary),
    Column("agency", Text),  # of its latest record; NULL: it has none yet
    sqlite_with_rowid=False,
)
Index("units_agency", UNITS.c.agency)

AUDIT = Table(
    "audit",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    _must("utc_us", INT64),
    _must("who", Text),
    _must("what", Text),
    _must("count", INT64),
    _must("filter", Text, server_default=text("''")),
    _must("purpose", Text, server_default=text("''")),
    _must("case_number", Text, server_default=text("''")),
    sqlite_autoincrement=True,
)
Index("audit_who", AUDIT.c.who, AUDIT.c.number)
Index("audit_case", AUDIT.c.case_number, AUDIT.c.number)
# A filter can be longer than an entry of a tree.
Index("audit_filter", AUDIT.c.filter, postgresql_using="hash")

LOG_ENTRIES = Table("log_entries", METADATA, _key("number", INT64), _must("entry", LargeBinary))
"""The audit log; ``audit`` has the same entries, numbered from 1, to be searched."""

LOG_NODES = Table(
    "log_nodes",
    METADATA,
    _key("level", Integer),
    _key("place", INT64),
    _must("hash", LargeBinary),
    sqlite_with_rowid=False,
)

LOG_CHECKPOINTS = Table(
    "log_checkpoints", METADATA, _key("size", INT64), _must("note", Text), _must("made_us", INT64)
)

LOG_WITNESSES = Table(
    "log_witnesses",
    METADATA,
    _key("unit", Text),
    _must("size", INT64),
    _must("line", Text),
    _must("received_us", INT64),
)

LOG_CONFLICTS = Table(
    "log_conflicts",
    METADATA,
    _key("unit", Text),
    _must("size", INT64),
    _must("note", Text),
    _must("received_us", INT64),
)

HOLDS = Table(
    "holds", METADATA, _key("number", INT64), _must("statement", LargeBinary), Column("release", LargeBinary)
)

HELD = Table(
    "held",
    METADATA,
    _key("unit", Text),
    _key("record_id", LargeBinary),
    _key("hold", INT64),
    sqlite_with_rowid=False,
)
"""Records that a hold in force keeps."""
Index("held_hold", HELD.c.hold)

HOLD_SEEN = Table(
    "hold_seen",
    METADATA,
    _key("hold", INT64),
    _key("life", LargeBinary),
    _key("first", INT64),
    _must("last", INT64),
    _must("forks", INT64),  # numbers of the life that named two records
    sqlite_with_rowid=False,
)
"""Numbers up to which a hold on a unit has been looked for."""

PURGES = Table("purges", METADATA, _key("number", INT64), _must("certificate", LargeBinary))

PURGED = Table(
    "purged",
    METADATA,
    _key("unit", Text),
    _key("life", LargeBinary),
    _key("first", INT64),
    _key("purge", INT64),
    _must("last", INT64),
    sqlite_with_rowid=False,
)
"""Sequence numbers whose contents a purge deleted."""
Index("purged_purge", PURGED.c.purge)

OFFERS = Table(
    "offers",
    METADATA,
    _key("unit", Text),
    _key("kind", Text),
    _must("release", INT64),
    _must("sha", LargeBinary),
    _must("size", INT64),
    _must("attempt", INT64),
    _must("parts", Text),
    _must("offered_us", INT64),
    sqlite_with_rowid=False,
)

OUTPUTS = Table(
    "outputs",
    METADATA,
    _key("name", Text),
    _must("schemas", Text),  # separated by spaces
    _must("at_xid", INT64),
    _must("at_number", INT64),
    _must("registered_us", INT64),
    _must("delivered", INT64, server_default=text("0")),
    _must("skipped", INT64, server_default=text("0")),
    _must("overflowed", INT64, server_default=text("0")),
    _must("buried", INT64, server_default=text("0")),
    _must("attempts", INT64, server_default=text("0")),  # at the next record
    Column("delivered_us", INT64),
    _must("last_error", Text, server_default=text("''")),
    _must("holder", Text, server_default=text("''")),
    _must("lease_us", INT64, server_default=text("0")),
    sqlite_with_rowid=False,
)
"""Places of the outputs in the stream."""

STREAM = Table(
    "stream",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    _must("xid", INT64, server_default=text("0")),  # on PostgreSQL, the transaction that added it
    _must("unit", Text),
    _must("record_id", LargeBinary),
    _must("schema", Text),
    _must("received_us", INT64),
    Column("only_for", Text),  # an output to which it is sent again
    sqlite_autoincrement=True,
)
"""New records that outputs wait for, in the order of their commits."""

DEAD_LETTERS = Table(
    "dead_letters",
    METADATA,
    Column("number", Integer, primary_key=True, autoincrement=True),
    _must("output", Text),
    _must("unit", Text),
    _must("record_id", LargeBinary),
    _must("schema", Text),
    _must("received_us", INT64),
    _must("failed_us", INT64),
    _must("attempts", INT64),
    _must("reason", Text),
    sqlite_autoincrement=True,
)
Index("dead_letters_output", DEAD_LETTERS.c.output, DEAD_LETTERS.c.number)

UNIT_GROUPS = Table("unit_groups", METADATA, _key("name", Text), _key("unit", Text), sqlite_with_rowid=False)

ROLLOUTS = Table(
    "rollouts",
    METADATA,
    _key("kind", Text),
    _key("unit_group", Text),
    _must("release", INT64),
    _must("sha", LargeBinary),
    _must("size", INT64),
    _must("parts", Text),
    _must("percent", INT64),
    _must("started_us", INT64),
    _must("changed_us", INT64),
    _must("who", Text),
    sqlite_with_rowid=False,
)
"""The latest file of a kind for a group of units, and the share of them to which it is offered."""

REPORT_DEFINITIONS = Table(
    "report_definitions",
    METADATA,
    _key("id", Text),
    _must("text", Text),
    _must("who", Text),
    _must("changed_us", INT64),
    sqlite_with_rowid=False,
)
"""Definitions of reports that people made, as TOML."""

HIT_STATES = Table(
    "hit_states",
    METADATA,
    _key("unit", Text),
    _key("hit_id", LargeBinary),
    _must("agency", Text),
    _must("record_id", LargeBinary),  # of its latest stage, with which it is deleted
    _must("received_us", INT64),  # of that record
    Column("boot", LargeBinary),  # NULL: the record has its own time; else of the time anchors that date it
    _must("made_us", INT64),  # its time, or that of its receipt
    _must("list_id", Text),
    _must("list_name", Text),
    _must("list_owner", Text),
    _must("list_version", INT64),
    _must("priority", Text),
    _must("state", Text),
    _must("reason", Text),  # why it was rejected
    _must("outcome", Text),
    Column("lat_e7", INT64),
    Column("lon_e7", INT64),
    Column("error_cm", INT64),
)
"""What became of each hit: an index, made again from the records of a hit whenever one of them comes."""
Index("hit_states_made", HIT_STATES.c.made_us, HIT_STATES.c.unit, HIT_STATES.c.hit_id)
Index("hit_states_unit", HIT_STATES.c.unit, HIT_STATES.c.made_us)
Index("hit_states_list", HIT_STATES.c.list_id, HIT_STATES.c.made_us)
Index("hit_states_owner", HIT_STATES.c.list_owner, HIT_STATES.c.made_us)
Index("hit_states_state", HIT_STATES.c.state, HIT_STATES.c.made_us)
Index("hit_states_outcome", HIT_STATES.c.outcome, HIT_STATES.c.made_us)

PROJECTIONS = Table(
    "projections",
    METADATA,
    _key("schema", Text),
    _must("fingerprint", Text),
    _must("generation", INT64),  # rises when the columns change; records of a lower one are indexed again
    _must("complete", Integer),  # 0: some are left
)
"""The columns by which records of a type are indexed."""
