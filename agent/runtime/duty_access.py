"""Commands and the state machine of shifts: who acts, and its refusals as those of the socket."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from agent.runtime.commands import CommandRefusedError
from agent.shift.errors import ShiftError
from agent.shift.ports import OnDuty

if TYPE_CHECKING:
    from collections.abc import Iterator

    from agent.runtime.commands import Caller


@contextmanager
def refusals() -> Iterator[None]:
    """Turn refusals of the state machine into those of the socket."""
    try:
        yield
    except ShiftError as error:
        raise CommandRefusedError(error.code, str(error), wait_s=error.wait_s) from None


def officer_of(caller: Caller) -> OnDuty:
    """Return who is signed on; raises CommandRefusedError."""
    if not isinstance(caller.officer, OnDuty):
        raise CommandRefusedError("not_signed_on", "sign on first")
    return caller.officer
