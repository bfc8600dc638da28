"""Outputs deliver each record at least once, in order, only what is shared, and say so before they do."""

from __future__ import annotations

import io
import json

import pytest
from structlog.testing import capture_logs

from hw.backoff import Backoff
from protocol.wire.enums import DispositionAction
from station.errors import DeliveryError, RecordRefusedError
from station.outputs.config import CotOutput, JsonLinesOutput, WebhookOutput
from station.outputs.events import Event, document
from station.outputs.json_lines import JsonLines
from station.outputs.runner import IDLE_S, OutputRunner
from station.query.stored import stored_record
from station.store import open_store
from tests.builders import UTC_NS, make_read_record, make_record
from tests.hit_builders import make_disposition, make_hit_body
from tests.shift_builders import make_shift
from tests.station_files import add

NOW_US = UTC_NS // 1000 + 60_000_000
HOUR_US = 3_600_000_000


class Receiver:
    """A destination that fails as told."""

    where = "https://example.org:443"

    def __init__(self, batch=1):
        self.batch = batch
        self.failures = []
        self.got = []

    def send(self, events):
        if self.failures:
            raise self.failures.pop(0)
        self.got += [event.id for event in events]
        return len(events)

    def close(self):
        """Nothing to close."""


class Rig:
    """A store, an output and its receiver."""

    def __init__(self, folder, *, batch=1, **table):
        self.now_us = NOW_US
        self.store = open_store(folder / "station.db")
        values = {"name": "hook", "kind": "jsonl", "path": "-", "records": ("read/1",), **table}
        self.table = JsonLinesOutput.model_validate(values)
        self.receiver = Receiver(batch)
        self.runner = self.new_runner("a")
        self.runner.register()

    def new_runner(self, holder):
        backoff = Backoff(0, 0)
        return OutputRunner(
            self.store, self.table, self.receiver, lambda: self.now_us, holder=holder, backoff=backoff
        )

    def fill(self, *numbers, **fields):
        for number in numbers:
            add(self.store, make_read_record(number, seq=number, **fields), now_us=self.now_us)

    def run(self, rounds=20):
        for _ in range(rounds):
            self.runner.step()

    @property
    def state(self):
        return self.store.stream.states()[0]


@pytest.fixture
def rig(tmp_path):
    made = []

    def make(**table):
        made.append(Rig(tmp_path, **table))
        return made[-1]

    yield make
    for one in made:
        one.store.close()


def ids(*numbers, unit="unit-07"):
    return [f"{unit}-{number.to_bytes(16, 'big').hex()}" for number in numbers]


def test_each_record_is_sent_once_in_order_and_noted_before(rig):
    at = rig()
    at.fill(1, 2, 3)
    noted = []
    send = at.receiver.send
    at.receiver.send = lambda events: (noted.append(len(at.store.audit_trail())), send(events))[1]
    at.run()
    assert at.receiver.got == ids(1, 2, 3)
    assert noted == [1, 2, 3]
    assert at.runner.step() == IDLE_S
    entry = at.store.audit_trail()[0]
    assert (entry.who, entry.what, entry.count) == ("output hook", "send records", 1)
    assert entry.filter == (
        f"kind=jsonl to=https://example.org:443 plates=no positions=yes officers=no first={ids(1)[0]} last={ids(1)[0]}"
    )
    assert (at.state.waiting, at.state.delivered) == (0, 3)


def test_receiver_that_is_away_gets_everything_afterwards(rig):
    """The same record is tried again, first of all; the trail has it once."""
    at = rig()
    at.fill(1, 2)
    at.receiver.failures = [DeliveryError("status 503"), DeliveryError("timed out", retry_after_s=7)]
    assert at.runner.step() == 0
    assert (at.state.attempts, at.state.last_error) == (1, "status 503")
    assert at.runner.step() == 7
    at.run()
    assert at.receiver.got == ids(1, 2)
    assert len(at.store.audit_trail()) == 2
    assert at.state.last_error == ""


def test_killed_output_sends_the_unfinished_record_again(rig):
    """At least once: the id tells that it is the same."""
    at = rig(batch=2)
    at.fill(1, 2, 3)
    advance = at.store.stream.advance
    at.store.stream.advance = lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        at.runner.step()
    at.store.stream.advance = advance
    at.now_us += 120_000_000
    at.runner = at.new_runner("b")
    at.run()
    assert at.receiver.got == ids(1, 2, 1, 2, 3)


def test_second_process_takes_over_when_the_first_is_gone(rig):
    """Meanwhile it sends nothing."""
    at = rig()
    second = at.new_runner("b")
    at.fill(1)
    at.runner.step()
    at.fill(2)
    assert second.step() > IDLE_S
    assert at.receiver.got == ids(1)
    at.now_us += 61_000_000
    second.step()
    assert at.receiver.got == ids(1, 2)


def test_refused_record_becomes_a_dead_letter_and_the_others_go_on(rig):
    at = rig()
    at.fill(1, 2)
    at.receiver.failures = [DeliveryError("status 500"), RecordRefusedError("status 422")]
    at.run()
    assert at.receiver.got == ids(2)
    (dead,) = at.store.stream.dead_letters()
    assert (dead.record_id, dead.reason, dead.attempts) == ((1).to_bytes(16, "big"), "status 422", 2)
    at.store.stream.retry("hook")
    at.run()
    assert at.receiver.got == ids(2, 1)


@pytest.mark.slow
def test_record_that_waited_too_long_becomes_a_dead_letter(rig):
    at = rig(max_age_h=1, batch=10)
    at.fill(1)
    at.now_us += HOUR_US // 2
    at.fill(2)
    at.now_us += HOUR_US // 2 + 1
    at.run()
    assert at.receiver.got == ids(2)
    assert [dead.reason for dead in at.store.stream.dead_letters()] == ["older than 1 hours"]


@pytest.mark.slow
def test_a_wrong_clock_gives_nothing_up(rig):
    """All that waits would be too old at once, and more than the dead letters keep would be gone."""
    at = rig(max_age_h=1, batch=10)
    at.fill(1, 2)
    at.now_us += 400 * 86_400_000_000
    with capture_logs() as logs:
        at.run()
    assert at.store.stream.dead_letters() == []
    assert "the newest record came 400 days ago" in at.state.last_error
    assert [entry["event"] for entry in logs] == ["output_waits"]
    at.now_us -= 400 * 86_400_000_000
    at.run()
    assert (at.state.delivered, at.state.waiting) == (2, 0)


def test_only_what_is_shared_is_sent(rig):
    """By unit, agency and list; nothing that a policy says nobody may keep, nothing about employees."""
    at = rig(units=("unit-0*",), lists=("stolen",), records=("read/1", "hit/1"), batch=10)
    at.fill(1)
    at.fill(2, unit="other-1")
    at.fill(3, expires_utc_us=NOW_US)
    add(at.store, make_record(make_hit_body(), seq=4), now_us=NOW_US)
    add(at.store, make_record(make_hit_body(list_id="county"), seq=5), now_us=NOW_US)
    at.store.stream.register("hook", ["read/1", "hit/1", "shift/1"], NOW_US)
    add(at.store, make_record(make_shift(), seq=6), now_us=NOW_US)
    at.run()
    assert len(at.receiver.got) == 2
    assert at.receiver.got[0] == ids(1)[0]
    assert (at.state.delivered, at.state.skipped) == (2, 4)


def event(body, **record):
    made = make_record(body, **record)
    with_store = open_store_of(made)
    return Event(with_store)


def open_store_of(record):
    from pathlib import Path  # noqa: PLC0415 - used here alone
    from tempfile import TemporaryDirectory  # noqa: PLC0415 - as above

    with TemporaryDirectory() as folder:
        store = open_store(Path(folder) / "s.db")
        add(store, record, now_us=NOW_US)
        row = store.record(record.envelope.unit, record.envelope.record_id)
        found = stored_record(row, store.registry)
        store.close()
    return found


@pytest.mark.parametrize("table", [JsonLinesOutput, WebhookOutput, CotOutput])
def test_plates_and_officers_are_off_by_default(table):
    fields = table.model_fields
    assert not fields["plates"].default
    assert not fields["officers"].default


def test_document_holds_what_the_table_shares():
    hit = make_hit_body(listed_reason="stolen 7ABC123", entry_id="7ABC123")
    told = event(hit)
    table = JsonLinesOutput(name="a", kind="jsonl", path="-")
    bare = document(told, table)
    assert bare["type"] == "hit.preview"
    assert "7ABC123" not in json.dumps(bare)
    assert bare["data"]["list_age_s"] == 3600
    assert bare["data"]["lat_deg"] == 45.0
    assert "a lead" in bare["data"]["notice"]
    whole = document(told, table.model_copy(update={"plates": True, "positions": False}))
    assert whole["data"]["listed_plate"] == "7ABC123"
    assert "lat_deg" not in whole["data"]
    decided = event(make_disposition(DispositionAction.CONFIRMED, note="7ABC123"))
    bare = document(decided, table)["data"]
    assert not {"officer", "note", "shift_id"} & set(bare)
    assert bare["action"] == "confirmed"
    assert document(decided, table.model_copy(update={"officers": True}))["data"]["officer"] == "1234"


def json_lines(path, **other):
    return JsonLines(JsonLinesOutput.model_validate({"name": "a", "kind": "jsonl", "path": str(path), **other}))


def test_lines_are_appended_and_private(tmp_path):
    path = tmp_path / "out.jsonl"
    told = event(make_hit_body())
    for _ in range(2):
        json_lines(path).send([told])
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert [line["id"] for line in lines] == [told.id] * 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_torn_line_of_a_power_cut_stays_apart(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"id": "unit-')
    json_lines(path).send([event(make_hit_body())])
    torn, whole = path.read_text(encoding="utf-8").splitlines()
    assert (torn, json.loads(whole)["type"]) == ('{"id": "unit-', "hit.preview")


def test_files_are_rotated_and_bounded(tmp_path):
    path = tmp_path / "out.jsonl"
    told = event(make_hit_body())
    for _ in range(60):
        json_lines(path, max_mib=0.01, keep=2).send([told] * 10)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["out.jsonl", "out.jsonl.1", "out.jsonl.2"]


def test_file_that_cannot_be_written_is_an_outage(tmp_path):
    """As is a link that somebody put there."""
    with pytest.raises(DeliveryError, match="No such file"):
        json_lines(tmp_path / "absent" / "out.jsonl").send([event(make_hit_body())])
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeliveryError):
        json_lines(tmp_path / "link").send([event(make_hit_body())])
    assert not (tmp_path / "elsewhere").exists()


def test_standard_output_gets_lines():
    out = io.BytesIO()
    JsonLines(JsonLinesOutput(name="a", kind="jsonl", path="-"), out).send([event(make_hit_body())])
    assert json.loads(out.getvalue())["schema"] == "hit/1"
