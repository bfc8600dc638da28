"""What people searched for is gone after a day, also if nobody searches again."""

from __future__ import annotations

from structlog.testing import capture_logs

from station.errors import StoreError
from station.housekeeping import OLD_S, Housekeeping, Routine
from station.searches import KEPT_US, KeptSearches
from tests.contract.test_station_store import NOW_US, make, store

__all__ = ["make", "store"]
BODY = '{"plates": ["7ABC123"]}'


def test_a_search_is_for_its_person_for_a_day(store):
    now = [NOW_US]
    searches = KeptSearches(store, lambda: now[0])
    search_id = searches.keep("jane", "reads", BODY)
    found = searches.find(search_id, "jane")
    assert found is not None
    assert found.body == BODY
    assert searches.find(search_id, "joe") is None
    now[0] += KEPT_US
    assert searches.find(search_id, "jane") is None, "whether or not it was deleted"


def test_the_running_station_deletes_old_searches(store):
    """Those of the last day stay."""
    now, mono = [NOW_US], [0.0]
    searches = KeptSearches(store, lambda: now[0])
    keeping = Housekeeping(lambda: mono[0], short_lived=[searches])
    old = searches.keep("jane", "reads", BODY)
    now[0] += KEPT_US // 2
    young = searches.keep("jane", "reads", BODY)
    keeping.step()
    now[0] += KEPT_US // 2
    keeping.step()
    assert store.exports.search(old, "jane") is not None, "it looks every few minutes"
    mono[0] += OLD_S
    keeping.step()
    assert store.exports.search(old, "jane") is None
    assert searches.find(young, "jane") is not None


def test_a_database_that_is_away_is_told_once_and_asked_again():
    mono, calls = [0.0], []

    class Failing:
        def drop_old(self):
            calls.append(1)
            raise StoreError("connection refused")

    keeping = Housekeeping(lambda: mono[0], short_lived=[Failing()])
    with capture_logs() as logs:
        for _ in range(3):
            keeping.step()
            mono[0] += OLD_S
    assert ([entry["event"] for entry in logs], len(calls)) == (["searches_not_deleted"], 3)


def test_routines_are_done_each_at_its_time_and_a_failure_is_told_once():
    mono, done, fails = [0.0], [], [True]

    def fail():
        done.append("fails")
        if fails[0]:
            raise StoreError("connection refused")

    routines = (Routine(60.0, "not_done", fail), Routine(180.0, "other_not_done", lambda: done.append("works")))
    keeping = Housekeeping(lambda: mono[0], routines=routines)
    with capture_logs() as logs:
        for minute in range(6):
            fails[0] = minute != 2
            for _ in range(60):
                keeping.step()
                mono[0] += 1.0
    assert (done.count("fails"), done.count("works")) == (6, 2)
    assert [entry["event"] for entry in logs] == ["not_done", "not_done"], "again after it had worked"
