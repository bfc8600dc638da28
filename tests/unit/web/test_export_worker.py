"""The thread that makes approved exports."""

from __future__ import annotations

import threading

from structlog.testing import capture_logs

from station.web.worker import ExportWorker


def test_a_request_that_fails_does_not_end_the_thread():
    """Whatever it raises: the requests after it are made, and the log has no contents."""
    asked, made = [], threading.Event()

    class Exports:
        def run_next(self, _):
            asked.append(1)
            if len(asked) == 1:
                raise ValueError("7ABC123")
            made.set()
            return False

    worker = ExportWorker(Exports())
    with capture_logs() as logs:
        worker.wake()
        worker.start()
        assert made.wait(10)
        worker.close()
    assert [(line["event"], line["reason"]) for line in logs] == [("export_failed", "ValueError")]
