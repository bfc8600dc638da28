"""Commands to the agent: verbs with typed arguments, and the answer to one line.

A line is a JSON object with ``verb``, ``id`` and the verb's arguments; the answer is one line with the same ``id``.
Without threads and sockets: :mod:`agent.runtime.command_server` has those.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.errors import AgentError
from agent.runtime.feed_documents import encode_line

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from agent.runtime.feed_documents import Document

MAX_LINE_BYTES = 64 * 1024
"""Maximum length of a command with its line end."""
_OWN_KEYS = frozenset({"id", "verb", "session"})
_MAX_NAME = 64
_MAX_SESSION = 128
_MAX_ID = 2**53
_MAX_MESSAGE = 300

HexId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
"""An id of 16 bytes, 32 hexadecimal digits."""

ERRORS = {
    "malformed": "the line is not a JSON object with `id`, `verb` and, optionally, `session`",
    "too_long": "the line is longer than 64 KiB; the connection is closed",
    "unknown_verb": "there is no such verb",
    "bad_arguments": "an argument is missing, unknown or not valid; the message names it",
    "not_signed_on": "the verb acts for an officer: sign on first",
}
"""Errors of all verbs."""


class CommandRefusedError(AgentError):
    """A command that is not carried out: a code for programs and a message that says what to do."""

    def __init__(self, code: str, message: str, *, wait_s: int | None = None) -> None:
        """``wait_s``: seconds after which the same command can be sent again, where that is known."""
        super().__init__(message)
        self.code = code
        self.wait_s = wait_s


class Officer(Protocol):
    """Who acts, as the shift knows it."""

    @property
    def badge(self) -> str:
        """Badge number."""

    @property
    def role(self) -> str:
        """Role of the shift."""

    @property
    def shift_id(self) -> bytes | None:
        """Id of the shift, 16 bytes; None without shifts."""


class Officers(Protocol):
    """Knows who is signed on."""

    def officer_of(self, session: str, *, used: bool = True) -> Officer | None:
        """Return the officer of a session; None if it is unknown or over.

        ``used`` is False for what a view does by itself: it does not keep the session.
        """


class NobodySignsOn:
    """Officers of a unit without a roster: there are none."""

    def officer_of(self, session: str, *, used: bool = True) -> Officer | None:  # noqa: ARG002 - the port's
        """See :class:`Officers`."""
        return None


class Arguments(BaseModel):
    """Arguments of a verb: unknown keys are refused, types are not converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a command."""

    session: str
    """Empty if the command has none."""
    officer: Officer | None
    """None if nobody is signed on with this session."""

    @property
    def badge(self) -> str:
        """Badge number; empty if nobody is signed on."""
        return "" if self.officer is None else self.officer.badge

    @property
    def role(self) -> str:
        """Role; empty if nobody is signed on."""
        return "" if self.officer is None else self.officer.role


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb, called in the command thread; it must return within a second.

    ``act`` returns the keys of the answer or raises CommandRefusedError; anything else ends the process.
    """

    name: str
    arguments: type[Arguments]
    act: Callable[[Any, Caller], Document]
    answers: tuple[str, ...] = ()
    """Keys of the answer besides ``id`` and ``ok``, for the documentation."""
    errors: tuple[str, ...] = ()
    """Codes of its own, for the documentation."""
    signed_on: bool = True
    """True if it is refused without an officer."""
    is_activity: bool = True
    """False for what a view sends by itself: it does not keep the officer's session."""


class Commands:
    """The verbs of one run.  Verbs are added before the start, then it is used by one thread."""

    def __init__(self, officers: Officers | None = None) -> None:
        self._officers = officers or NobodySignsOn()
        self._verbs: dict[str, Verb] = {}
        self.answered = 0
        """Commands carried out since the start of the process."""
        self.refused = 0
        """Commands refused."""

    def add(self, verbs: Iterable[Verb]) -> None:
        """Add verbs.  Raises ValueError for a name that is taken."""
        for verb in verbs:
            if verb.name in self._verbs:
                raise ValueError(f"there are two verbs {verb.name}")
            self._verbs[verb.name] = verb

    def __iter__(self) -> Iterator[Verb]:
        return iter(self._verbs.values())

    def answer(self, line: bytes) -> bytes:
        """Carry out the command in a line; return the line of the answer."""
        number: int | None = None
        try:
            document = _parse(line)
            number = document.get("id")
            answer: Document = {"id": number, "ok": True, **self._act(document)}
        except CommandRefusedError as refusal:
            self.refused += 1
            answer = {"id": number, "ok": False, "error": refusal.code, "message": str(refusal)}
            if refusal.wait_s is not None:
                answer["wait_s"] = refusal.wait_s
        else:
            self.answered += 1
        return encode_line(answer)

    def _act(self, document: dict[str, Any]) -> Document:
        name, session = document["verb"], document.get("session", "")
        verb = self._verbs.get(name)
        if verb is None:
            raise CommandRefusedError("unknown_verb", f"unknown verb; known are: {', '.join(sorted(self._verbs))}")
        officer = self._officers.officer_of(session, used=verb.is_activity) if session else None
        if verb.signed_on and officer is None:
            raise CommandRefusedError("not_signed_on", f"{name} acts for an officer: sign on first")
        try:
            given = {key: value for key, value in document.items() if key not in _OWN_KEYS}
            arguments = verb.arguments.model_validate_json(json.dumps(given))
        except ValidationError as error:
            raise CommandRefusedError("bad_arguments", f"{name}: {_what(error)}") from None
        return verb.act(arguments, Caller(session, officer))


def too_long() -> bytes:
    """Return the answer to a line that is too long."""
    message = f"a command has at most {MAX_LINE_BYTES} bytes; the connection is closed"
    return encode_line({"id": None, "ok": False, "error": "too_long", "message": message})


def _parse(line: bytes) -> dict[str, Any]:
    """Return the object in a line, with its own keys checked; raises CommandRefusedError."""
    refusal = CommandRefusedError("malformed", "expected a JSON object with id, verb and, optionally, session")
    try:
        document = json.loads(line.decode("utf-8"), parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise refusal from None
    if not isinstance(document, dict):
        raise refusal
    number, verb, session = document.get("id"), document.get("verb"), document.get("session", "")
    numbered = type(number) is int and abs(number) <= _MAX_ID
    named = isinstance(verb, str) and len(verb) <= _MAX_NAME
    if not (numbered and named and isinstance(session, str) and len(session) <= _MAX_SESSION):
        raise refusal
    return document


def _refuse(_: str) -> None:
    raise ValueError("not a number")


def _what(error: ValidationError) -> str:
    """The mistakes without the values, which may hold a plate or a PIN."""
    told = "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'arguments'}: {item['msg']}"
        for item in error.errors(include_input=False, include_url=False, include_context=False)
    )
    return told if len(told) <= _MAX_MESSAGE else f"{told[:_MAX_MESSAGE]}..."
