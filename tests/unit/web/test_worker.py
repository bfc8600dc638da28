"""The thread that makes approved exports."""

from __future__ import annotations

import threading

from structlog.testing import capture_logs

from station.errors import StoreError
from station.web.worker import Worker


def test_a_request_that_fails_does_not_end_the_thread():
    """Whatever it raises: the requests after it are made, and the log has no contents."""
    asked, made = [], threading.Event()

    class Exports:
        def run_next(self):
            asked.append(1)
            if len(asked) == 1:
                raise ValueError("7ABC123")
            made.set()
            return False

    worker = Worker("exports", Exports().run_next)
    with capture_logs() as logs:
        worker.wake()
        worker.start()
        assert made.wait(10)
        worker.close()
    assert [(line["event"], line.get("reason")) for line in logs] == [
        ("exports_failed", "ValueError"), ("exports_work_again", None),
    ]  # fmt: skip


def test_a_database_that_is_away_is_logged_once(monkeypatch):
    """The thread looks every few seconds: an hour had 720 lines."""
    monkeypatch.setattr("station.web.worker._LOOK_S", 0.001)
    asked, made = [], threading.Event()

    class Exports:
        def run_next(self):
            asked.append(1)
            if len(asked) <= 50:
                raise StoreError("the database is away")
            made.set()
            return False

    worker = Worker("exports", Exports().run_next)
    with capture_logs() as logs:
        worker.start()
        assert made.wait(10)
        worker.close()
    assert [line["event"] for line in logs] == ["exports_failed", "exports_work_again"]
    assert logs[1]["failures"] == 50
