"""What is done before an alert: in order, and the alert does not wait for a slow disk."""

from __future__ import annotations

import threading
from functools import partial

import pytest
from structlog.testing import capture_logs

from agent.runtime.first_writes import FirstWrites
from tests.builders import make_track
from tests.hit_rig import make_hit_service
from tests.listed import listed


@pytest.fixture
def first():
    made = FirstWrites(max_wait_s=0.01)
    yield made
    made.stop()


def test_work_is_done_before_the_call_returns():
    patient, done = FirstWrites(max_wait_s=60), []
    patient(lambda: done.append(1))
    assert done == [1]
    assert patient.counters() == {"hits.files_late": 0}
    patient.stop()


def test_slow_work_is_not_waited_for_is_counted_and_is_still_done(first):
    disk_answers, done = threading.Event(), []

    def slow(name):
        disk_answers.wait()
        done.append(name)

    for name in ("first", "second"):
        first(partial(slow, name))
    assert done == []
    assert first.counters() == {"hits.files_late": 2}
    disk_answers.set()
    first.stop()
    assert done == ["first", "second"]


def test_defect_in_the_work_is_not_swallowed():
    patient = FirstWrites(max_wait_s=60)
    with pytest.raises(ZeroDivisionError):
        patient(lambda: 1 / 0)
    patient.stop()


def test_defect_in_late_work_is_logged():
    """Nobody waits for it any more, and its message may quote a plate."""
    quick, disk_answers = FirstWrites(max_wait_s=0.01), threading.Event()

    def defect():
        disk_answers.wait()
        raise ValueError("7ABC123")

    with capture_logs() as logs:
        quick(defect)
        disk_answers.set()
        quick.stop()
    assert [(line["event"], line["error"]) for line in logs] == [("first_write_failed", "ValueError")]
    assert "7ABC123" not in str(logs)


class Alarm:
    """Looks into the folder at the moment of the alert."""

    sounded = 0

    def __init__(self, folder):
        self._folder, self.files = folder, None

    def show(self, _):
        pass

    def alert(self, *_):
        self.files = list(self._folder.glob("*.hit"))


def test_file_with_the_record_is_there_when_the_alert_sounds(tmp_path):
    lists = listed("7ABC123")
    service = make_hit_service(tmp_path, lists=lambda: lists)
    service._alarm = alarm = Alarm(tmp_path)
    service.on_confirmed(make_track("7ABC123"))
    assert len(alarm.files) == 1
    (found,) = service._files.load()
    assert len(found.pending) == 1


def test_late_first_write_does_not_replace_a_newer_file(tmp_path):
    """The disk hung, the commit thread came first."""
    lists, held = listed("7ABC123"), []
    service = make_hit_service(tmp_path, lists=lambda: lists)
    service._alarm, service._first = Alarm(tmp_path), held.append
    records = []
    service._emit = records.append
    service.on_confirmed(make_track("7ABC123"))
    (record,) = records
    service.complete(record, *service._scene(0))
    service.settle(record, 1)
    (write,) = held
    write()
    (found,) = service._files.load()
    assert found.pending == (), "its record is in the outbox already"
