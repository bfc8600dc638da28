"""A link that can be switched off: simulated outages over any real link."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hw.ports import LinkDown, LinkDownError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hw.ports import Link, LinkEvent, Will


class LinkGate:
    """While shut, the underlying link is closed; each opening creates a new one."""

    def __init__(self, make: Callable[[], Link], *, is_open: bool = True) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._is_open = is_open
        self._inner: Link | None = None
        self._on_event: Callable[[LinkEvent], None] | None = None
        self._subscribe: tuple[str, ...] = ()
        self._will: Will | None = None
        self._closed = False

    def start(
        self, on_event: Callable[[LinkEvent], None], *, subscribe: tuple[str, ...], will: Will | None
    ) -> None:
        """See the port."""
        self._on_event, self._subscribe, self._will = on_event, subscribe, will
        if self._is_open:
            self._start_inner()

    def confirm(self) -> None:
        """See the port."""
        inner = self._inner
        if inner is not None:
            inner.confirm()

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool = False, qos: int = 1) -> None:
        """See the port."""
        inner = self._inner
        if inner is None:
            raise LinkDownError("the gate is shut")
        inner.publish(topic, payload, token=token, retain=retain, qos=qos)

    def open(self) -> None:
        """Bring the network up."""
        if not self._is_open and not self._closed:
            self._is_open = True
            self._start_inner()

    def shut(self) -> None:
        """Take the network down."""
        if self._is_open:
            self._is_open = False
            self._close_inner()
            if self._on_event is not None:
                self._on_event(LinkDown("network lost (script)"))

    def close(self) -> None:
        """See the port."""
        self._closed = True
        self._close_inner()

    def _start_inner(self) -> None:
        if self._on_event is None:
            return
        inner = self._make()
        with self._lock:
            self._inner = inner
        inner.start(self._on_event, subscribe=self._subscribe, will=self._will)

    def _close_inner(self) -> None:
        with self._lock:
            inner, self._inner = self._inner, None
        if inner is not None:
            inner.close()
