"""A station that is killed before any statement of a hold, a purge or a release: all of it happened, or nothing."""

from __future__ import annotations

import os
import shutil

import pytest

from protocol.seal import KeyRing, SigningKey
from station.asker import Asker
from station.audit_log.check import check_log
from station.audit_log.checkpoints import Checkpointer
from station.retention.holds import HoldDesk, hold_scope
from station.retention.purges import Purger
from station.store import open_store
from station.store.rows import PurgePlan, PurgeRule
from tests.builders import make_read_record
from tests.contract.test_station_store import NOW_US
from tests.station_files import add, stored_reads

pytestmark = [pytest.mark.integration, pytest.mark.slow]
CLERK = Asker("clerk")
KEY = SigningKey.generate()
PLAN = PurgePlan((PurgeRule("nonhit", 2**60),))
RECORDS = [make_read_record(seq, seq=seq) for seq in range(1, 7)]
HELD = RECORDS[1].envelope.record_id.hex()


def desk(store) -> HoldDesk:
    return HoldDesk(store, CLERK, lambda: NOW_US)


def hold(store) -> None:
    desk(store).place(hold_scope(ids=(HELD,)), case_number="26-17", reason="discovery")


def purge(store) -> None:
    Purger(store, CLERK, lambda: NOW_US).run(PLAN, "days=0")
    Checkpointer(store, KEY, lambda: NOW_US).make()


def release(store) -> None:
    desk(store).release(1, case_number="26-17", reason="closed")


STEPS = (hold, purge, release, purge)
WORK = {"hold": 0, "purge with a hold": 1, "release": 2, "purge of the rest": 3}


def killed_at(path, work, statement: int) -> bool:
    """Do the work in a process that ends before its n-th statement; False if it came to the end."""
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        assert status in {0, 9 << 8}, status
        return status != 0
    try:
        store = open_store(path)
        left = [statement]

        def count(_: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                os._exit(9)

        store.db.connection.connection.dbapi_connection.set_trace_callback(count)
        work(store)
    except BaseException:  # noqa: BLE001 - nothing of the test may run on in the child
        os._exit(7)
    os._exit(0)


@pytest.mark.parametrize("name", WORK)
def test_a_kill_before_any_statement_leaves_all_or_nothing(tmp_path, name):
    prepared = tmp_path / "prepared.db"
    store = open_store(prepared)
    add(store, *RECORDS, now_us=NOW_US)
    for step in STEPS[: WORK[name]]:
        step(store)
    before = state(store)
    store.close()
    work = STEPS[WORK[name]]
    outcomes, statement = set(), 0
    while True:
        folder = tmp_path / str(statement)
        folder.mkdir()
        path = folder / "station.db"
        shutil.copy(prepared, path)
        was_killed = killed_at(path, work, statement)
        store = open_store(path)
        found = check_log(store, KeyRing(log=KEY))
        assert found.is_right, (statement, found.faults)
        outcomes.add(state(store))
        if state(store) == before:
            work(store)
            assert check_log(store, KeyRing(log=KEY)).is_right
        after = state(store)
        store.close()
        shutil.rmtree(folder)
        if not was_killed:
            break
        statement += 1
    assert outcomes == {before, after}
    assert statement > 5


def state(store) -> tuple[object, ...]:
    """What holds: reads, holds, certificates, entries of the log."""
    holds = tuple((row.number, row.release is None) for row in store.holds.holds())
    purges = tuple(row.number for row in store.holds.purges())
    return tuple(row.seq for row in stored_reads(store)), holds, purges, store.log.size()
