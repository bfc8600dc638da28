"""Tells the agent what each terminal has shown, for its audit log, and forgets officers whose session is over."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from console.errors import AgentUnavailableError, CommandRefusedError
from console.state import Section

if TYPE_CHECKING:
    from collections.abc import Callable

    from console.commands import Commander
    from console.sessions import BrowserSession, Sessions
    from console.state import Document

EVERY_S = 20.0
"""A session that has ended is noticed within this time, also by a terminal that nobody touches."""
_COUNTED = {Section.READS: "reads", Section.HITS: "hits"}


def note_shown(session: BrowserSession, section: Section, document: Document) -> None:
    """Count what is about to be shown, if it has plates in it."""
    name = _COUNTED.get(section)
    if name is not None and document.get(name):
        session.shown[name] += 1


async def report_views(
    sessions: Sessions, commander: Commander, on_signed_off: Callable[[], None], *, every_s: float = EVERY_S
) -> None:
    """Report for ever.  What could not be reported is reported the next time."""
    while True:
        await asyncio.sleep(every_s)
        for session in sessions.to_report():
            await _report(session, commander, on_signed_off)


async def _report(session: BrowserSession, commander: Commander, on_signed_off: Callable[[], None]) -> None:
    counts, officer = dict(session.shown), session.officer
    session.shown.clear()
    try:
        answer = await commander.send("viewed", officer, terminal=session.terminal, **counts)
    except (CommandRefusedError, AgentUnavailableError):
        session.shown.update(counts)
        return
    if officer is not None and session.officer == officer and answer.get("signed_on") is False:
        session.sign_off()
        on_signed_off()
