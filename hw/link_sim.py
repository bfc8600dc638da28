"""A scripted link: up, down, lost acknowledgements, refusals; no threads, no network."""

from __future__ import annotations

import heapq
import threading
from typing import TYPE_CHECKING

from hw.ports import Acked, LinkDown, LinkDownError, LinkEvent, LinkUp, Received, Refused, Will

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hw.ports import Clock
    from hw.script import Action

_NS_PER_MS = 1_000_000
_NOT_AUTHORISED = 0x87


class LinkSim:
    """Hands messages to ``peer`` at once and its answers back at the next ``step``.

    Events never come from inside ``publish``: they wait for ``step``, at the earliest ``latency_ms`` later.  Starts
    down; ``up`` and ``down`` come from the caller or, through ``apply``, from a drive's script.
    """

    def __init__(
        self,
        peer: Callable[[str, bytes], Iterable[tuple[str, bytes]]],
        clock: Clock,
        *,
        latency_ms: int = 0,
        window: int = 16,
    ) -> None:
        self._peer = peer
        self._clock = clock
        self._latency_ns = latency_ms * _NS_PER_MS
        self._window = window
        self._lock = threading.RLock()
        self._on_event: Callable[[LinkEvent], None] | None = None
        self._will: Will | None = None
        self._waiting: list[tuple[int, int, LinkEvent]] = []
        self._counter = 0
        self._in_flight: set[int] = set()
        self._is_up = False
        self._closed = False
        self._acks_to_drop = 0
        self._to_refuse = 0
        self._refusal = (_NOT_AUTHORISED, "")
        self.retained: dict[str, bytes] = {}
        """Last retained message of each topic."""

    def start(
        self,
        on_event: Callable[[LinkEvent], None],
        *,
        subscribe: tuple[str, ...],  # noqa: ARG002 - the scripted peer says what comes
        will: Will | None,
    ) -> None:
        """See the port; raises RuntimeError when started twice."""
        with self._lock:
            if self._on_event is not None or self._closed:
                raise RuntimeError("a link starts once")
            self._on_event = on_event
            self._will = will
            if self._is_up:
                self._post(LinkUp(self._window))

    def confirm(self) -> None:
        """See the port."""

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool = False, qos: int = 1) -> None:
        """See the port."""
        with self._lock:
            if self._on_event is None or not self._is_up or self._closed:
                raise LinkDownError("link is down")
            if qos and len(self._in_flight) >= self._window:
                raise LinkDownError(f"window is full: {self._window} messages in flight")
            if qos:
                self._in_flight.add(token)
                if self._to_refuse:
                    self._to_refuse -= 1
                    self._post(Refused(token, *self._refusal))
                    return
            if retain:
                self.retained[topic] = payload
            answers = list(self._peer(topic, payload))
            if qos and self._acks_to_drop:
                self._acks_to_drop -= 1
                return
            if qos:
                self._post(Acked(token))
            for answer_topic, answer in answers:
                self._post(Received(answer_topic, answer))

    def step(self) -> int:
        """Deliver the events that are due; returns their number."""
        delivered = 0
        while True:
            with self._lock:
                if self._on_event is None or not self._waiting or self._waiting[0][0] > self._clock.mono_ns():
                    return delivered
                event = heapq.heappop(self._waiting)[2]
                if isinstance(event, Acked | Refused):
                    self._in_flight.discard(event.token)
                on_event = self._on_event
            on_event(event)
            delivered += 1

    def next_due_ns(self) -> int | None:
        """Due time of the next event on the monotonic clock; None if there is none."""
        with self._lock:
            return self._waiting[0][0] if self._waiting else None

    def up(self) -> None:
        """Bring the network up."""
        with self._lock:
            if not self._is_up and not self._closed:
                self._is_up = True
                if self._on_event is not None:
                    self._post(LinkUp(self._window))

    def down(self, reason: str = "network lost") -> None:
        """Take the network down; messages to us are lost, and the peer receives the will."""
        with self._lock:
            if not self._is_up:
                return
            self._lose_everything()
            if self._on_event is not None:
                self._post(LinkDown(reason))
            if self._will is not None:
                self.retained[self._will.topic] = self._will.payload
                self._peer(self._will.topic, self._will.payload)

    def drop_acks(self, n: int) -> None:
        """The peer receives the next ``n`` messages, but its acknowledgements and answers are lost."""
        self._acks_to_drop = n

    def refuse(self, n: int = 1, *, code: int = _NOT_AUTHORISED, reason: str = "not authorised") -> None:
        """The peer refuses the next ``n`` messages with an MQTT 5 reason code."""
        self._to_refuse = n
        self._refusal = (code, reason)

    def apply(self, action: Action) -> bool:
        """Apply a ``link.*`` verb of a script; False for other verbs."""
        match action.do:
            case "link.up":
                self.up()
            case "link.down":
                self.down()
            case "link.drop_acks":
                self.drop_acks(action.integer("n", 1))
            case "link.refuse":
                self.refuse(
                    action.integer("n", 1),
                    code=action.integer("code", _NOT_AUTHORISED),
                    reason=action.word("reason", "not authorised"),
                )
            case _:
                return False
        return True

    def close(self) -> None:
        """See the port: clean disconnect, no will and no more events."""
        with self._lock:
            self._closed = True
            self._lose_everything()

    def _lose_everything(self) -> None:
        self._is_up = False
        self._waiting.clear()
        self._in_flight.clear()

    def _post(self, event: LinkEvent) -> None:
        self._counter += 1
        heapq.heappush(self._waiting, (self._clock.mono_ns() + self._latency_ns, self._counter, event))
