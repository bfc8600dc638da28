"""Long work of people: one for each, in turn, stoppable; whatever happens, what it used is given back once."""

from __future__ import annotations

import threading

import pytest

from protocol.errors import HotlistError
from station.errors import JobError
from station.jobs import Jobs, JobState

KEPT_US = 1000
MAX_UNFINISHED = 4


class Desk:
    def __init__(self):
        self.now_us = 0
        self.jobs = Jobs(lambda: self.now_us, kept_us=KEPT_US, max_unfinished=MAX_UNFINISHED)
        self.gone = []

    def begin(self, person="ann", what="a report", run=lambda _: 42):
        self.jobs.begin(person, what, run, lambda: self.gone.append(what))


@pytest.fixture
def desk():
    return Desk()


def test_result_is_kept_for_its_time(desk):
    desk.begin()
    assert desk.jobs.get("ann").state is JobState.WAITING
    assert desk.jobs.run_next()
    found = desk.jobs.get("ann")
    assert (found.state, found.result, found.error, found.has_ended) == (JobState.DONE, 42, None, True)
    desk.now_us += KEPT_US
    assert desk.jobs.get("ann").result == 42
    desk.now_us += 1
    assert desk.jobs.get("ann") is None
    assert desk.gone == ["a report"]


def test_share_is_shown_while_it_runs(desk):
    shares = []

    def run(tell):
        for share in (0.25, 0.5, 7.0):
            tell(share)
            shares.append((desk.jobs.get("ann").state, desk.jobs.get("ann").share))

    desk.begin(run=run)
    desk.jobs.run_next()
    assert shares == [(JobState.RUNNING, 0.25), (JobState.RUNNING, 0.5), (JobState.RUNNING, 1.0)]


def test_stopped_while_it_runs_it_ends_where_it_tells_its_share(desk):
    steps = []

    def run(tell):
        for step in range(3):
            tell(step / 3)
            steps.append(step)
            desk.jobs.end("ann")
            assert desk.gone == [], "it still uses what it has"

    desk.begin(run=run)
    assert desk.jobs.run_next()
    assert steps == [0]
    assert (desk.jobs.get("ann"), desk.gone) == (None, ["a report"])


def test_stopped_in_its_last_step_its_result_is_thrown_away(desk):
    desk.begin(run=lambda _: desk.jobs.end("ann"))
    assert desk.jobs.run_next()
    assert (desk.jobs.get("ann"), desk.gone) == (None, ["a report"])


def test_stopped_while_it_waits_it_never_runs(desk):
    desk.begin(run=lambda _: pytest.fail("it ran"))
    assert desk.jobs.end("ann").state is JobState.WAITING
    assert not desk.jobs.run_next()
    assert desk.gone == ["a report"]
    assert desk.jobs.end("ann") is None


def test_a_person_has_one_and_all_have_a_few(desk):
    desk.begin("ann")
    with pytest.raises(JobError, match="a report has not ended: wait, or stop it"):
        desk.begin("ann", "another one")
    for number in range(1, MAX_UNFINISHED):
        desk.begin(f"person-{number}")
    with pytest.raises(JobError, match="try again in a minute"):
        desk.jobs.refuse("bob")
    assert desk.jobs.run_next()
    desk.begin("ann", "another one")
    assert desk.gone == ["a report"], "the one that had ended"
    while desk.jobs.run_next():
        pass
    assert [desk.jobs.get(name).what for name in ("ann", "person-1")] == ["another one", "a report"]


def test_in_the_order_in_which_they_were_begun(desk):
    order = []
    for person in ("cid", "ann", "bob"):
        desk.begin(person, run=lambda _, person=person: order.append(person))
    while desk.jobs.run_next():
        pass
    assert order == ["cid", "ann", "bob"]


def test_own_error_is_told_to_the_person(desk):
    def run(_):
        raise HotlistError("the file has no rows")

    desk.begin(run=run)
    assert desk.jobs.run_next()
    found = desk.jobs.get("ann")
    assert (found.state, str(found.error), found.result) == (JobState.FAILED, "the file has no rows", None)


def test_unknown_error_fails_the_job_and_is_passed_on(desk):
    def run(_):
        raise KeyError("7ABC123")

    desk.begin(run=run)
    with pytest.raises(KeyError):
        desk.jobs.run_next()
    found = desk.jobs.get("ann")
    assert (found.state, "7ABC123" in str(found.error)) == (JobState.FAILED, False)
    desk.jobs.close()
    assert desk.gone == ["a report"]


def test_who_waits_is_woken_when_it_has_ended(desk):
    may_end = threading.Event()
    desk.begin(run=lambda _: may_end.wait())
    runner = threading.Thread(target=desk.jobs.run_next)
    runner.start()
    desk.jobs.wait("ann", 0.0)
    assert not desk.jobs.get("ann").has_ended
    may_end.set()
    desk.jobs.wait("ann", 60.0)
    assert desk.jobs.get("ann").has_ended
    runner.join()
    desk.jobs.wait("bob", 60.0)
