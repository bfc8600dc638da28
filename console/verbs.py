"""Commands that the page may send, with the types of their arguments; anything else never reaches the agent."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from console.views import CHECKS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from console.state import Document

MAX_TEXT = 64
MAX_TOKEN = 1024
MAX_NOTE = 256
MAX_HOURS = 24
"""The policy may permit less."""
MAX_ITEMS = 16
MAX_LINKS = 64
MAX_POLYGON = 32
_HEX_ID = re.compile(r"[0-9a-f]{32}")
_CODE = re.compile(r"[a-z0-9_-]{1,36}")


def _text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TEXT and value.isprintable()


def _note(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_NOTE and value.isprintable()


def _token(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= MAX_TOKEN and value.isascii() and value.isprintable()


def _hours(value: Any) -> bool:
    return type(value) is int and 1 <= value <= MAX_HOURS


def _code(value: Any) -> bool:
    return isinstance(value, str) and _CODE.fullmatch(value) is not None


def _hex_id(value: Any) -> bool:
    return isinstance(value, str) and _HEX_ID.fullmatch(value) is not None


def _texts(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_ITEMS and all(map(_text, value))


def _ids(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_LINKS and all(map(_hex_id, value))


def _either(value: Any) -> bool:
    return value is None or isinstance(value, bool)


def _checks(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == set(CHECKS) and all(map(_either, value.values()))


def _polygon(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_POLYGON and all(map(_point, value))


def _point(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2  # noqa: PLR2004 - x and y
        and all(isinstance(one, int | float) and not isinstance(one, bool) and 0 <= one <= 1 for one in value)
    )


def _one_of(*known: Any) -> Callable[[Any], bool]:
    return lambda value: any(value == one and type(value) is type(one) for one in known)


def _notes(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= MAX_ITEMS and all(map(_note, value))


def _hex_id_or_none(value: Any) -> bool:
    return value is None or _hex_id(value)


def _code_or_empty(value: Any) -> bool:
    return value == "" or _code(value)


VERBS: Mapping[str, Mapping[str, Callable[[Any], bool]]] = {
    "acknowledge": {"hit_id": _hex_id},
    "check": {
        "hit_id": _hex_id,
        "check": _one_of(*CHECKS),
        "holds": _either,
    },
    "dispose": {
        "hit_id": _hex_id,
        "checks": _checks,
        "decision": _one_of("confirm", "reject"),
        "reason": _code_or_empty,
        "confirming_agency": _text,
        "reference": _text,
    },
    "outcome": {"hit_id": _hex_id, "code": _code},
    "watch_plate": {"text": _text, "region": _text, "reason": _text, "hours": _hours},
    "unwatch_plate": {"entry_id": _hex_id},
    "watched_plates": {},
    "sign_on": {
        "badge": _text,
        "pin": _text,
        "token": _token,
        "role": _text,
        "crew": _texts,
        "vehicle": _text,
        "zone": _text,
        "checkpoint": _text,
        "task": _text,
        "equipment": _texts,
    },
    "sign_off": {},
    "unlock": {"badge": _text, "supervisor": _text, "pin": _text},
    "shift": {},
    "activity": {"kind": _code},
    "incidents": {},
    "incident_save": {
        "incident_id": _hex_id_or_none,
        "where": _note,
        "category": _code_or_empty,
        "case_number": _text,
        "notes": _notes,
        "reads": _ids,
        "hits": _ids,
        "people": _texts,
        "contribution": _code_or_empty,
        "outcome": _code_or_empty,
    },
    "incident_close": {"incident_id": _hex_id, "contribution": _code, "outcome": _code},
    "mountings": {},
    "set_mask": {"camera": _text, "polygon": _polygon},
    "set_rotation": {"camera": _text, "degrees": _one_of(0, 90, 180, 270)},
}
"""Verbs and their arguments.  ``check`` stays in the console."""
SECRETS = frozenset({"sign_on", "unlock"})
"""Verbs with a PIN: the console limits them together, before the agent does."""
_TYPED = frozenset(
    {"watch_plate", "sign_on", "unlock", "incident_save", "incident_close", "set_mask", "set_rotation"}
)


def is_typed(verb: str, arguments: Document) -> bool:
    """True for what a person types or draws: refused while the vehicle moves."""
    return verb in _TYPED or (verb == "dispose" and arguments["decision"] == "confirm")


def arguments_of(verb: str, document: Mapping[str, Any]) -> Document | None:
    """Return the arguments if all are there, none is unknown and each is valid; otherwise None."""
    known = VERBS.get(verb)
    if known is None or set(document) != set(known):
        return None
    return dict(document) if all(known[key](value) for key, value in document.items()) else None
