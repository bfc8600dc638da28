"""The hit thread between cameras and commit thread: nothing is lost, whatever happens to matching."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from agent.hits.desk import Now
from agent.hits.errors import HitRefusedError
from agent.hits.machine import Verification
from agent.hits.records import Actor, Checks
from agent.hits.watch import Entered
from agent.hotlist.records import Priority
from agent.runtime.alarm import Alarm
from agent.runtime.commands import Commands
from agent.runtime.hit_component import HitComponent
from agent.runtime.hit_verbs import HitVerbs
from agent.runtime.supervisor import Supervisor
from hw.clock import RealClock, SimClock
from hw.panel_sim import PanelSim
from hw.ports import Buzz, HitLamp
from hw.speaker_sim import SpeakerSim
from tests.builders import make_track
from tests.hit_rig import OneOfficer, make_hit_service
from tests.listed import listed, make_list, make_match

S = 1_000_000_000


class Reads:
    """The commit thread's queue."""

    def __init__(self) -> None:
        self.tracks = []

    def put(self, track, worker) -> None:
        self.tracks.append(track)


def run(service, *tracks, fails=False):
    """Hand final tracks to the thread, stop it, and return what the commit thread got."""
    reads, supervisor = Reads(), Supervisor(RealClock())
    component = HitComponent(service, reads, supervisor)
    for track in tracks:
        component.put_confirmed(track, None)
        component.put(track, None)
    component.start()
    component.stop()
    assert (supervisor.failure is not None) is fails
    return reads.tracks


def test_tracks_reach_the_commit_thread_in_order_and_marked():
    service = make_hit_service(lists=lambda: listed("7ABC123"))
    tracks = [make_track(text) for text in ("7ABC123", "8XYZ999", "LMN5678")]
    out = run(service, *tracks)
    assert [track.plate.text for track in out] == ["7ABC123", "8XYZ999", "LMN5678"]
    assert [track.is_hit for track in out] == [True, False, False]


def test_end_of_the_thread_releases_the_speaker():
    speaker = SpeakerSim()
    service = make_hit_service(lists=lambda: listed("7ABC123"))
    service._alarm = Alarm(PanelSim(SimClock()), speaker, "en")
    run(service)
    speaker.say("a line", language="en")
    assert speaker.said == []


def test_failure_of_matching_ends_the_process_and_every_track_is_passed_on():
    """The agent restarts; what was read is committed first."""

    def broken():
        raise RuntimeError("a defect")

    tracks = [make_track(text) for text in ("7ABC123", "8XYZ999", "LMN5678")]
    assert run(make_hit_service(lists=broken), *tracks, fails=True) == tracks


def test_expired_entries_of_officers_leave_the_disk_and_a_time_that_jumps_deletes_none(tmp_path):
    """Whom an officer looked for is not kept longer than the policy permits it to be watched for."""
    service = make_hit_service(tmp_path)
    t_s, utc_s = 100, 10**9
    service.now = lambda: Now(t_s * S, utc_s * 10**6)
    kept, gone = (
        service.watch(Entered(text, "?", "amber alert", hours), Actor("1234"))
        for text, hours in (("7ABC123", 8.0), ("8XYZ999", 1.0))
    )
    service.tidy()
    for jump_s in (10**8, 0, 10**8, 0):
        utc_s, t_s = 10**9 + jump_s, t_s + 600
        service.tidy()
        assert len(service.watched) == (0 if jump_s else 2)
    utc_s += 2 * 3600
    service.tidy()
    assert (service.watched, service.gauges()["hits.watched"]) == ((kept,), 1)
    assert service._files.load_watched() == (kept, gone)
    t_s += 901
    service.tidy()
    assert service._files.load_watched() == (kept,)


def make_alarm(speaker=None):
    panel = PanelSim(SimClock())
    return panel, Alarm(panel, speaker, "en")


def hit_of(priority, text="7ABC123", **flags):
    service = make_hit_service(lists=lambda: listed(text))
    (match,) = (make_match(text, make_list(priority=priority, **flags)),)
    service._lists = lambda: SimpleNamespace(match=lambda *_, **__: (match,), lists=())
    service.on_confirmed(make_track(text))
    return service.open_hits[0]


def test_most_important_of_several_hits_is_heard_and_shown():
    speaker = SpeakerSim()
    panel, alarm = make_alarm(speaker)
    hits = [
        hit_of(priority, f"PLATE{n}") for n, priority in enumerate((Priority.LOW, Priority.HIGH, Priority.MEDIUM))
    ]
    alarm.show(hits)
    alarm.alert(hits, 0)
    assert (panel.sounds, panel.hit_lamps[-1][1]) == ([Buzz.HIT_HIGH], HitLamp.HIGH)
    assert speaker.said[0][1].endswith("plate P L A T E 1.")


@pytest.mark.parametrize(("priority", "sounds"), [(Priority.HIGH, 13), (Priority.MEDIUM, 1)])
def test_only_high_priority_is_repeated_and_not_for_ever(priority, sounds):
    panel, alarm = make_alarm()
    hit = hit_of(priority)
    alarm.alert([hit], 0)
    for t_s in range(1, 600):
        alarm.repeat([hit], t_s * S)
    assert len(panel.sounds) == sounds


def test_acknowledged_hit_is_not_repeated():
    panel, alarm = make_alarm()
    alarm.alert([hit_of(Priority.HIGH)], 0)
    alarm.repeat([], 20 * S)
    alarm.repeat([hit_of(Priority.HIGH)], 40 * S)
    assert len(panel.sounds) == 1


class Book:
    """An auditor that keeps what it is told."""

    def __init__(self) -> None:
        self.entries = []

    def add(self, who, action, obj, *, purpose="", case_number="", outcome="ok"):
        self.entries.append((who, action, obj, purpose, outcome))


def test_what_officers_do_is_audited_refusals_and_looked_up_plates_included():
    service, book = make_hit_service(lists=lambda: listed("7ABC123")), Book()
    commands = Commands(OneOfficer())
    commands.add(HitVerbs(service, book).verbs())
    service.on_confirmed(make_track("7ABC123"))
    hit_id = service.open_hits[0].hit_id.hex()
    verbs = {verb.name: verb for verb in commands}
    caller = SimpleNamespace(
        badge="1234", role="patrol", session="token", officer=OneOfficer().officer_of("token")
    )

    def do(verb, **arguments):
        return verbs[verb].act(verbs[verb].arguments.model_validate(arguments), caller)

    checks = {"characters": True, "region": True, "vehicle": True}
    with pytest.raises(Exception, match="agency that confirmed"):
        do("dispose", hit_id=hit_id, decision="confirm", checks=checks)
    do("dispose", hit_id=hit_id, decision="confirm", checks=checks, confirming_agency="Police", reference="17")
    do("outcome", hit_id=hit_id, code="none")
    entry = do("watch_plate", text="7ABC123", reason="scene")["entry_id"]
    do("unwatch_plate", entry_id=entry)
    with pytest.raises(Exception, match="reason"):
        do("watch_plate", text="7ABC124", reason="")
    assert book.entries == [
        ("1234", "confirm", hit_id, "", "not_verified"), ("1234", "confirm", hit_id, "", "ok"),
        ("1234", "outcome", hit_id, "", "ok"), ("1234", "watch_plate", f"{entry} 7ABC123 ?", "scene", "ok"),
        ("1234", "unwatch_plate", entry, "", "ok"), ("1234", "watch_plate", "", "", "no_reason"),
    ]  # fmt: skip


def test_watched_plate_raises_a_hit_with_the_officers_reason():
    service = make_hit_service()
    commands = Commands(OneOfficer())
    commands.add(HitVerbs(service).verbs())
    assert b'"ok":true' in commands.answer(
        b'{"id":1,"verb":"watch_plate","session":"token","text":"7abc 123","reason":"amber alert"}'
    )
    service.on_confirmed(make_track("7ABC123"))
    (hit,) = service.open_hits
    assert (hit.match.rule, hit.match.entry.reason, hit.stale) == ("manual", "amber alert", False)


def test_unknown_hit_has_no_picture():
    with pytest.raises(HitRefusedError, match="no such hit"):
        make_hit_service().picture(bytes(16), "plate")


def test_restored_hits_are_told_to_views(tmp_path):
    """After a restart the page shows the queue without waiting for a change."""
    before = make_hit_service(tmp_path, lists=lambda: listed("7ABC123"))
    before.on_confirmed(make_track("7ABC123"))
    (hit,) = before.open_hits
    before._files.save(hit, [])
    after, told = make_hit_service(tmp_path), []
    after.subscribe(told.append)
    after.restore()
    assert told == [hit] == list(after.open_hits)


def test_entry_that_is_deleted_while_its_hit_waits_stays_on_the_hit():
    """The officer decides about what was listed when the plate was seen; a track in view is withdrawn."""
    lists = [listed("7ABC123", "8XYZ999")]
    service = make_hit_service(lists=lambda: lists[0])
    decided, in_view = make_track("7ABC123"), replace(make_track("8XYZ999"), track_id=2)
    for track in (decided, in_view):
        service.on_confirmed(track)
    service.on_final(decided)
    lists[0] = listed()
    assert not service.on_final(in_view).is_hit
    (hit,) = service.open_hits
    assert hit.match.entry.text == "7ABC123"
    given = Verification(Checks(*[True] * 3), confirming_agency="Police", reference="17")
    assert service.confirm(hit.hit_id, given, Actor("1234"))
