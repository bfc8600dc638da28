"""A drive with a listed plate: from the second agreeing frame to lamp, sound, speech, record, decision and restart."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import pytest

from agent.hits.records import HitState
from agent.hotlist.records import Priority
from agent.runtime.hit_files import PURPOSE, HitFiles
from agent.runtime.service import Service
from agent.runtime.stages import load_unit_key
from cli.replay import Replay
from cli.scripted import ScriptedReader
from cli.simulate import config_for, fresh_keys
from hw.drive_load import load_drive
from hw.ports import Buzz, HitLamp
from hw.speaker_sim import SpeakerSim
from protocol.errors import HotlistError
from protocol.seal import Opener, load_keyring
from protocol.wire.codec import decode, encode
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.enums import DispositionAction, HitStage
from station.asker import Asker
from station.ingest import Ingest
from station.query import Query
from station.store import open_store
from tests.command_client import CommandClient
from tests.drive_builder import write_drive
from tests.listed import Listed, listed, make_entry, make_list, make_match
from tests.unit_parts import unit_parts

PLATES = {"7ABC123": (1.0, 3.0), "8XYZ999": (2.0, 4.0), "LMN5678": (4.0, 5.5)}
MS = 1_000_000
CONFIRMED = {"characters": "true", "region": "true", "vehicle": "true", "agency": '"Police"', "reference": '"17"'}


def station_of(folder, drive):
    seal, opener = fresh_keys(folder / "keys", drive.header.unit)
    store = open_store(folder / "station.db", open_picture=opener.picture)
    ticks = iter(range(drive.header.start_utc_ns // 1000, 2**62))
    ingest = Ingest(store, "replay", lambda: next(ticks), opener=opener)
    return seal, store, ingest, Query(store, Asker("tester"), lambda: next(ticks))


def play(folder, lists, *, script=None, plates=None, earlier_boots=0, **tables):
    """Replay a drive; return its result and what the station has."""
    if not (folder / "drive").exists():
        write_drive(folder / "drive", seconds=9, plates=PLATES if plates is None else plates, script=script)
    drive = load_drive(folder / "drive")
    seal, store, ingest, query = (
        station_of(folder, drive) if not (folder / "keys").exists() else again(folder, drive)
    )
    config = config_for(drive, folder / "unit", seal=seal, **tables)
    replay = Replay(
        drive, config, lambda: ScriptedReader(drive), ScriptedReader.models, ingest.handle,
        earlier_boots=earlier_boots, matcher=lambda: lists,
    )  # fmt: skip
    result = replay.run()
    bodies = [found.record.body for schema in ("hit/1", "disposition/1") for found in query.records(schema)]
    reads = {found.record.body.text: found.record for found in query.records()}
    store.close()
    return SimpleNamespace(result=result, bodies=bodies, reads=reads, config=config)


def again(folder, drive):
    """The same keys and station for the next run."""
    opener = Opener(load_keyring(folder / "keys"))
    store = open_store(folder / "station.db", open_picture=opener.picture)
    names = {"unit_key": "unit.key", "station_key": "station.pub", "receipt_key": "receipt.pub"}
    seal = {key: str(folder / "keys" / name) for key, name in names.items()}
    ticks = iter(range(drive.header.start_utc_ns // 1000 + 10**9, 2**62))
    return (
        seal,
        store,
        Ingest(store, "replay", lambda: next(ticks), opener=opener),
        Query(store, Asker("t"), lambda: next(ticks)),
    )


def stages(played):
    return [(body.text, body.stage) for body in played.bodies if body.SCHEMA == "hit/1"]


def actions(played):
    return [body.action for body in played.bodies if body.SCHEMA == "disposition/1"]


@pytest.mark.slow
def test_listed_plate_is_a_hit_in_two_stages_and_the_others_are_reads(tmp_path):
    played = play(tmp_path, listed("7ABC123"))
    assert stages(played) == [("7ABC123", HitStage.PREVIEW), ("7ABC123", HitStage.FINAL)]
    assert {text: record.body.retention.policy_class for text, record in played.reads.items()} == {
        "7ABC123": "hit", "8XYZ999": "nonhit", "LMN5678": "nonhit",
    }  # fmt: skip
    preview, final = played.bodies
    assert preview.hit_id == final.hit_id
    assert preview.read_id == final.read_id == played.reads["7ABC123"].envelope.record_id
    assert [picture.kind for picture in preview.pictures] == ["plate", "overview"]
    assert preview.place.lat_deg is not None
    assert final.utc_us is not None


@pytest.mark.slow
def test_lamp_and_sound_come_with_the_second_agreeing_frame(tmp_path):
    """In the very step that confirmed the track; pictures and records come after."""
    played = play(tmp_path, listed("7ABC123"))
    (hit,) = played.result.hits.values()
    panel = played.result.panels[0]
    t_ns, lamp = panel.hit_lamps[0]
    assert (lamp, panel.sounds[0]) == (HitLamp.HIGH, Buzz.HIT_HIGH)
    assert t_ns <= 1400 * MS, "in view from 1.0 s, at five frames a second"
    assert hit.stage is HitStage.FINAL


@pytest.mark.slow
@pytest.mark.parametrize(
    ("priority", "lamp", "sound"),
    [
        (Priority.HIGH, HitLamp.HIGH, Buzz.HIT_HIGH), (Priority.MEDIUM, HitLamp.MEDIUM, Buzz.HIT_MEDIUM),
        (Priority.LOW, HitLamp.LOW, Buzz.HIT_LOW),
    ],
)  # fmt: skip
def test_lamp_and_sound_tell_the_priority(tmp_path, priority, lamp, sound):
    panel = play(tmp_path, listed("7ABC123", priority=priority)).result.panels[0]
    assert (panel.hit_lamps[0][1], panel.sounds[0]) == (lamp, sound)


@pytest.mark.slow
@pytest.mark.parametrize(("priority", "shown"), [(Priority.HIGH, True), (Priority.MEDIUM, False)])
def test_list_may_be_silent_unless_its_priority_is_high(tmp_path, priority, shown):
    lists = listed("7ABC123", priority=priority, sound=False, lamp=False)
    panel = play(tmp_path, lists).result.panels[0]
    assert (bool(panel.sounds), panel.hit_lamps[:1] != []) == (shown, shown)


@pytest.mark.slow
def test_high_priority_sounds_again_until_it_is_acknowledged(tmp_path):
    script = [(0, "link.up", {}), (25_000, "button.acknowledge", {})]
    write_drive(tmp_path / "drive", seconds=40, plates={"7ABC123": (1.0, 3.0)}, script=script)
    played = play(tmp_path, listed("7ABC123"))
    assert played.result.panels[0].sounds.count(Buzz.HIT_HIGH) == 3
    assert played.result.panels[0].hit_lamps[1][1] is HitLamp.OFF
    assert actions(played) == [DispositionAction.ACKNOWLEDGED]


@pytest.mark.slow
def test_button_acknowledges_the_newest_and_the_lamp_shows_the_rest(tmp_path):
    lists = Listed(
        {
            "7ABC123": make_match(listed=make_list("low", priority=Priority.LOW)),
            "8XYZ999": make_match("8XYZ999", make_list("high")),
        }
    )
    script = [(0, "link.up", {}), (6000, "button.acknowledge", {}), (7000, "button.acknowledge", {})]
    played = play(tmp_path, lists, script=script)
    assert [lamp for _, lamp in played.result.panels[0].hit_lamps] == [
        HitLamp.LOW,
        HitLamp.HIGH,
        HitLamp.OFF,
        HitLamp.LOW,
        HitLamp.OFF,
    ]
    high, low = (body for body in played.bodies if body.SCHEMA == "disposition/1")
    by_id = {hit.hit_id: hit.match.list.list_id for hit in played.result.hits.values()}
    assert (by_id[high.hit_id], by_id[low.hit_id]) == ("high", "low")
    assert (high.officer, low.officer) == ("", "")


def test_drive_from_camera_to_hit_to_enforced_confirmation_to_outcome_at_the_station(tmp_path):
    """Whoever skips a check is refused and leaves no record; then everything is done, and the station has it."""
    script = [
        (0, "link.up", {}),
        (5000, "officer.outcome", {"code": '"recovered"'}),
        (5200, "officer.confirm", {}),
        (5400, "officer.confirm", {**CONFIRMED, "vehicle": "false"}),
        (5600, "officer.confirm", {**CONFIRMED, "reference": '" "'}),
        (6000, "officer.confirm", CONFIRMED),
        (6500, "officer.outcome", {"code": '"recovered"'}),
    ]
    played = play(tmp_path, listed("7ABC123"), script=script)
    assert played.result.refusals == ["no_hit", "not_verified", "not_verified", "not_verified"]
    assert actions(played) == [DispositionAction.CONFIRMED, DispositionAction.OUTCOME]
    confirmed, outcome = (body for body in played.bodies if body.SCHEMA == "disposition/1")
    assert (confirmed.checks.all_equal, confirmed.confirming_agency, confirmed.reference) == (True, "Police", "17")
    assert (outcome.outcome, outcome.officer, outcome.hit_id) == ("recovered", "0000", confirmed.hit_id)
    (hit,) = played.result.hits.values()
    assert (hit.state, hit.outcome) == (HitState.CONFIRMED, "recovered")


def test_hits_leave_before_a_backlog_of_reads(tmp_path):
    """The link comes up late: hits, decisions and their pictures are sent first."""
    plates = {f"PLATE{n}": (0.5 + 0.1 * n, 2.5 + 0.1 * n) for n in range(9)} | {"7ABC123": (3.0, 5.0)}
    script = [(0, "link.down", {}), (8000, "link.up", {})]
    write_drive(tmp_path / "drive", seconds=10, plates=plates, script=script)
    drive = load_drive(tmp_path / "drive")
    seal, store, ingest, query = station_of(tmp_path, drive)
    chunks = []

    def peer(topic, payload):
        if topic.endswith("/pic"):
            chunks.append(decode(payload, PictureChunk).read_id)
        return ingest.handle(topic, payload)

    config = config_for(drive, tmp_path / "unit", seal=seal)
    replay = Replay(
        drive,
        config,
        lambda: ScriptedReader(drive),
        ScriptedReader.models,
        peer,
        matcher=lambda: listed("7ABC123"),
    )
    replay.run()
    reads, hits = (query.records(schema) for schema in ("read/1", "hit/1"))
    store.close()
    assert (len(reads), len(hits)) == (10, 2)
    assert max(hit.received_us for hit in hits) < min(read.received_us for read in reads)
    of_hits = {hit.record_id for hit in hits} | {
        read.record_id for read in reads if read.body.retention.policy_class == "hit"
    }
    firsts = list(dict.fromkeys(chunks))
    assert set(firsts[: len(of_hits & set(firsts))]) <= of_hits
    assert firsts[0] in {hit.record_id for hit in hits}


@pytest.mark.slow
def test_open_hits_survive_a_power_cut_with_pictures_and_can_be_decided(tmp_path):
    script = [
        (0, "link.up", {}),
        (5000, "power.cut", {}),
        (7000, "officer.confirm", CONFIRMED),
        (7500, "officer.outcome", {"code": '"none"'}),
    ]
    played = play(tmp_path, listed("7ABC123"), script=script)
    assert actions(played) == [DispositionAction.CONFIRMED, DispositionAction.OUTCOME]
    (hit,) = played.result.hits.values()
    assert (hit.state, len(hit.pictures)) == (HitState.CONFIRMED, 2)
    assert played.result.panels[1].hit_lamps[0][1] is HitLamp.HIGH, "the lamp shows it at once"
    assert Buzz.HIT_HIGH not in played.result.panels[1].sounds, "and nothing sounds that is not new"


@pytest.mark.slow
def test_decided_hit_survives_for_its_outcome_and_unread_pending_records_are_appended_again(tmp_path):
    """A record that was in the hit's file and not yet in the outbox when the power went."""
    script = [(0, "link.up", {}), (6000, "officer.confirm", CONFIRMED)]
    first = play(tmp_path, listed("7ABC123"), script=script)
    (path,) = (tmp_path / "unit" / "hits").glob("*.hit")
    files = HitFiles(path.parent, load_unit_key(first.config).derive(PURPOSE))
    (found,) = files.load()
    confirmed = next(body for body in first.bodies if body.SCHEMA == "disposition/1")
    files.save(replace(found.hit), [encode(confirmed)])
    second = play(tmp_path, listed(), earlier_boots=1)
    assert actions(second) == [DispositionAction.CONFIRMED] * 2
    (restored,) = HitFiles(path.parent, load_unit_key(first.config).derive(PURPOSE)).load()
    assert restored.pending == ()


def test_hit_whose_text_changed_is_withdrawn_and_its_read_is_no_hit(tmp_path):
    """Listed is what two frames read first; the other frames read otherwise."""

    class Preview(Listed):
        def match(self, plate, **where):
            found = super().match(plate, **where)
            self.entries = {}
            return found

    played = play(tmp_path, Preview({"7ABC123": make_match()}))
    assert [stage for _, stage in stages(played)] == [HitStage.PREVIEW, HitStage.WITHDRAWN]
    assert played.reads["7ABC123"].body.retention.policy_class == "nonhit"
    assert list((tmp_path / "unit" / "hits").iterdir()) == []


@pytest.mark.slow
def test_list_that_cannot_be_read_costs_no_read(tmp_path):
    class Broken(Listed):
        def match(self, plate, **where):
            raise HotlistError("an entry of the list is damaged")

    played = play(tmp_path, Broken({}))
    assert set(played.reads) == set(PLATES)


def test_out_of_state_plate_is_raised_as_such(tmp_path):
    entry = make_entry(region="US-NV")
    played = play(tmp_path, Listed({"7ABC123": make_match(entry=entry)}))
    assert {body.region_match for body in played.bodies} == {"different"}


@pytest.mark.slow
def test_replay_gives_the_same_hits_every_time(tmp_path):
    first = play(tmp_path / "a", listed("7ABC123", "LMN5678"))
    second = play(tmp_path / "b", listed("7ABC123", "LMN5678"))
    assert list(first.result.hits) == list(second.result.hits)
    assert Counter(stages(first)) == Counter(stages(second))


@pytest.mark.slow
def test_running_agent_alerts_and_an_officer_decides_over_the_socket(tmp_path):
    """Threads, command socket, speech and panel; the answer says that the decision is on the disk."""
    path = tmp_path / "command.sock"
    config, hardware, reader, models = unit_parts(tmp_path, command={"path": str(path)})
    hardware = replace(hardware, speaker=SpeakerSim())
    lists = listed("7ABC123")
    officers = SimpleNamespace(
        officer_of=lambda session, **_: (
            SimpleNamespace(badge="1234", role="patrol", shift_id=None) if session else None
        )
    )
    service = Service(config, hardware, reader, models, matcher=lambda: lists, officers=officers)
    answers = {}

    def watch(running: Service) -> None:
        if answers or not running.progress.reads:
            return
        client = CommandClient(path)
        (hit,) = running.hits.open_hits
        hit_id, checks = hit.hit_id.hex(), {"characters": True, "region": True, "vehicle": True}
        complete = {"hit_id": hit_id, "decision": "confirm", "checks": checks, "session": "token"}
        named = {"confirming_agency": "Police", "reference": "17"}
        answers["picture"] = client.ask("picture", hit_id=hit_id, kind="plate")
        answers["acknowledge"] = client.ask("acknowledge", hit_id=hit_id)
        answers["nobody"] = client.ask("dispose", **{**complete, **named, "session": ""})
        answers["unnamed"] = client.ask("dispose", **complete)
        answers["unchecked"] = client.ask(
            "dispose", **{**complete, **named, "checks": {**checks, "vehicle": None}}
        )
        answers["early"] = client.ask("outcome", hit_id=hit_id, code="none", session="token")
        answers["confirm"] = client.ask("dispose", **complete, **named)
        answers["outcome"] = client.ask("outcome", hit_id=hit_id, code="none", session="token")
        answers["watch"] = client.ask("watch_plate", text="7abc123", reason="seen at a scene", session="token")
        answers["watched"] = client.ask("watched_plates", session="token")
        answers["unwatch"] = client.ask("unwatch_plate", entry_id=answers["watch"]["entry_id"], session="token")
        client.close()
        running.stop()

    service.run(on_watch=watch, drain_s=0)
    outcomes = {name: answer.get("error") or answer["ok"] for name, answer in answers.items()}
    assert outcomes == {
        "picture": True, "acknowledge": True, "nobody": "not_signed_on", "unnamed": "not_verified",
        "unchecked": "not_verified", "early": "not_decided", "confirm": True, "outcome": True, "watch": True,
        "watched": True, "unwatch": True,
    }  # fmt: skip
    assert [answers[name]["stored"] for name in ("acknowledge", "confirm", "outcome")] == [True, True, True]
    assert answers["watch"]["matches"][0]["list_id"] == "stolen"
    assert hardware.speaker.said == [("en", "high priority, stolen vehicle, old list, plate 7 A B C 1 2 3.")]
    assert service.outbox_stats.types["disposition/1"].appended == 3
    assert service.health.counters()["hits.confirmed"] == 1
