"""Events of the feed of a running agent."""

from __future__ import annotations

import json
import re
import socket
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from agent.errors import ConfigError
from agent.policy.records import Pause, PauseReason
from agent.runtime.component import Tick
from agent.runtime.config import FeedTable, parse_config
from agent.runtime.feed import Feed, build_feed_server
from agent.runtime.feed_documents import fix_document, pause_document, policy_document, shift_document
from agent.runtime.service import Service
from agent.runtime.supervisor import Supervisor
from hw.clock import RealClock, SimClock
from hw.ports import Lamp, LinkDown, LinkUp, Vitals
from tests.builders import make_fix
from tests.conftest import ROOT
from tests.duty_builder import Car
from tests.listed import listed
from tests.unit_parts import unit_parts

PATIENCE_S = 60
S = 1_000_000_000


class Listener(threading.Thread):
    """A view in another thread: keeps every document until the connection ends."""

    def __init__(self, path) -> None:
        super().__init__(daemon=True)
        self.documents: list[dict] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(PATIENCE_S)
        self._socket.connect(str(path))
        self.start()

    def run(self) -> None:
        with self._socket, self._socket.makefile("rb") as lines:
            for line in lines:
                self.documents.append(json.loads(line))

    def of(self, event: str) -> list[dict]:
        return [document for document in self.documents if document["event"] == event]


class Deaf:
    """A receiver that says nothing until the test lets it."""

    def __init__(self, inner) -> None:
        self._inner, self.may_speak = inner, threading.Event()

    def next_line(self, *, timeout_s):
        return self._inner.next_line(timeout_s=timeout_s) if self.may_speak.wait(timeout_s) else None

    @property
    def dropped_lines(self) -> int:
        return self._inner.dropped_lines

    @property
    def unused_reports(self) -> int:
        return self._inner.unused_reports

    def close(self) -> None:
        self._inner.close()


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Every document of the feed, and the log, of a drive in which the link is lost and restored."""
    folder = tmp_path_factory.mktemp("feed")
    path = folder / "feed.sock"
    config, hardware, reader, models = unit_parts(folder, feed={"path": str(path)})
    hardware = replace(hardware, gnss=Deaf(hardware.gnss))
    service = Service(config, hardware, reader, models, matcher=lambda: listed("7ABC123"))
    views: list[Listener] = []

    def watch(running: Service) -> None:
        if not views:
            views.append(Listener(path))
        view = views[0]
        if view.of("snapshot") and not view.of("link"):
            hardware.gnss.may_speak.set()
            hardware.link.on_event(LinkDown("out of reach"))
        elif len(view.of("link")) == 1:
            hardware.link.on_event(LinkUp(16, None))
        elif (
            view.of("read")
            and view.of("hit")
            and [document["lamp"] for document in view.of("lamp")][-1:] == ["recording"]
        ):
            running.stop()

    with capture_logs() as logs:
        service.run(on_watch=watch, drain_s=0)
    views[0].join(PATIENCE_S)
    assert not views[0].is_alive()
    assert not path.exists()
    return SimpleNamespace(view=views[0], logs=logs, service=service, config=config)


@pytest.mark.slow
def test_feed_sends_reads_link_lamp_fix_and_stopping(told):
    view, progress = told.view, told.service.progress
    assert view.documents[0]["event"] == "snapshot"
    assert [document["n"] for document in view.documents] == list(
        range(view.documents[0]["n"], view.documents[0]["n"] + len(view.documents))
    )
    reads = view.documents[0]["reads"] + [document["read"] for document in view.of("read")]
    assert [read["text"] for read in reads] == [read.body.text for read in progress.reads]
    assert [read["read_id"] for read in reads] == [read.read_id.hex() for read in progress.reads]
    assert [read["seq"] for read in reads] == sorted(read["seq"] for read in reads)
    link = [(document["up"], document["reason"]) for document in view.of("link")]
    assert link[:2] == [(False, "out of reach"), (True, "")]
    assert view.of("fix")[0]["found"] is True
    assert view.of("lamp")[-1]["lamp"] == "recording"
    assert len(view.of("stopping")) == 1
    assert view.of("heartbeat")[-1]["cameras"][0]["ok"] is True
    assert "picture" not in json.dumps(reads)


@pytest.mark.slow
def test_reads_committed_during_the_stop_are_sent(told):
    """The commit thread ends before the feed does."""
    assert len(told.view.of("read")) + len(told.view.documents[0]["reads"]) == told.service.outbox_stats.appended


@pytest.mark.slow
def test_feed_has_plate_texts_and_the_log_has_none(told):
    texts = {document["read"]["text"] for document in told.view.of("read")}
    assert texts
    assert not [text for text in texts if text in repr(told.logs)]


def keys(value, path=""):
    """Dotted names of all keys; those of a list's members under ``[]``."""
    if isinstance(value, dict):
        for key, inner in value.items():
            name = f"{path}.{key}" if path else key
            yield name
            yield from keys(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from keys(inner, f"{path}[]")


@pytest.mark.slow
def test_every_key_is_documented(told):
    """docs/feed.md lists exactly what is sent, event by event."""
    text = (ROOT / "docs" / "feed.md").read_text(encoding="utf-8")
    documented = {
        title: set(re.findall(r"^\| `([a-z_.\[\]]+)` \| \S", body, flags=re.MULTILINE))
        for title, body in re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", text, flags=re.MULTILINE | re.DOTALL)
    }
    shared = documented.pop("state")
    reads, hits = documented.pop("reads"), documented.pop("hits")
    sent: dict[str, set[str]] = {}
    for document in told.view.documents:
        sent.setdefault(document["event"], set()).update(keys(document))
    null_here = {f"shift.{key}" for key in shift_document(Car().sign_on().shift)}
    null_here |= {f"pause.{key}" for key in pause_document(Pause(PauseReason.FENCE, "school"))}
    null_here |= {f"policy.{key}" for key in policy_document(SimpleNamespace(id="us-xx", version=3))}
    assert null_here <= shared
    shared -= null_here
    sent["snapshot"] = {key for key in sent["snapshot"] if not key.startswith(("reads[].", "hits[].", "fix."))}
    read = {key.removeprefix("read.") for key in sent["read"] if key.startswith("read.")}
    sent["read"] -= {f"read.{key}" for key in read}
    hit = {key.removeprefix("hit.") for key in sent["hit"] if key.startswith("hit.")}
    sent["hit"] -= {f"hit.{key}" for key in hit}
    assert hit == hits
    fix = {key for key in sent["heartbeat"] if key.startswith("fix.")}
    assert read == reads
    assert sent["snapshot"] | fix == documented["snapshot"] | shared
    assert sent["heartbeat"] == documented["heartbeat"] | shared
    rest = {"read", "hit", "lamp", "link", "fix", "stopping"}
    assert {event: sent[event] for event in rest} == {event: documented[event] for event in rest}
    assert set(documented) == rest | {"snapshot", "heartbeat"}


class Posts:
    """A server that keeps what is posted."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict]] = []
        self.status: dict = {}

    def post(self, event, body) -> None:
        self.events.append((event, body))

    def set_status(self, status) -> None:
        self.status = status

    def take(self):
        events, self.events = self.events, []
        return events


@pytest.fixture
def watched():
    """A feed of an agent that the test plays."""
    agent = SimpleNamespace(
        lamp=Lamp.OFF, has_fix=lambda _: agent.fix, fix=False, about=dict, present=lambda t: {"t": t}
    )
    clock = SimClock()
    posts = Posts()
    feed = Feed(posts, agent, Supervisor(clock), clock)

    def tick(t_s: float, *late: str):
        feed.watch(Tick(round(t_s * S), Vitals(None, None, None, 0, 0, 0, 0.0), late))
        return posts.take()

    return agent, tick, posts


def test_heartbeat_every_second(watched):
    """Rounds of half a second and a little more; one that is missed is not made up for."""
    _, tick, _ = watched
    beats = [n for n in range(200) if tick(1 + n * 0.51)]
    assert 98 <= len(beats) <= 103
    assert [event for event, _ in tick(1000)] == ["heartbeat"]
    assert tick(1000.1) == []


def test_heartbeat_lists_late_threads(watched):
    _, tick, _ = watched
    assert tick(1, "vision-front") == [("heartbeat", {"t": S, "late": ["vision-front"]})]


def test_lamp_and_fix_events_only_on_change(watched):
    agent, tick, posts = watched
    tick(1)
    agent.lamp, agent.fix = Lamp.RECORDING, True
    assert tick(1.1) == [
        ("lamp", {"mono_us": 1_100_000, "lamp": "recording"}),
        ("fix", {"mono_us": 1_100_000, "found": True}),
    ]
    assert tick(1.2) == []
    assert posts.status == {"t": 1.2 * S}
    agent.fix = False
    assert tick(1.3) == [("fix", {"mono_us": 1_300_000, "found": False})]


def test_fix_found_while_recent_and_nan_is_null():
    fix = make_fix(10 * S, course_deg=float("nan"))
    assert fix_document(fix, 15 * S)["found"] is True
    late = fix_document(fix, 15 * S + 1)
    assert (late["found"], late["age_ms"], late["course_deg"]) == (False, 5000, None)
    assert fix_document(None, 0) is None


@pytest.mark.parametrize(
    ("path", "environment", "expected"),
    [
        ("auto", {}, None),
        ("auto", {"RUNTIME_DIRECTORY": "/run/patrol-lpr"}, "/run/patrol-lpr/feed.sock"),
        ("auto", {"RUNTIME_DIRECTORY": "/run/patrol-lpr:/run/other"}, "/run/patrol-lpr/feed.sock"),
        ("off", {"RUNTIME_DIRECTORY": "/run/patrol-lpr"}, None),
        ("/run/mine.sock", {"RUNTIME_DIRECTORY": "/run/patrol-lpr"}, "/run/mine.sock"),
    ],
)
def test_the_feed_is_on_in_the_vehicle_and_off_elsewhere(path, environment, expected):
    server = build_feed_server(FeedTable(path=path), RealClock(), environment)
    assert (None if server is None else str(server._path)) == expected


def test_too_long_socket_path_is_refused():
    hw = {"cameras": [{"kind": "sim", "name": "front"}], "gnss": {"kind": "none"}, "link": {"kind": "none"}}
    table = {"unit": "u", "agency": "a", "hw": hw, "feed": {"path": "/" + "x" * 103}}
    with pytest.raises(ConfigError, match=r"feed\.path: .*at most 103 bytes"):
        parse_config(table, "test")


def test_feed_counters_are_zero_without_a_feed(tmp_path):
    config, hardware, reader, models = unit_parts(tmp_path)
    service = Service(config, hardware, reader, models)
    service.stop()
    service.run(drain_s=0)
    counters = {k: v for k, v in service.health.counters().items() if k.startswith("feed.")}
    assert set(counters.values()) == {0}
    assert len(counters) == 6
