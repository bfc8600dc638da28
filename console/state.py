"""State of the console, reduced from the documents of the agent's feed.  Pure: no clock, no socket."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from console.errors import FeedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Document = dict[str, Any]
"""One JSON object."""

FEED_VERSION = 1
MAX_READS = 50
MAX_HITS = 700
"""What the agent keeps at most: 500 open ones and 200 decided ones."""
OLD_AFTER_S = 4.0
"""Age of the last heartbeat from which data counts as old; the page says so within five seconds."""
WALKING_PACE_MPS = 2.0
"""Above this speed nothing can be typed."""
LOST_FIX_HOLD_MS = 60_000
"""Without a fix, the last speed holds for so long: a tunnel does not unlock the keyboard."""
OPEN_STATES = frozenset({"new", "acknowledged"})
_ABOUT_HITS_AND_READS = frozenset({"event", "n", "reads", "hits", "late"})


class Section(StrEnum):
    """Part of the page that is sent as a whole when it changes."""

    BEAT = "beat"
    """Sent with every heartbeat: connection, speed lock, time."""
    READS = "reads"
    HITS = "hits"
    UNIT = "unit"
    SHIFT = "shift"


@dataclass(frozen=True, slots=True)
class ConsoleState:
    """Everything that the page shows."""

    connected: bool = False
    stopping: bool = False
    n: int | None = None
    """Number of the last event of this connection; None before its snapshot."""
    heartbeat_s: float | None = None
    """When the last heartbeat or snapshot came, seconds of the monotonic clock; None before the first."""
    unit: Mapping[str, Any] = field(default_factory=dict)
    """The keys of ``state`` in docs/feed.md, and those about the unit."""
    reads: tuple[Document, ...] = ()
    """Newest first."""
    hits: tuple[Document, ...] = ()
    """Open hits, and those decided since the snapshot; newest first."""


def reduce(state: ConsoleState, document: Mapping[str, Any], t_s: float) -> ConsoleState:
    """Apply one document of the feed, received at ``t_s``.

    Unknown events are ignored.  Raises FeedError for a gap in the numbers, and for what is no document of the feed.
    """
    event, n = document.get("event"), document.get("n")
    if not isinstance(event, str) or not isinstance(n, int):
        raise FeedError("the feed sent an object without event or number: connect again")
    if event == "snapshot":
        return _snapshot(document, n, t_s)
    if state.n is None or n != state.n + 1:
        raise FeedError(f"event {n} follows {state.n}: events were lost, connect again")
    act = _EVENTS.get(event)
    state = replace(state, n=n)
    return state if act is None else act(state, document, t_s)


def disconnected(state: ConsoleState) -> ConsoleState:
    """The feed's connection is gone; what was shown stays, marked as old."""
    return replace(state, connected=False, n=None)


def changed(before: ConsoleState, after: ConsoleState) -> frozenset[Section]:
    """Sections that differ."""
    found = set()
    if (before.heartbeat_s, before.connected, before.stopping) != (
        after.heartbeat_s,
        after.connected,
        after.stopping,
    ):
        found.add(Section.BEAT)
    if before.reads is not after.reads:
        found.add(Section.READS)
    if before.hits is not after.hits:
        found.add(Section.HITS)
    if before.unit is not after.unit:
        found.add(Section.UNIT)
    if open_shifts(before) != open_shifts(after):
        found.add(Section.SHIFT)
    return frozenset(found)


def is_fresh(state: ConsoleState, t_s: float) -> bool:
    """True while the agent's heartbeats arrive."""
    return state.connected and state.heartbeat_s is not None and t_s - state.heartbeat_s <= OLD_AFTER_S


def is_entry_locked(state: ConsoleState) -> bool:
    """True while the vehicle moves faster than a walk: nothing can be typed.

    A vehicle that has lost its fix keeps its last speed for a minute.  Without a receiver nothing is locked.
    """
    fix = state.unit.get("fix")
    if not isinstance(fix, dict):
        return False
    speed, age = fix.get("speed_mps"), fix.get("age_ms")
    if not isinstance(speed, int | float) or not isinstance(age, int | float):
        return False
    return speed > WALKING_PACE_MPS and age <= LOST_FIX_HOLD_MS


def open_shifts(state: ConsoleState) -> list[Document]:
    """All open shifts; an agent that does not list them has at most the one of its ``shift``."""
    told = state.unit.get("shifts", [state.unit.get("shift")])
    return [shift for shift in told if isinstance(shift, dict)] if isinstance(told, list) else []


def table(value: object) -> Document:
    """The value if it is an object, otherwise an empty one."""
    return value if isinstance(value, dict) else {}


def hit_of(state: ConsoleState, hit_id: str) -> Document | None:
    """The hit with this id."""
    return next((hit for hit in state.hits if hit["hit_id"] == hit_id), None)


def _heartbeat(state: ConsoleState, document: Mapping[str, Any], t_s: float) -> ConsoleState:
    return replace(state, unit={**state.unit, **_about(document)}, heartbeat_s=t_s)


def _read(state: ConsoleState, document: Mapping[str, Any], _: float) -> ConsoleState:
    return replace(state, reads=_latest(state.reads, [_object(document, "read")], "read_id")[:MAX_READS])


def _hit(state: ConsoleState, document: Mapping[str, Any], _: float) -> ConsoleState:
    return replace(state, hits=_bounded(_latest(state.hits, [_object(document, "hit")], "hit_id")))


def _lamp(state: ConsoleState, document: Mapping[str, Any], _: float) -> ConsoleState:
    return replace(state, unit={**state.unit, "lamp": document.get("lamp")})


def _link(state: ConsoleState, document: Mapping[str, Any], _: float) -> ConsoleState:
    link = {**table(state.unit.get("link")), "up": document.get("up")}
    return replace(state, unit={**state.unit, "link": link})


def _stopping(state: ConsoleState, _: Mapping[str, Any], __: float) -> ConsoleState:
    return replace(state, stopping=True)


_EVENTS: Mapping[str, Callable[[ConsoleState, Mapping[str, Any], float], ConsoleState]] = {
    "heartbeat": _heartbeat,
    "read": _read,
    "hit": _hit,
    "lamp": _lamp,
    "link": _link,
    "stopping": _stopping,
}


def _snapshot(document: Mapping[str, Any], n: int, t_s: float) -> ConsoleState:
    if document.get("version") != FEED_VERSION:
        raise FeedError(
            f"the feed has version {document.get('version')}, this console reads {FEED_VERSION}: "
            "update the older of the two"
        )
    reads, hits = _list(document, "reads"), _list(document, "hits")
    return ConsoleState(
        connected=True,
        n=n,
        heartbeat_s=t_s,
        unit=_about(document),
        reads=_latest((), reads, "read_id")[:MAX_READS],
        hits=_bounded(_latest((), hits, "hit_id")),
    )


def _about(document: Mapping[str, Any]) -> Document:
    return {key: value for key, value in document.items() if key not in _ABOUT_HITS_AND_READS}


def _list(document: Mapping[str, Any], key: str) -> list[Any]:
    value = document.get(key) or []
    if not isinstance(value, list):
        raise FeedError(f"the feed sent {key} that is no list: connect again")
    return value


def _object(document: Mapping[str, Any], key: str) -> Document:
    value = document.get(key)
    if not isinstance(value, dict):
        raise FeedError(f"the feed sent {key} without its object: connect again")
    return value


def _latest(items: tuple[Document, ...], new: Iterable[Any], key: str) -> tuple[Document, ...]:
    """Add items, oldest first, in front; one with the same id is replaced where it is."""
    found = list(items)
    for item in new:
        if not isinstance(table(item).get(key), str):
            raise FeedError(f"the feed sent an item without {key}: connect again")
        place = next((i for i, other in enumerate(found) if other[key] == item[key]), None)
        if place is None:
            found.insert(0, item)
        else:
            found[place] = item
    return tuple(found)


def _bounded(hits: tuple[Document, ...]) -> tuple[Document, ...]:
    """At most ``MAX_HITS``: the oldest decided ones are dropped first, those that wait for an officer last."""
    excess = len(hits) - MAX_HITS
    if excess <= 0:
        return hits
    decided = [hit["hit_id"] for hit in hits if hit.get("state") not in OPEN_STATES]
    dropped = frozenset(decided[-excess:])
    return tuple(hit for hit in hits if hit["hit_id"] not in dropped)[:MAX_HITS]
