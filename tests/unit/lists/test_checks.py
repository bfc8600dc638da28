"""Checks of owners' files for pages: they tell how far they are, can be stopped, and leave nothing."""

from __future__ import annotations

import io
import re
import tempfile

import pytest

from protocol.errors import HotlistError
from station.errors import JobError
from station.jobs import JobState
from station.lists import checks
from station.lists.checks import KEPT_US, ListChecks, OwnerFiles
from tests.conftest import ROOT

PLAN = re.search(r"```toml\n(.*?)```", (ROOT / "docs/hotlists.md").read_text("utf-8"), flags=re.DOTALL)[1]
ROWS = 80_000
NOW_US = 1_900_000_000_000_000


class Desk:
    """Checks, and the folder where their files are."""

    def __init__(self, folder):
        self.folder = folder
        self.now_us = NOW_US
        self.checks = ListChecks(lambda: self.now_us)
        self.noted = []

    def begin(self, person="ann", source=b"plate,make\n7ABC123,FORD\n", plan=PLAN, previous=None):
        given = OwnerFiles(
            "stolen.csv", io.BytesIO(source), io.BytesIO(plan.encode()), previous and io.BytesIO(previous)
        )
        self.checks.begin(person, given, as_of_us=NOW_US, authorities=(), note=self.noted.append)

    def folders(self):
        return list(self.folder.iterdir())


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = Desk(tmp_path)
    yield made
    made.checks.jobs.close()
    assert made.folders() == []


@pytest.fixture
def while_it_runs(monkeypatch):
    """Calls something after every part of the file that is read."""
    told = []
    really = checks.check_list

    def watched(*paths, on_bytes, **values):
        def each(read):
            on_bytes(read)
            for call in told:
                call()

        return really(*paths, on_bytes=each, **values)

    monkeypatch.setattr(checks, "check_list", watched)
    return told.append


def large_file():
    return b"plate,make\n" + b"".join(b"%07d,FORD\n" % n for n in range(ROWS))


def test_share_of_the_file_that_is_read_grows_while_it_is_checked(desk, while_it_runs):
    shares = []
    while_it_runs(lambda: shares.append((desk.checks.jobs.get("ann").state, desk.checks.jobs.get("ann").share)))
    desk.begin(source=large_file())
    assert desk.checks.jobs.get("ann").state is JobState.WAITING
    assert desk.checks.jobs.run_next()
    assert {state for state, _ in shares} == {JobState.RUNNING}
    assert len({share for _, share in shares}) >= 3
    assert shares[-1][1] == 1.0
    found = desk.checks.jobs.get("ann")
    assert (found.state, found.result.list_id, found.result.report.entries) == (JobState.DONE, "stolen", ROWS)
    assert desk.noted == ["stolen"]


def test_check_that_is_stopped_while_it_runs_ends_and_leaves_nothing(desk, while_it_runs):
    calls = []

    def stop():
        calls.append(1)
        desk.checks.jobs.end("ann")

    while_it_runs(stop)
    desk.begin(source=large_file())
    assert desk.checks.jobs.run_next()
    assert len(calls) == 1, "it read on"
    assert desk.checks.jobs.get("ann") is None
    assert desk.folders() == []
    assert not desk.checks.jobs.run_next()


def test_person_who_stopped_one_can_begin_another_at_once(desk, while_it_runs):
    begun = []

    def change_the_mind():
        if not begun:
            begun.append(1)
            desk.checks.jobs.end("ann")
            desk.begin()

    while_it_runs(change_the_mind)
    desk.begin(source=large_file())
    assert desk.checks.jobs.run_next()
    assert desk.checks.jobs.get("ann").state is JobState.WAITING
    assert desk.checks.jobs.run_next()
    assert desk.checks.jobs.get("ann").result.report.entries == 1


def test_checks_of_several_people_are_made_in_turn_and_are_their_own(desk):
    for person in ("ann", "bob"):
        desk.begin(person)
    assert desk.checks.jobs.run_next()
    assert [desk.checks.jobs.get(person).state for person in ("ann", "bob")] == [JobState.DONE, JobState.WAITING]
    with pytest.raises(HotlistError, match="there is no draft"):
        desk.checks.open_draft("bob")
    with desk.checks.open_draft("ann")[0] as draft:
        desk.checks.jobs.end("ann")
        assert draft.read(1), "who fetches it gets the whole of it"


def test_files_of_the_earlier_check_go_when_a_person_begins_another(desk):
    for _ in range(3):
        desk.begin()
        desk.checks.jobs.run_next()
        assert len(desk.folders()) == 1
    desk.begin()
    with pytest.raises(JobError, match=r"stolen\.csv has not ended: wait, or stop it"):
        desk.begin()
    assert len(desk.folders()) == 1


def test_files_are_deleted_an_hour_after_the_check(desk):
    desk.begin()
    desk.checks.jobs.run_next()
    desk.now_us += KEPT_US
    assert desk.checks.jobs.get("ann") is not None
    desk.now_us += 1
    assert not desk.checks.jobs.run_next()
    assert desk.folders() == []


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"source": b""}, "the file has no rows|empty"),
        ({"previous": b"something else"}, "not a signed hot list"),
        ({"source": b"make\nFORD\n"}, "no column with plates is known"),
    ],
)
def test_file_that_cannot_be_imported_fails_with_the_reason_and_without_our_folder(desk, given, message):
    desk.begin(**given)
    assert desk.checks.jobs.run_next()
    found = desk.checks.jobs.get("ann")
    assert (found.state, found.result) == (JobState.FAILED, None)
    assert re.search(message, str(found.error)), found.error
    assert str(desk.folder) not in str(found.error)


def test_wrong_plan_is_refused_at_once_and_nothing_is_kept(desk):
    with pytest.raises(HotlistError, match=r"^list\.toml: not TOML"):
        desk.begin(plan="not = [toml")
    assert desk.folders() == []
    assert desk.noted == []


def test_check_that_cannot_be_recorded_is_not_made(desk):
    def refuse(_):
        raise ConnectionError("the database is away")

    given = OwnerFiles("stolen.csv", io.BytesIO(b"plate\n7ABC123\n"), io.BytesIO(PLAN.encode()), None)
    with pytest.raises(ConnectionError):
        desk.checks.begin("ann", given, as_of_us=NOW_US, authorities=(), note=refuse)
    assert (desk.checks.jobs.get("ann"), desk.folders()) == (None, [])


def test_full_disk_is_told(desk, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checks.shutil, "copyfileobj", full)
    with pytest.raises(HotlistError, match="cannot be kept for the check: No space left on device"):
        desk.begin()
    assert desk.folders() == []
