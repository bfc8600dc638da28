"""Metrics from the store: health of units as received, and outputs.

A unit can send any name: only those of ``unit_names.json``, made from docs/counters.md, become metrics, and only of the
units that were heard last.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.errors import WireError
from protocol.metrics import Kind, Sample, metric_name
from protocol.wire.codec import decode
from protocol.wire.control.unit_state import Health
from protocol.wire.enums import UnitState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from protocol.wire.registry import Registry
    from station.store import HealthRow, Store

UNIT_PREFIX, OUTPUT_PREFIX = "patrol_lpr_unit", "patrol_lpr_output"
MAX_UNITS = 500
"""Of whose health all values are exported; further ones are counted."""
_NAMES_FILE = Path(__file__).with_name("unit_names.json")
_TYPE = "{type}"
_US_PER_S = 1_000_000


def unit_names() -> dict[str, Kind]:
    """Return the names of docs/counters.md, with ``{type}`` for the type of a record."""
    told: dict[str, Kind] = json.loads(_NAMES_FILE.read_text(encoding="utf-8"))
    return told


class UnitMetrics:
    """Collects the metrics of units and outputs.  Raises StoreError."""

    def __init__(self, store: Store, *, max_units: int = MAX_UNITS) -> None:
        self._store = store
        self._max_units = max_units
        self._known = _by_kind(unit_names(), store.registry)

    def samples(self) -> list[Sample]:
        """Return the metrics of this moment."""
        rows = self._store.latest_health(self._max_units + 1)
        found = [Sample(f"{UNIT_PREFIX}s_not_exported", "gauge", max(0, len(rows) - self._max_units))]
        for row in rows[: self._max_units]:
            found += self._unit(row)
        return found + self._outputs()

    def _unit(self, row: HealthRow) -> list[Sample]:
        unit = ("unit", row.unit)
        found = []
        for name, utc_us in (("last_seen", row.seen_us), ("health", row.health_us)):
            if utc_us is not None:
                metric = f"{UNIT_PREFIX}_{name}_timestamp_seconds"
                found.append(Sample(metric, "gauge", utc_us / _US_PER_S, (unit,)))
        state = row.state if row.state in set(UnitState) else "unknown"
        found.append(Sample(f"{UNIT_PREFIX}_state", "gauge", 1, (unit, ("state", state))))
        if row.health is None:
            return found
        try:
            health = decode(row.health, Health)
        except WireError:
            return found
        kinds: tuple[tuple[Kind, Mapping[str, int]], ...] = (
            ("counter", health.counters),
            ("gauge", health.gauges),
        )
        for kind, values in kinds:
            for name, value in values.items():
                known = self._known.get((name, kind))
                if known is not None:
                    metric, labels = known
                    found.append(Sample(metric, kind, value, (unit, *labels)))
        return found

    def _outputs(self) -> list[Sample]:
        found = []
        for state in self._store.stream.states():
            labels = (("output", state.name),)
            counters = {
                "delivered": state.delivered, "skipped": state.skipped, "overflowed": state.overflowed,
                "given_up": state.buried,
            }  # fmt: skip
            gauges = {"waiting": state.waiting, "dead_letters": state.dead, "failed_attempts": state.attempts}
            found += [
                Sample(f"{OUTPUT_PREFIX}_{name}_total", "counter", n, labels) for name, n in counters.items()
            ]
            found += [Sample(f"{OUTPUT_PREFIX}_{name}", "gauge", n, labels) for name, n in gauges.items()]
        return found


def _by_kind(
    names: Mapping[str, Kind], registry: Registry
) -> dict[tuple[str, Kind], tuple[str, tuple[tuple[str, str], ...]]]:
    """Return metric and labels by name and kind; ``{type}`` is each known type."""
    found = {}
    for pattern, kind in names.items():
        types = [known.schema for known in registry] if _TYPE in pattern else [""]
        for schema in types:
            name = pattern.replace(_TYPE, schema)
            found[name, kind] = metric_name(UNIT_PREFIX, name, kind)
    return found
