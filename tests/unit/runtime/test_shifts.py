"""Shifts on a running unit: commands, the roster's file, the outbox, and the end of the drive."""

from __future__ import annotations

import json
import stat
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from agent.buffer import OutboxReader
from agent.buffer.outbox import FILE_NAME
from agent.records import Geotag, TimeTag
from agent.runtime.component import Tick
from agent.runtime.duty_file import DutyFile
from agent.runtime.roster_file import RosterFile
from agent.runtime.service import Service
from agent.runtime.whereabouts import here
from agent.shift.attempts import FIRST_DELAY_S
from agent.sync.transfer import FileRefusedError, FileTransfer
from protocol.roster.envelope import roster_header, sign_roster
from protocol.seal.keys import SigningKey
from protocol.wire.codec import decode
from protocol.wire.control.transfer import FileOffer, FilePart
from protocol.wire.enums import GeotagMethod, TimeSource
from protocol.wire.record import decode_record
from protocol.wire.released import released_registry
from protocol.wire.topics import Channel, build, offer_topic
from station.asker import Asker
from station.commands import Commands
from station.ingest import Ingest
from station.store import open_store
from tests.builders import make_fix
from tests.duty_builder import PINS, UTC_S, FakePins, make_roster
from tests.shift_builders import make_shift
from tests.unit_parts import unit_parts

KEY = SigningKey.generate()


def roster_bytes(key=KEY, **header):
    roster = make_roster()
    return sign_roster(
        roster, roster_header(roster, **{"id": "sheriff", "version": 3, "as_of_s": UTC_S, **header}), key
    )


@pytest.fixture
def parts(tmp_path):
    (tmp_path / "agency.pub").write_bytes(KEY.public.pem())
    folder = tmp_path / "state" / "roster"
    folder.mkdir(parents=True)
    (folder / "roster.signed").write_bytes(roster_bytes())
    return unit_parts(tmp_path, shift={"roster_key": tmp_path / "agency.pub"}, seal={"mode": "off"})


@contextmanager
def running(parts):
    """A service that was started and is stopped, without its main loop."""
    service = Service(*parts)
    verbs = next(verb.act.__self__ for verb in service.commands if verb.name == "sign_on")
    verbs._pins = FakePins()
    service._parts.lifecycle.start()
    try:
        yield service
    finally:
        service.stop()
        service._shut_down()


def ask(service, verb, session="", **arguments):
    line = json.dumps({"id": 1, "verb": verb, "session": session, **arguments}).encode()
    return json.loads(service.commands.answer(line))


def sign_on(service, badge="4711", **arguments):
    answer = ask(service, "sign_on", badge=badge, pin=PINS[badge], **arguments)
    assert answer["ok"], answer
    return answer


def outbox_types(parts):
    reader = OutboxReader(parts[0].state_dir / FILE_NAME)
    rows = [row.schema for row in reader.records(after_seq=0, limit=100)]
    reader.close()
    return rows


@pytest.mark.parametrize(("utc_us", "expires_us"), [(None, None), (5, 5 + 14 * 86_400_000_000)])
def test_every_record_of_a_shift_has_an_end_on_the_unit(parts, utc_us, expires_us):
    """Also one that was made before the first fix: it is dated when the time is known."""
    service = Service(*parts)
    shifts = service._parts.shifts
    shifts._send("key", make_shift(utc_us=utc_us))
    record = shifts._reads.take_records()[-1].complete(
        TimeTag(None, TimeSource.NONE, None), Geotag(GeotagMethod.NONE)
    )
    service._shut_down()
    assert (record.expires_utc_us, record.period_s) == (expires_us, 14 * 86_400)


def test_a_shift_over_the_command_socket(parts):
    with running(parts) as service:
        choices = ask(service, "shift")
        assert choices["shift"] is None
        assert (choices["roster"]["version"], choices["roster"]["zones"]) == (
            3,
            [{"id": "north", "name": "North"}],
        )
        on = sign_on(service, zone="north", equipment=["radio-1"], crew=["4712"])
        assert (on["name"], on["rights"], on["resumed"]) == ("A. Example", ["officer"], False)
        session = on["session"]
        assert ask(service, "shift", session)["shift"]["zone"] == "north"
        assert ask(service, "activity", session, kind="report")["activity"] == "report"
        assert ask(service, "activity", session, kind="sleep")["error"] == "unknown_choice"
        opened = ask(service, "incident_save", session, category="amber", notes=["one", "two"])
        assert ask(service, "sign_off", session)["error"] == "incidents_open"
        (draft,) = ask(service, "incidents", session)["incidents"]
        assert (draft["incident_id"], draft["notes"]) == (opened["incident_id"], ["one", "two"])
        closing = {"incident_id": opened["incident_id"], "outcome": "none"}
        assert ask(service, "incident_close", session, **closing, contribution="")["error"] == "unanswered"
        assert ask(service, "incident_close", session, **closing, contribution="unknown")["ok"]
        ended = ask(service, "sign_off", session)
        assert set(ended["hours"]) == {"patrol", "report"}
        assert ask(service, "incidents", session)["error"] == "not_signed_on"


def test_incident_from_a_hit_has_the_hits_time_and_place(parts):
    """Not those of the moment at which somebody had the time to write it."""
    hit_id = "5" * 32
    when = TimeTag((UTC_S - 1200) * 10**9, TimeSource.GNSS, 1.0)
    where = Geotag(GeotagMethod.INTERPOLATED, 44.5, -99.5, 4.0)
    hit = SimpleNamespace(t_mono_ns=7, boot_id=bytes(16), when=when, where=where)
    with running(parts) as service:
        verbs = next(verb.act.__self__ for verb in service.commands if verb.name == "incident_save")
        verbs._hit_of = {bytes.fromhex(hit_id): hit}.get
        session = sign_on(service)["session"]
        ask(service, "incident_save", session, hits=["6" * 32, hit_id])
        ask(service, "incident_save", session, hits=["6" * 32])
        drafts = service._parts.shifts._duty.state.drafts
    assert (drafts[0].utc_us, drafts[0].time_source) == ((UTC_S - 1200) * 10**6, "gnss")
    assert (drafts[0].place["lat"], drafts[0].place["lon"]) == (445_000_000, -995_000_000)
    assert drafts[1].place["how"] != "interpolated", "an unknown hit says nothing: here and now"


def test_what_officers_do_and_look_at_is_audited(parts):
    with running(parts) as service:
        session = sign_on(service)["session"]
        ask(service, "activity", session, kind="report")
        opened = ask(service, "incident_save", session, category="amber")
        for _ in range(3):
            ask(service, "incident_save", session, incident_id=opened["incident_id"])
            ask(service, "incidents", session)
            ask(service, "watched_plates", session)
            ask(service, "viewed", session, terminal="0" * 8, reads=9)
    series = audited(parts)
    for once in ("activity", "open incident", "save incident", "view incidents", "watched_plates", "view_reads"):
        assert 1 <= series.count(once) <= 2, once


def audited(parts):
    """Actions of the audit log, as they are in the outbox."""
    reader = OutboxReader(parts[0].state_dir / FILE_NAME)
    rows = [row for row in reader.records(after_seq=0, limit=100) if row.schema == "audit/1"]
    reader.close()
    return [decode_record(row.payload, released_registry()).body.action for row in rows]


def test_wrong_pins_lock_out_over_the_socket_and_a_supervisor_unlocks(parts):
    with running(parts) as service:
        answers = [ask(service, "sign_on", badge="4711", pin="000000") for _ in range(4)]
        assert [(answer["error"], answer.get("wait_s")) for answer in answers] == [
            ("wrong", None), ("wrong", None), ("wrong", None), ("wait", FIRST_DELAY_S),
        ]  # fmt: skip
        on = sign_on(service, "4712")
        assert ask(service, "unlock", on["session"], badge="4711")["error"] == "not_allowed"
        assert ask(service, "unlock", badge="4711")["error"] == "not_allowed"
        assert ask(service, "unlock", badge="4711", supervisor="9001", pin="0")["error"] == "wrong"
        assert ask(service, "unlock", badge="4711", supervisor="9001", pin=PINS["9001"])["ok"]
        assert sign_on(service, "4711")["session"]


@pytest.mark.slow
def test_a_shift_goes_on_after_a_restart_of_the_agent_and_its_session_does_not(parts, tmp_path):
    with running(parts) as service:
        first = sign_on(service)
        saved = ask(service, "incident_save", first["session"], where="milestone 12")
    with running(unit_parts_again(parts, tmp_path)) as service:
        assert ask(service, "incidents", first["session"])["error"] == "not_signed_on"
        again = sign_on(service)
        assert (again["resumed"], again["shift_id"]) == (True, first["shift_id"])
        assert again["open_incidents"] == [saved["incident_id"]]


def unit_parts_again(parts, tmp_path):
    folder = tmp_path / "again"
    folder.mkdir()
    _, *others = unit_parts(folder)
    return parts[0], *others


def test_records_reach_the_outbox_and_are_forgotten_by_the_state(parts):
    with running(parts) as service:
        session = sign_on(service)["session"]
        ask(service, "sign_off", session)
    assert outbox_types(parts).count("shift/1") == 2
    reader = OutboxReader(parts[0].state_dir / FILE_NAME)
    bodies = [
        decode_record(row.payload, released_registry()).body for row in reader.records(after_seq=0, limit=100)
    ]
    reader.close()
    assert [body.badge for body in bodies if body.SCHEMA == "shift/1"] == ["4711", "4711"]


@pytest.mark.slow
def test_ignition_off_ends_the_shift_before_the_power_goes(tmp_path, parts):
    config, hardware, *others = parts
    config = config.model_copy(
        update={"power": config.power.model_copy(update={"hold_up_s": 0.0, "off_request": None})}
    )
    service = Service(config, hardware, *others)
    verbs = next(verb.act.__self__ for verb in service.commands if verb.name == "sign_on")
    verbs._pins = FakePins()

    def drive(service):
        if hardware.panel.ignition_on:
            sign_on(service)
            hardware.panel.ignition_on = False

    service.run(on_watch=drive, drain_s=0)
    reader = OutboxReader(config.state_dir / FILE_NAME)
    bodies = [
        decode_record(row.payload, released_registry()).body for row in reader.records(after_seq=0, limit=100)
    ]
    reader.close()
    assert [body.end_reason for body in bodies if body.SCHEMA == "shift/1"] == ["", "ignition"]


@pytest.mark.slow
def test_the_state_is_for_the_agent_alone_and_a_damaged_one_is_set_aside(parts, tmp_path):
    with running(parts) as service:
        sign_on(service)
    path = parts[0].state_dir / "duty.json"
    path.write_bytes(b"not ours")
    with running(unit_parts_again(parts, tmp_path)) as service:
        assert not sign_on(service)["resumed"]
    assert (path.parent / "duty.damaged").read_bytes() == b"not ours"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_disk_that_cannot_be_written_does_not_stop_sign_on(parts, monkeypatch):
    with running(parts) as service:
        monkeypatch.setattr("agent.runtime.duty_file.write_durably", _no_space)
        assert sign_on(service)["session"]
        assert service._parts.shifts.counters()["shifts.save_failures"] > 0
        monkeypatch.undo()


def _no_space(*_, **__):
    raise OSError(28, "No space left on device")


def test_the_feed_says_who_is_on_duty(parts):
    with running(parts) as service:
        assert service._parts.shifts.document() is None
        sign_on(service, zone="north")
        document = service._parts.shifts.document()
        assert (document["badge"], document["zone"], document["activity"]) == ("4711", "north", "patrol")


def transferred(tmp_path, content, *, floor=0, now_s=None, key=KEY):
    (tmp_path / "agency.pub").write_bytes(key.public.pem())
    installed = []
    kind = RosterFile(tmp_path, tmp_path / "agency.pub", "unit-07").kind(
        lambda: floor, lambda: now_s, lambda: installed.append(1)
    )
    fetched = tmp_path / "fetched"
    fetched.write_bytes(content)
    kind.verify(fetched)
    return kind


@pytest.mark.parametrize(
    ("content", "options", "says"),
    [
        (roster_bytes(SigningKey.generate()), {}, "another agency"),
        (roster_bytes(units=("unit-08",)), {}, "is for unit-08"),
        (roster_bytes(version=2), {"floor": 2}, "not above 2"),
        (roster_bytes(expires_s=UTC_S + 1), {"now_s": UTC_S + 2.0}, "has expired"),
        (b"nonsense" * 100, {}, "not a signed roster"),
        (roster_bytes()[:-1], {}, "truncated"),
    ],
)
def test_a_roster_that_is_not_for_this_unit_now_is_refused(tmp_path, content, options, says):
    with pytest.raises(FileRefusedError, match=says):
        transferred(tmp_path, content, **options)


def test_a_newer_roster_is_accepted_and_loaded_at_each_start(tmp_path):
    kind = transferred(tmp_path, roster_bytes(version=4), floor=3)
    (kind.folder / kind.file_name).write_bytes(roster_bytes(version=4))
    assert RosterFile(tmp_path, tmp_path / "agency.pub", "unit-07").load().version == 4
    assert RosterFile(tmp_path, tmp_path / "agency.pub", "unit-08").load() is not None
    (kind.folder / kind.file_name).write_bytes(roster_bytes(units=("unit-08",)))
    assert RosterFile(tmp_path, tmp_path / "agency.pub", "unit-07").load() is None


def test_without_the_agency_key_there_are_no_rosters(tmp_path):
    roster = RosterFile(tmp_path, tmp_path / "agency.pub", "unit-07")
    assert roster.load() is None
    assert roster.kind(lambda: 0, lambda: None, lambda: None) is None


def test_the_place_of_an_incident_is_as_good_as_the_latest_fix():
    fix = make_fix(10 * 10**9, speed_mps=10.0, error_m=4.5)
    assert here(None, 0).method is GeotagMethod.NONE
    now = here(fix, 12 * 10**9)
    assert (now.method, now.error_m) == (GeotagMethod.EXTRAPOLATED, 24.5)
    later = here(fix, 70 * 10**9)
    assert (later.method, later.error_m) == (GeotagMethod.STALE, 4.5 + 3600)
    assert here(fix, 700 * 10**9).method is GeotagMethod.NONE
    assert here(fix, 0).method is GeotagMethod.NONE


def test_the_file_is_replaced_as_a_whole(tmp_path):
    file = DutyFile(tmp_path)
    assert file.load() is None
    file.save(b"one")
    file.save(b"two")
    assert file.load() == b"two"
    assert [path.name for path in tmp_path.iterdir()] == ["duty.json"]


def fetch(transfer, ingest):
    """Let a unit fetch what the station offers it."""
    for topic, payload in ingest.offers():
        assert topic == offer_topic("unit-07", "roster")
        transfer.offered(decode(payload, FileOffer))
    for t_s in range(10, 100, 10):
        request = transfer.next_request(t_s * 10**9, metered=True)
        if request is None:
            return
        for _, answer in ingest.handle(build("unit-07", Channel.UPDATE), request):
            transfer.take(decode(answer, FilePart))


def test_a_roster_that_the_station_offers_is_used_without_a_restart(parts, tmp_path):
    """Through the one transfer of files; an older one is refused by its own version, and the present one stays."""
    store = open_store(tmp_path / "station.db")
    ingest, commands = Ingest(store, "station", lambda: 1), Commands(store, Asker("test"), lambda: 1)
    with running(parts) as service:
        shifts = service._parts.shifts
        transfer = FileTransfer(shifts.roster_kind(), unit="unit-07", boot_id=bytes(16), timeout_s=1.0)
        for version, expected in ((2, 3), (4, 4), (3, 4)):
            offered = tmp_path / f"roster-{version}"
            offered.write_bytes(roster_bytes(version=version))
            commands.offer_file("unit-07", "roster", offered, release=100 + version)
            fetch(transfer, ingest)
            shifts.watch(Tick(service._hw.clock.mono_ns(), service._hw.board.vitals()))
            assert ask(service, "shift")["roster"]["version"] == expected
        assert transfer.counts.refused == 2
    store.close()
