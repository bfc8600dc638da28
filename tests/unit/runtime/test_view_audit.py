"""What is looked at again and again is audited: at once the first time, then once per period with its number."""

from __future__ import annotations

import json

import pytest

from agent.runtime.commands import Commands
from agent.runtime.component import Tick
from agent.runtime.view_audit import PERIOD_S, ViewAudit
from agent.runtime.view_verbs import ViewVerbs
from tests.duty_builder import Log
from tests.hit_rig import OneOfficer

NS_PER_S = 1_000_000_000


class Clock:
    def __init__(self):
        self.t_ns = 0

    def mono_ns(self):
        return self.t_ns

    def wait(self, seconds):
        self.t_ns += seconds * NS_PER_S


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def views(log, clock):
    return ViewAudit(log, clock)


def test_first_view_is_an_entry_at_once_and_a_hundred_more_are_one(views, log, clock):
    for _ in range(101):
        views.note("4711", "view_reads", "terminal 1")
        clock.wait(1)
    assert log.entries == [("4711", "view_reads", "terminal 1", "ok")]
    clock.wait(PERIOD_S)
    views.watch(Tick(clock.mono_ns(), None))
    assert log.entries[1:] == [("4711", "view_reads", "terminal 1", "100 more")]


def test_a_day_of_looking_is_one_entry_per_period(views, log, clock):
    for _ in range(24 * 60):
        views.note("4711", "view_reads", count=5)
        clock.wait(60)
        views.watch(Tick(clock.mono_ns(), None))
    assert len(log.entries) <= 24 * 6 + 1
    counted = sum(int(outcome.split()[0]) for *_, outcome in log.entries[1:])
    views.stop()
    counted += sum(int(outcome.split()[0]) for *_, outcome in log.entries[-1:])
    assert counted >= 24 * 60 * 5 - 1 - 5 * 10


def test_persons_actions_and_objects_are_counted_apart(views, log):
    for who, action, obj in (("4711", "a", "x"), ("4712", "a", "x"), ("4711", "b", "x"), ("4711", "a", "y")):
        views.note(who, action, obj)
    assert len(log.entries) == 4


def test_what_was_counted_is_written_at_the_end_and_nothing_if_there_was_nothing(views, log):
    views.note("4711", "once")
    views.note("4711", "twice")
    views.note("4711", "twice")
    views.stop()
    assert log.entries[2:] == [("4711", "twice", "", "1 more")]


def test_terminals_are_bounded_and_none_is_forgotten(views, log):
    for number in range(1000):
        views.note("", "view_reads", f"terminal {number}", count=2)
    views.stop()
    assert sum(outcome == "1 more" for *_, outcome in log.entries) == 1000


def test_console_says_what_it_has_shown_and_hears_whether_its_officer_is_signed_on(views, log):
    commands = Commands(OneOfficer())
    commands.add(ViewVerbs(views).verbs())

    def viewed(**other):
        return json.loads(commands.answer(json.dumps({"id": 1, "verb": "viewed", **other}).encode()))

    assert viewed(terminal="0a1b2c3d", reads=3, session="token")["signed_on"] is True
    assert viewed(terminal="0a1b2c3d", hits=1, session="over")["signed_on"] is False
    assert log.entries == [
        ("1234", "view_reads", "terminal 0a1b2c3d", "ok"),
        ("", "view_hits", "terminal 0a1b2c3d", "ok"),
    ]
    assert viewed(terminal="<script>")["error"] == "bad_arguments"
    assert viewed(terminal="0a1b2c3d", reads=-1)["error"] == "bad_arguments"
