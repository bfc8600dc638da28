"""What survives a power cut: one small JSON document with its own hash, replaced as a whole.

It holds employees' data and drafts in clear text until they are sent, in a file that only the agent can read.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from agent.shift.attempts import Attempts
from agent.shift.coverage import CoverageTotals
from agent.shift.errors import ShiftError
from agent.shift.incidents import IncidentDraft  # noqa: TC001 - pydantic resolves it
from agent.shift.shifts import ShiftState  # noqa: TC001 - as above

FORMAT = 1
MAX_STATE_BYTES = 16 * 2**20


@dataclass(frozen=True, slots=True)
class Pending:
    """A record that was handed over for the outbox, and is not known to be there."""

    schema: str
    key: str
    """Identifies it, by its contents."""
    boot: str
    fields: str
    """Its body as JSON, with bytes in hexadecimal."""


@dataclass(frozen=True, slots=True)
class DutyState:
    """The whole state."""

    format: int = FORMAT
    roster_version: int = 0
    """The highest that was ever installed."""
    attempts: Attempts = field(default_factory=Attempts)
    used_tokens: tuple[tuple[str, int], ...] = ()
    """Nonce and expiry (seconds UTC) of accepted tokens."""
    shifts: tuple[ShiftState, ...] = ()
    drafts: tuple[IncidentDraft, ...] = ()
    coverage: CoverageTotals = field(default_factory=CoverageTotals)
    pending: tuple[Pending, ...] = ()


_ADAPTER: TypeAdapter[DutyState] = TypeAdapter(DutyState)


def dump_state(state: DutyState) -> bytes:
    """Return the document: its SHA-256 in hexadecimal, a line end, then JSON."""
    document: dict[str, Any] = _ADAPTER.dump_python(state, mode="json")
    document["attempts"].pop("waits")  # on the clock of this boot
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    return hashlib.sha256(data).hexdigest().encode() + b"\n" + data


def load_state(document: bytes) -> DutyState:
    """Parse a document; raises ShiftError (``damaged``) for anything that this version does not write."""
    digest, _, data = document.partition(b"\n")
    if hashlib.sha256(data).hexdigest().encode() != digest:
        raise ShiftError("damaged", "its hash does not match its contents")
    try:
        state = _ADAPTER.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise ShiftError("damaged", f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if state.format != FORMAT:
        raise ShiftError("damaged", f"its format is {state.format}, this version has {FORMAT}")
    return state
