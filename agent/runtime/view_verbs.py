"""The verb ``viewed``: a console says what its terminals have shown, and asks whether their officers are signed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from agent.runtime.commands import Arguments, Verb

if TYPE_CHECKING:
    from agent.runtime.commands import Caller
    from agent.runtime.feed_documents import Document
    from agent.runtime.view_audit import ViewAudit

Count = Annotated[int, Field(ge=0, le=1_000_000)]


class ViewedArguments(Arguments):
    """Arguments of ``viewed``."""

    terminal: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    reads: Count = 0
    hits: Count = 0


class ViewVerbs:
    """The verb; used by the command thread."""

    def __init__(self, views: ViewAudit) -> None:
        self._views = views

    def verbs(self) -> tuple[Verb, ...]:
        """The verb."""
        viewed = Verb("viewed", ViewedArguments, self.viewed, ("signed_on",), signed_on=False, is_activity=False)
        return (viewed,)

    def viewed(self, given: ViewedArguments, caller: Caller) -> Document:
        """Note what a terminal has shown."""
        for action, count in (("view_reads", given.reads), ("view_hits", given.hits)):
            if count:
                self._views.note(caller.badge, action, f"terminal {given.terminal}", count)
        return {"signed_on": caller.officer is not None}
