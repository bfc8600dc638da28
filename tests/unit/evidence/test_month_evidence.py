"""Evidence packages of the hits of the simulated month: each verifies, and tells what was decided."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from protocol.seal import load_keyring
from protocol.wire.record import decode_record
from protocol.wire.records.disposition import Disposition
from protocol.wire.released import released_registry
from station.asker import Asker
from station.evidence.examine import examine_package
from station.evidence.make import make_package
from station.query.evidence import EvidenceOf
from station.query.trail import Trail
from station.store import open_store
from tests.month.draw import make_month
from tests.month.fill import fill
from tests.month.world import SMALL

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow
CLERK = Asker("clerk", "court order", "27-0001")
SAID = {"confirmed": "confirmed", "rejected": "rejected", "expired": "expired", "acknowledged": "acknowledged"}


def test_every_hit_of_a_month_has_a_package_that_verifies(tmp_path: Path) -> None:
    """With the unit's own key, and with the decision of the simulation as the last one."""
    month = make_month(SMALL)
    store = open_store(tmp_path / "station.db")
    fill(store, month, keys=tmp_path / "keys", purge=None)
    ring = load_keyring(tmp_path / "keys")
    evidence = EvidenceOf(store, CLERK, lambda: month.last_us, Trail(store, CLERK, lambda: month.last_us))
    for hit in month.truth.hits:
        package = evidence.package(hit.hit_id, ring, unit=hit.unit)
        assert package is not None
        made = make_package(package, None, None)
        found = examine_package(made.archive, {hit.unit: list(ring.units[hit.unit].values())})
        assert found.problems == []
        bodies = [decode_record(one.record, released_registry()).body for one in package.records]
        actions = [body.action.value for body in bodies if isinstance(body, Disposition)]
        decided = [action for action in actions if action != "outcome"]
        assert (decided[-1] if decided else "") == SAID.get(hit.state, decided[-1] if decided else "")
        assert ("outcome" in actions) == bool(hit.outcome)
    store.close()
