"""Components start in order and stop in the reverse order; a failing stop does not prevent the others."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from agent.buffer import OutboxReader
from agent.runtime.component import Component, Tick
from agent.runtime.lifecycle import Lifecycle
from agent.runtime.service import Service
from agent.runtime.supervisor import ThreadStuckError
from hw.ports import CameraEndedError, LinkDownError, Vitals
from tests.unit_parts import unit_parts

TICK = Tick(0, Vitals(None, None, None, 0, 0, 0, 0.0))


class Part(Component):
    """Writes down what it is asked for; fails where it is told to."""

    def __init__(self, name: str, seen: list[str], fails: dict[str, Exception] | None = None) -> None:
        self.name, self._seen, self._fails = name, seen, fails or {}

    def _do(self, what: str) -> None:
        self._seen.append(f"{what} {self.name}")
        if what in self._fails:
            raise self._fails[what]

    def start(self) -> None:
        self._do("start")

    def watch(self, tick: Tick) -> None:
        self._do("watch")

    def quiesce(self) -> None:
        self._do("quiesce")

    def stop(self) -> None:
        self._do("stop")


def test_components_stop_in_reverse_order_after_quiesce():
    seen: list[str] = []
    parts = Lifecycle(tuple(Part(name, seen) for name in "abc"))
    parts.start()
    parts.watch(TICK)
    assert parts.stop() is None
    expected = "start a|start b|start c|watch a|watch b|watch c|quiesce c|quiesce b|quiesce a|stop c|stop b|stop a"
    assert seen == expected.split("|")
    assert parts.names == ("a", "b", "c")


@pytest.mark.parametrize("what", ["quiesce", "stop"])
@pytest.mark.parametrize("failing", ["a", "b", "c", "abc"])
def test_failing_stop_does_not_prevent_the_others(what, failing):
    """The first failure is returned, whatever it is."""
    seen: list[str] = []
    errors = {name: RuntimeError(name) for name in failing}
    parts = Lifecycle(tuple(Part(n, seen, {what: errors[n]} if n in errors else {}) for n in "abc"))
    parts.start()
    assert parts.stop() is errors[failing[-1]]
    assert [step for step in seen if step.startswith("stop")] == ["stop c", "stop b", "stop a"]


def test_all_components_are_stopped_after_a_failed_start():
    seen: list[str] = []
    parts = Lifecycle((Part("a", seen), Part("b", seen, {"start": OSError("no pin")}), Part("c", seen)))
    with pytest.raises(OSError, match="no pin"):
        parts.start()
    assert parts.stop() is None
    assert "start c" not in seen
    assert seen[-3:] == ["stop c", "stop b", "stop a"]


def test_two_components_cannot_share_a_name():
    with pytest.raises(ValueError, match="front"):
        Lifecycle((Part("front", []), Part("front", [])))


def test_failures_are_logged_without_texts_of_unknown_errors():
    """They could hold a plate; the place in the code says enough."""
    fails = {"b": {"stop": LinkDownError("closed already")}, "a": {"stop": RuntimeError("7ABC123")}}
    with capture_logs() as lines:
        Lifecycle(tuple(Part(name, [], fails.get(name)) for name in "abc")).stop()
    assert [(line["event"], line["component"], line["error"], line["reason"]) for line in lines] == [
        ("stop_failed", "b", "LinkDownError", "closed already"),
        ("stop_failed", "a", "RuntimeError", ""),
    ]
    assert all("test_lifecycle.py" in line["where"] for line in lines)


class Failing:
    """A back end of which one method raises, and which knows that it was called."""

    def __init__(self, inner, method: str, error: Exception) -> None:
        self._inner, self._method, self._error = inner, method, error
        self.called = False

    def __getattr__(self, name: str):
        if name != self._method:
            return getattr(self._inner, name)

        def fail(*_, **__):
            self.called = True
            raise self._error

        return fail


def closed_cleanly(service: Service) -> bool:
    """The outbox's log is folded into its file, as only its own close does."""
    path = service.read_path.outbox.path
    return not path.with_name(f"{path.name}-wal").exists()


def with_reads(running: Service) -> None:
    if running.progress.committed:
        running.stop()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("part", "method", "error"),
    [
        ("panel", "close", OSError("the pins do not obey")),
        ("link", "close", LinkDownError("closed already")),
        ("gnss", "close", OSError("the port is gone")),
    ],
)
def test_failing_close_of_a_back_end_is_logged_and_the_outbox_closed(tmp_path, part, method, error):
    config, hardware, reader, models = unit_parts(tmp_path)
    failing = Failing(getattr(hardware, part), method, error)
    service = Service(config, replace(hardware, **{part: failing}), reader, models)
    with pytest.raises(type(error), match=str(error)):
        service.run(on_watch=with_reads, drain_s=0)
    assert failing.called
    assert service.progress.waiting == service.progress.committed > 0
    assert closed_cleanly(service)


class Hung:
    """A camera that delivers until its driver hangs; closing it changes nothing."""

    def __init__(self, inner) -> None:
        self._inner, self.name = inner, inner.name
        self._hang, self._inside, self._released = threading.Event(), threading.Event(), threading.Event()

    def next_frame(self, *, timeout_s):
        if self._hang.is_set():
            self._inside.set()
            self._released.wait(60)
            raise CameraEndedError("at last")
        return self._inner.next_frame(timeout_s=timeout_s)

    def hang(self) -> None:
        self._hang.set()
        assert self._inside.wait(60)

    def release(self) -> None:
        self._released.set()
        self._inner.close()

    def close(self) -> None:
        return


@pytest.mark.slow
def test_stuck_thread_does_not_prevent_the_stop_of_others(tmp_path, monkeypatch):
    """The process ends with the error; all reads are on the disk, the outbox is closed."""
    monkeypatch.setattr("agent.runtime.camera._STOP_S", 0.1)
    config, hardware, reader, models = unit_parts(tmp_path)
    hung = Hung(hardware.cameras[0])
    service = Service(config, replace(hardware, cameras=(hung,)), reader, models)

    def watch(running: Service) -> None:
        if running.progress.committed:
            hung.hang()
            running.stop()

    with pytest.raises(ThreadStuckError, match="vision-front"):
        service.run(on_watch=watch, drain_s=0)
    assert closed_cleanly(service)
    again = OutboxReader(service.read_path.outbox.path)
    assert again.stats().reads == service.progress.committed > 0
    again.close()
    hung.release()


@pytest.mark.slow
def test_thread_error_is_raised_before_stop_errors(tmp_path):
    config, hardware, reader, models = unit_parts(tmp_path)
    gnss = Failing(hardware.gnss, "next_line", RuntimeError("a broken driver"))
    panel = Failing(hardware.panel, "close", OSError("the pins do not obey"))
    service = Service(config, replace(hardware, gnss=gnss, panel=panel), reader, models)
    with pytest.raises(RuntimeError, match="a broken driver"):
        service.run(drain_s=0)
    assert panel.called
    assert closed_cleanly(service)


def test_order_of_the_components(tmp_path):
    """The reverse order is the flow of data: cameras stop before the committer, and that before the outbox."""
    config, hardware, reader, models = unit_parts(tmp_path)
    service = Service(config, hardware, reader, models)
    outside = ("ignition", "panel", "status", "feed")
    flow = ("commit", "link", "uplink", "drain", "gnss", "policy", "first-writes", "hits", "vision-front")
    after = (
        "heat",
        "health",
        "update",
        "shifts",
        "command",
        "hotlists",
        "view-audit",
        "config-audit",
        "list-audit",
    )
    assert service.components == (*outside, *flow, *after)
    service.stop()
    service.run(drain_s=0)
    assert closed_cleanly(service)
