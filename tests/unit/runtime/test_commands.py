"""One command line in, one answer out: hostile lines are refused, and none of them does anything."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.runtime.commands import ERRORS, Arguments, CommandRefusedError, Commands, Verb
from tests.conftest import ROOT


class Adding(Arguments):
    a: int
    b: int = 0


class OneOfficer:
    badge, role, shift_id = "1234", "patrol", None

    def officer_of(self, session, *, used=True):
        return self if session == "token" else None


def refuse(arguments, caller):
    raise CommandRefusedError("closed", "wait until it opens")


@pytest.fixture
def commands():
    made = Commands(OneOfficer())
    made.add(
        (
            Verb("add", Adding, lambda given, caller: {"sum": given.a + given.b}, signed_on=False),
            Verb("who", Arguments, lambda given, caller: {"badge": caller.badge}),
            Verb("refuse", Arguments, refuse, signed_on=False),
        )
    )
    return made


def ask(commands, **document):
    return json.loads(commands.answer(json.dumps(document).encode()))


def test_verb_gets_its_arguments_and_the_answer_has_the_id(commands):
    assert ask(commands, id=7, verb="add", a=2, b=3) == {"id": 7, "ok": True, "sum": 5}
    assert (commands.answered, commands.refused) == (1, 0)


def test_verb_that_acts_for_an_officer_needs_a_session(commands):
    assert ask(commands, id=1, verb="who", session="token") == {"id": 1, "ok": True, "badge": "1234"}
    for session in ({}, {"session": ""}, {"session": "stolen"}):
        assert ask(commands, id=1, verb="who", **session)["error"] == "not_signed_on"


def test_without_a_roster_nobody_acts_for_an_officer():
    commands = Commands()
    commands.add((Verb("who", Arguments, lambda given, caller: {}),))
    assert ask(commands, id=1, verb="who", session="token")["error"] == "not_signed_on"


def test_refusal_of_a_verb_is_its_code_and_message(commands):
    assert ask(commands, id=1, verb="refuse") == {
        "id": 1, "ok": False, "error": "closed", "message": "wait until it opens",
    }  # fmt: skip
    assert commands.refused == 1


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"nonsense", b"[]", b"7", b"null", b"{}", b'{"id": 1}', b'{"verb": "add"}',
        b'{"id": "1", "verb": "add"}', b'{"id": true, "verb": "add"}', b'{"id": 1.0, "verb": "add"}',
        b'{"id": 1, "verb": 5}', b'{"id": 1, "verb": null}', b'{"id": 1, "verb": "add", "session": 5}',
        b'{"id": NaN, "verb": "add"}', b'{"id": 9007199254740993, "verb": "add"}',
        b'{"id": 1, "verb": "' + b"x" * 65 + b'"}', b"\xff\xfe",
        b'{"id": 1, "verb": "add", "a": Infinity}', "é".encode("latin-1"), b"[" * 60_000,
        b'{"id": 1, "verb": "add", "a": ' + b"[" * 60_000, b"1" * 60_000,
    ],
)  # fmt: skip
def test_malformed_line_is_refused(commands, line):
    assert json.loads(commands.answer(line))["error"] == "malformed"


@pytest.mark.parametrize(
    "arguments",
    [{}, {"a": "2"}, {"a": 2.5}, {"a": True}, {"a": None}, {"a": 2, "c": 3}, {"a": [2]}, {"a": "\ud800"}],
)
def test_argument_that_is_missing_unknown_or_of_another_type_is_refused(commands, arguments):
    answer = ask(commands, id=1, verb="add", **arguments)
    assert answer["error"] == "bad_arguments"
    assert answer["message"].startswith("add: ")


def test_refusal_does_not_repeat_what_was_sent(commands):
    """It may be a PIN."""
    assert "4711" not in json.dumps(ask(commands, id=1, verb="add", a="4711"))
    assert "4711" not in json.dumps(ask(commands, id=1, verb="4711"))


def test_unknown_verb_names_the_known_ones(commands):
    answer = ask(commands, id=1, verb="subtract")
    assert (answer["error"], answer["message"]) == ("unknown_verb", "unknown verb; known are: add, refuse, who")


def test_two_verbs_of_one_name_are_a_mistake(commands):
    with pytest.raises(ValueError, match="two verbs add"):
        commands.add((Verb("add", Adding, lambda given, caller: {}),))


@given(st.binary(max_size=200) | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["id", "verb", "session", "a"]), inner),
).map(lambda value: json.dumps(value).encode()))  # fmt: skip
def test_every_line_gets_one_line_of_json(line):
    commands = Commands(OneOfficer())
    commands.add((Verb("add", Adding, lambda given, caller: {"sum": given.a}, signed_on=False),))
    answer = commands.answer(line)
    assert answer.endswith(b"\n")
    assert answer.count(b"\n") == 1
    assert set(json.loads(answer)) >= {"id", "ok"}


def sections(text):
    for name, body in re.findall(r"^### `(\w+)`\n(.*?)(?=^##|\Z)", text, flags=re.MULTILINE | re.DOTALL):
        rows = {"argument": set(), "answer": set(), "error": set()}
        for kind, table in re.findall(
            r"^\| (\w+) \| \|\n\|---\|---\|\n((?:\|.*\n)*)", body + "\n", flags=re.MULTILINE
        ):
            rows[kind] = set(re.findall(r"^\| `(\w+)` \| \S", table, flags=re.MULTILINE))
        yield name, (rows["argument"], rows["answer"], rows["error"])


def test_every_verb_is_documented(unit_commands):
    """docs/commands.md lists exactly the verbs, arguments, answers and errors that there are."""
    text = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    there = {
        verb.name: (set(verb.arguments.model_fields), set(verb.answers), set(verb.errors))
        for verb in unit_commands
    }
    assert dict(sections(text)) == there
    of_all = re.search(r"^## Errors\n(.*?)^Each verb", text, flags=re.MULTILINE | re.DOTALL)
    assert set(re.findall(r"^\| `(\w+)` \| \S", of_all[1], flags=re.MULTILINE)) == set(ERRORS)
    for verb in unit_commands:
        section = text.split(f"### `{verb.name}`\n")[1].split("\n##")[0]
        assert ("Needs no session" in section) is not verb.signed_on, verb.name
