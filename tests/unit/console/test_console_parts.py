"""Sessions, limits, commands, options, texts."""

from __future__ import annotations

import asyncio
import re
from dataclasses import fields
from pathlib import Path

import pytest

from agent.hits.machine import OUTCOMES, REASONS
from agent.hits.records import HitState
from agent.view import ViewState
from console.catalogue import FOLDER, LANGUAGES, language_of, texts
from console.config import ConsoleConfig
from console.errors import AgentUnavailableError, ConsoleConfigError
from console.sessions import (
    IDLE_S,
    MAX_ADDRESSES,
    MAX_SESSIONS,
    REMEMBERED_REQUESTS,
    RateLimit,
    RateLimits,
    Sessions,
)
from console.state import Section
from console.verbs import VERBS, arguments_of, is_typed
from console.viewing import note_shown, report_views
from console.views import HIDDEN
from hw.ports import Lamp
from tests.conftest import ROOT

TEMPLATES = {path.stem: path.read_text() for path in (ROOT / "console/templates/views").glob("*.html")}
UNIT_SCRIPT = (ROOT / "console/static/js/unit.js").read_text()
HEX = "0" * 32
INCIDENT = {
    "incident_id": None, "where": "", "category": "", "case_number": "", "notes": [], "reads": [], "hits": [],
    "people": [], "contribution": "", "outcome": "",
}  # fmt: skip
SIGN_ON = {
    "badge": "", "pin": "", "token": "", "role": "", "crew": [], "vehicle": "", "zone": "", "checkpoint": "",
    "task": "", "equipment": [],
}  # fmt: skip
CERTIFICATE = {"tls_cert": Path("c.pem"), "tls_key": Path("k.pem")}


def test_session_ends_when_unused():
    sessions = Sessions()
    name, session = sessions.create(0.0)
    assert sessions.get(name, IDLE_S) is session
    assert sessions.get(name, 2 * IDLE_S + 1) is None


def test_sessions_are_bounded_and_the_latest_stay():
    sessions = Sessions()
    names = [sessions.create(float(i))[0] for i in range(MAX_SESSIONS + 5)]
    assert [sessions.get(name, 100.0) is not None for name in names] == [False] * 5 + [True] * MAX_SESSIONS


def test_loading_the_page_again_and_again_takes_no_officers_session():
    sessions = Sessions()
    name, session = sessions.create(0.0)
    session.officer = "token"
    for i in range(2 * MAX_SESSIONS):
        sessions.create(float(i))
    assert sessions.get(name, 1.0) is session


def test_a_session_that_was_forgotten_acts_for_nobody_and_what_it_has_shown_is_reported():
    sessions = Sessions()
    made = [sessions.create(0.0)[1] for _ in range(MAX_SESSIONS)]
    for session in made:
        session.officer = "token"
        session.shown["reads"] = 1
    sessions.create(1.0)
    assert (made[0].officer, made[0].over, made[1].over) == (None, True, False)
    assert made[0] in sessions.to_report()
    made[0].shown.clear()
    assert made[0] not in sessions.to_report()
    name, late = sessions.create(2.0)
    assert sessions.get(name, IDLE_S + 3) is None
    assert late.over


def test_a_sign_on_gives_the_session_another_id():
    sessions = Sessions()
    old, session = sessions.create(0.0)
    new = sessions.renew(session)
    assert new != old
    assert sessions.get(old, 1.0) is None
    assert sessions.get(new, 1.0) is session
    session.over = True
    assert Sessions().renew(session) is None


def test_end_of_a_shift_takes_its_officer_from_all_terminals_and_no_other_officer():
    sessions = Sessions()
    made = [sessions.create(0.0)[1] for _ in range(3)]
    for session, shift_id in zip(made, ("first", "first", "second"), strict=True):
        session.officer, session.shift_id = "token", shift_id
    sessions.end_shifts({"first"})
    assert [session.officer for session in made] == [None, None, "token"]


class Agent:
    """Answers ``viewed``; None: it does not answer."""

    def __init__(self, *answers):
        self.answers, self.asked, self.done = list(answers), [], asyncio.Event()

    async def send(self, verb, session=None, **arguments):
        self.asked.append((verb, session, arguments))
        answer = self.answers.pop(0)
        if not self.answers:
            self.done.set()
        if answer is None:
            raise AgentUnavailableError("gone")
        return {"ok": True, "signed_on": answer}


def report(sessions, agent):
    """Run the task until the agent has given all its answers; return how often the terminals were told."""
    refreshed = []

    async def run():
        task = asyncio.create_task(report_views(sessions, agent, lambda: refreshed.append(1), every_s=0))
        await agent.done.wait()
        await asyncio.sleep(0)
        task.cancel()

    asyncio.run(run())
    return len(refreshed)


def test_what_a_terminal_has_shown_is_reported_and_counted_again_if_the_agent_is_away():
    sessions = Sessions()
    _, session = sessions.create(0.0)
    for document in ({"reads": []}, {"reads": [{}]}, HIDDEN, {"reads": [{}]}):
        note_shown(session, Section.READS, document)
    agent = Agent(None, False)
    report(sessions, agent)
    assert agent.asked == [("viewed", None, {"terminal": session.terminal, "reads": 2})] * 2
    assert sessions.to_report() == []


def test_terminal_of_an_officer_whose_session_is_over_notices_without_a_touch():
    sessions = Sessions()
    _, session = sessions.create(0.0)
    session.officer = "token"
    assert report(sessions, Agent(True, False)) == 1
    assert session.officer is None


def test_request_ids_are_remembered_up_to_a_bound():
    _, session = Sessions().create(0.0)
    assert session.is_new_request("a")
    assert not session.is_new_request("a")
    for i in range(REMEMBERED_REQUESTS + 1):
        session.is_new_request(str(i))
    assert len(session.requests) == REMEMBERED_REQUESTS


def test_rate_limit_gives_a_burst_and_then_its_rate():
    limit = RateLimit(per_s=2, burst=3)
    assert [limit.take(10.0) for _ in range(4)] == [True, True, True, False]
    assert [limit.take(11.0) for _ in range(3)] == [True, True, False]
    assert limit.wait_s == 0.5


def test_rates_of_addresses_are_apart_and_of_a_bounded_number():
    limits = RateLimits(per_s=1, burst=1)
    assert limits.of("a").take(0.0)
    assert not limits.of("a").take(0.0)
    for number in range(MAX_ADDRESSES - 1):
        assert limits.of(str(number)).take(0.0)
    assert not limits.of("a").take(0.0)
    for number in range(MAX_ADDRESSES):
        limits.of(f"other {number}")
    assert limits.of("a").take(0.0)


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("acknowledge", {"hit_id": HEX}),
        ("check", {"hit_id": HEX, "check": "region", "holds": None}),
        ("set_mask", {"camera": "front", "polygon": [[0, 0.5], [1, 1]]}),
        ("set_rotation", {"camera": "front", "degrees": 90}),
        ("incident_save", {**INCIDENT, "hits": [HEX], "category": "stolen-vehicle"}),
        ("sign_off", {}),
        ("watch_plate", {"text": "7ABC123", "region": "?", "reason": "seen", "hours": 8}),
        ("unwatch_plate", {"entry_id": HEX}),
        ("unlock", {"badge": "4711", "supervisor": "", "pin": ""}),
    ],
)
def test_valid_arguments_are_passed_on(verb, arguments):
    assert arguments_of(verb, arguments) == arguments


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("nothing", {}),
        ("acknowledge", {}),
        ("acknowledge", {"hit_id": HEX.upper().replace("0", "A")}),
        ("acknowledge", {"hit_id": HEX, "session": "stolen"}),
        ("check", {"hit_id": HEX, "check": "colour", "holds": True}),
        ("check", {"hit_id": HEX, "check": "region", "holds": 1}),
        ("set_mask", {"camera": "front", "polygon": [[0, 1.1]]}),
        ("set_mask", {"camera": "front", "polygon": [[0, 0]] * 33}),
        ("set_mask", {"camera": "front", "polygon": [[True, 0]]}),
        ("set_rotation", {"camera": "front", "degrees": 45}),
        ("set_rotation", {"camera": "front", "degrees": False}),
        ("incident_save", {**INCIDENT, "people": ["x\n"]}),
        ("incident_save", {**INCIDENT, "reads": [HEX] * 65}),
        ("incident_save", {**INCIDENT, "notes": "x"}),
        ("activity", {"kind": "Patrol!"}),
        ("watch_plate", {"text": "A" * 65, "region": "?", "reason": "x", "hours": 8}),
        ("watch_plate", {"text": "A\n1", "region": "?", "reason": "x", "hours": 8}),
        ("watch_plate", {"text": "7ABC123", "region": "?", "reason": "x", "hours": 25}),
        ("watch_plate", {"text": "7ABC123", "region": "?", "reason": "x", "hours": True}),
        ("sign_on", {**SIGN_ON, "token": "x" * 1025}),
        ("sign_on", {**SIGN_ON, "token": "\u2603"}),
        ("unwatch_plate", {"entry_id": "../../etc/passwd"}),
        ("viewed", {"terminal": "0" * 8}),
    ],
)
def test_other_arguments_are_not(verb, arguments):
    assert arguments_of(verb, arguments) is None


def test_confirming_is_typing_and_rejecting_is_not():
    assert is_typed("dispose", {"decision": "confirm"})
    assert not is_typed("dispose", {"decision": "reject"})
    assert not is_typed("acknowledge", {})


@pytest.mark.parametrize(
    "options",
    [
        {"host": "0.0.0.0"},  # noqa: S104 - refused
        {"host": "192.168.4.1"},
        {"host": "console.example"},
        {"host": "::"},
        {"tls_cert": Path("c.pem")},
        {"unix": Path("/run/x")},
    ],
)
def test_listening_where_others_could_listen_in_is_refused(options):
    with pytest.raises(ConsoleConfigError):
        ConsoleConfig(**options)


def test_sign_on_is_required_beyond_loopback():
    assert not ConsoleConfig().needs_sign_on
    assert not ConsoleConfig(host="::1").needs_sign_on
    assert ConsoleConfig(host="192.168.4.1", **CERTIFICATE).needs_sign_on
    assert ConsoleConfig(unix=Path("/run/x"), names=("unit.example",)).needs_sign_on


def test_hosts_that_are_accepted():
    assert ConsoleConfig().hosts(8470) == {"127.0.0.1:8470", "localhost:8470", "[::1]:8470"}
    remote = ConsoleConfig(host="192.168.4.1", names=("unit.example",), **CERTIFICATE)
    assert remote.hosts(443) == {"192.168.4.1:443", "192.168.4.1", "unit.example:443", "unit.example"}


def test_languages_have_the_same_texts_with_the_same_gaps():
    english = texts("en")
    for language in LANGUAGES:
        other = texts(language)
        assert set(other) == set(english)
        for key, text in other.items():
            assert re.findall(r"\{\w+\}", text) == re.findall(r"\{\w+\}", english[key]) or sorted(
                re.findall(r"\{\w+\}", text)
            ) == sorted(re.findall(r"\{\w+\}", english[key])), key
    assert {path.stem for path in FOLDER.glob("*.toml")} == set(LANGUAGES)


@pytest.mark.parametrize(
    ("chosen", "accepted", "language"),
    [
        (None, "es-MX,es;q=0.9", "es"),
        (None, "fr, es", "es"),
        (None, "", "en"),
        ("es", "en", "es"),
        ("../x", "xx", "en"),
    ],
)
def test_language_of_a_browser(chosen, accepted, language):
    assert language_of(chosen, accepted) == language


def test_every_text_that_the_page_uses_is_in_the_catalogue():
    known = texts("en")
    used = set()
    for path in (ROOT / "console/static/js").glob("*.js"):
        used |= set(re.findall(r"""\bt\("([a-z_]+\.[a-z_]+)\"""", path.read_text()))
    for path in (ROOT / "console/templates").rglob("*.html"):
        used |= set(re.findall(r"""t\('([a-z_]+\.[a-z_]+)'\)""", path.read_text()))
    assert used
    assert used <= set(known)


def test_every_verb_of_the_page_is_one_of_the_console():
    sent = set()
    for path in (ROOT / "console/static/js").glob("*.js"):
        sent |= set(re.findall(r"""\b(?:command|save)\("([a-z_]+)\"""", path.read_text()))
    assert sent
    assert sent <= set(VERBS)


def test_every_code_of_the_agent_has_words():
    """A lamp, state, fault, reason or outcome that was added to the agent needs a text, and its button."""
    known = set(texts("en"))
    assert {f"lamp.{lamp.value}" for lamp in Lamp} <= known
    assert {f"queue.{state}" for state in HitState} <= known
    faults = {field.name for field in fields(ViewState)}
    assert set(re.findall(r'"([a-z_]+)"', re.search(r"PROBLEMS = \[(.*?)\]", UNIT_SCRIPT)[1])) == faults
    assert {f"unit.{fault}" for fault in faults} <= known
    assert {f"outcome.{code}" for code in OUTCOMES} <= known
    offered = re.findall(r"'([a-z_]+)'", re.search(r"for code in \((.*?)\)", TEMPLATES["queue"])[1])
    assert set(offered) == set(OUTCOMES)
    offered = re.findall(r"'([a-z_]+)'", re.search(r"for code in \((.*?)\)", TEMPLATES["hit"])[1])
    assert set(offered) <= set(REASONS)


def test_every_refusal_has_words_in_the_language_of_the_page():
    """What has none would be shown as the agent says it: in English."""
    described = (ROOT / "docs/commands.md").read_text().split("\n### ")
    general, verbs = described[0].split("## Errors")[1], described[1:]
    codes = set(re.findall(r"^\| `([a-z_]+)` \|", general, re.MULTILINE))
    for text in verbs:
        _, _, errors = text.partition("| error |")
        if re.match(r"`([a-z_]+)`", text)[1] in VERBS:
            codes |= set(re.findall(r"^\| `([a-z_]+)` \|", errors, re.MULTILINE))
    for path in (ROOT / "console").glob("*.py"):
        codes |= set(re.findall(r'RefusedError\(\d[^"]*"([a-z_]+)"', path.read_text()))
    assert {"unknown_hit", "no_incident", "replayed", "too_large"} <= codes
    assert {f"error.{code}" for code in codes} <= set(texts("en"))
