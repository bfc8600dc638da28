"""Tables of deployment, in SQLAlchemy Core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Index, Integer, LargeBinary, MetaData, Table, Text

from station.store.tables import INT64, METADATA

SCHEMA = "deployment"
"""Of PostgreSQL; in the SQLite file it is a prefix."""


@dataclass(frozen=True, slots=True)
class Tables:
    """One set of tables."""

    people: Table
    zones: Table
    checkpoints: Table
    assets: Table
    shifts: Table
    worked: Table
    periods: Table
    coverage: Table
    incidents: Table
    cursors: Table
    settings: Table

    @property
    def all(self) -> tuple[Table, ...]:
        """In the order of their creation."""
        return (
            self.people, self.zones, self.checkpoints, self.assets, self.shifts, self.worked, self.periods,
            self.coverage, self.incidents, self.cursors, self.settings,
        )  # fmt: skip


def make_tables(metadata: MetaData, schema: str | None) -> Tables:
    """Define the tables; without a schema their names have a prefix."""

    def table(name: str, *columns: Column[Any], indexed: tuple[str, ...] = ()) -> Table:
        full = name if schema else f"{SCHEMA}_{name}"
        made = Table(full, metadata, *columns, schema=schema)
        for one in indexed:
            Index(f"{SCHEMA}_{name}_{one}", made.c[one])
        return made

    def key(name: str, kind: Any) -> Column[Any]:
        return Column(name, kind, primary_key=True, nullable=False, autoincrement=False)

    def must(name: str, kind: Any) -> Column[Any]:
        return Column(name, kind, nullable=False)

    return Tables(
        people=table(
            "people", key("badge", Text), must("name", Text), must("rights", Text), Column("training_until", Text),
            must("overtime_class", Text), Column("pin", Text), must("active", Integer),
        ),
        zones=table("zones", key("id", Text), must("name", Text), must("corners", Text)),
        checkpoints=table(
            "checkpoints", key("id", Text), must("name", Text), must("lat_e7", INT64), must("lon_e7", INT64)
        ),
        assets=table(
            "assets", key("kind", Text), key("id", Text), must("name", Text), must("unit", Text),
            must("out_of_service", Text),
        ),
        shifts=table(
            "shifts", key("id", Text), must("badge", Text), must("starts_us", INT64), must("ends_us", INT64),
            must("overtime_class", Text), must("hours", Text), must("assignments", Text), must("note", Text),
            must("cancelled", Integer), must("version", INT64),
            indexed=("starts_us",),
        ),
        worked=table(
            "worked", key("shift_id", LargeBinary), must("unit", Text), must("revision", INT64),
            must("stage", Text), must("badge", Text), Column("started_us", INT64), must("told_us", INT64),
            must("when_us", INT64), must("worked_s", INT64), must("plan_id", Text), must("overtime_class", Text),
            Column("overtime_s", INT64), must("vehicle", Text), must("zone", Text), must("checkpoint", Text),
            must("task", Text), must("equipment", Text), must("hours", Text), must("unmeasured", INT64),
            must("end_reason", Text), must("incidents", INT64), must("unanswered", INT64), must("training", Text),
            indexed=("when_us",),
        ),
        # Each period counts once, also if it is sent or taken over again.
        periods=table(
            "periods", key("unit", Text), key("period_id", LargeBinary), must("ends_us", INT64),
            indexed=("ends_us",),
        ),
        # Sums of an hour (UTC); the zone `*` is everything, the empty one is outside all.
        coverage=table(
            "coverage", key("hour", INT64), key("unit", Text), key("zone", Text), must("distance_m", INT64),
            must("located_ms", INT64), must("reads", INT64), must("unlocated_ms", INT64), must("periods", INT64),
            must("jumps", INT64),
        ),
        incidents=table(
            "incidents", key("incident_id", LargeBinary), must("unit", Text), must("record_id", LargeBinary),
            must("revision", INT64), must("stage", Text), must("shift_id", LargeBinary), must("when_us", INT64),
            Column("lat_e7", INT64), Column("lon_e7", INT64), must("place", Text), must("category", Text),
            must("case_number", Text), must("contribution", Text), must("outcome", Text), must("reads", Text),
            must("hits", Text),
            indexed=("when_us",),
        ),
        cursors=table("cursors", key("schema", Text), must("received_us", INT64)),
        settings=table("settings", key("name", Text), must("value", Text)),
    )  # fmt: skip


SQLITE = make_tables(METADATA, None)
POSTGRES = make_tables(MetaData(), SCHEMA)
