"""The console's one state, and the terminals that follow it.  Used by one event loop."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from console.state import ConsoleState, Section, changed, disconnected, hit_of, open_shifts, reduce
from console.views import CHECKS

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable

    from console.state import Document


class Follower:
    """One terminal: which sections have changed since it was last told.  A slow one misses steps, never the last."""

    def __init__(self) -> None:
        self._due: set[Section] = set(Section)
        self._woken = asyncio.Event()
        self._woken.set()
        self.closed = False

    def mark(self, sections: Iterable[Section]) -> None:
        """Sections have changed."""
        self._due.update(sections)
        self._woken.set()

    def close(self) -> None:
        """End the iteration."""
        self.closed = True
        self._woken.set()

    async def changes(self) -> AsyncIterator[list[Section]]:
        """Yield the changed sections until closed; at first, all."""
        while not self.closed:
            await self._woken.wait()
            self._woken.clear()
            due, self._due = sorted(self._due), set()
            if due and not self.closed:
                yield due


class Hub:
    """State, followers, and the officers' answers that were not sent to the agent yet."""

    def __init__(
        self, now_s: Callable[[], float], on_ended: Callable[[frozenset[str]], None] = lambda _: None
    ) -> None:
        """``on_ended`` is called with the ids of shifts that have ended."""
        self.now_s = now_s
        self.state = ConsoleState()
        self.checks: dict[str, Document] = {}
        self._on_ended = on_ended
        self._followers: set[Follower] = set()

    @property
    def followers(self) -> int:
        """Terminals that follow."""
        return len(self._followers)

    def follow(self) -> Follower:
        """Add a terminal."""
        follower = Follower()
        self._followers.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        """Remove a terminal."""
        follower.close()
        self._followers.discard(follower)

    def apply(self, document: Document) -> None:
        """Take a document of the feed; raises FeedError."""
        self._become(reduce(self.state, document, self.now_s()))

    def lost_feed(self) -> None:
        """The feed's connection is gone."""
        self._become(disconnected(self.state))

    def set_check(self, hit_id: str, check: str, *, holds: bool | None) -> None:
        """An officer has answered one of the checks of a hit; all terminals show it."""
        if hit_of(self.state, hit_id) is not None and check in CHECKS:
            self.checks[hit_id] = {**self.checks.get(hit_id, {}), check: holds}
            self._mark((Section.HITS,))

    def refresh(self) -> None:
        """Send everything again: what a terminal may see has changed."""
        self._mark(Section)

    def close(self) -> None:
        """End all event streams, so that the server can stop."""
        for follower in tuple(self._followers):
            self.leave(follower)

    def _become(self, state: ConsoleState) -> None:
        before, self.state = self.state, state
        if state.connected and (ended := _shift_ids(before) - _shift_ids(state)):
            self._on_ended(ended)
        known = {hit["hit_id"] for hit in state.hits}
        self.checks = {hit_id: checks for hit_id, checks in self.checks.items() if hit_id in known}
        self._mark(changed(before, state))

    def _mark(self, sections: Iterable[Section]) -> None:
        for follower in self._followers:
            follower.mark(sections)


def _shift_ids(state: ConsoleState) -> frozenset[str]:
    return frozenset(str(shift.get("shift_id")) for shift in open_shifts(state))
