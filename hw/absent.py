"""Back ends for ``kind = "none"``, so that the runtime needs no special case."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from hw.ports import Button, Buzz, HitLamp, Lamp, LinkDownError, LinkEvent, NmeaLine, Will

if TYPE_CHECKING:
    from collections.abc import Callable


class GnssAbsent:
    """A receiver that sends nothing."""

    def __init__(self) -> None:
        self._closed = threading.Event()

    def next_line(self, *, timeout_s: float) -> NmeaLine | None:
        """Wait, then None."""
        self._closed.wait(timeout_s)
        return None

    @property
    def dropped_lines(self) -> int:
        """0: nothing comes."""
        return 0

    @property
    def unused_reports(self) -> int:
        """0: there is no gpsd."""
        return 0

    def close(self) -> None:
        """See the port."""
        self._closed.set()


class PanelAbsent:
    """Shows nothing; ignition counts as on."""

    @property
    def ignition_on(self) -> bool:
        """True: none is wired."""
        return True

    def set_lamp(self, lamp: Lamp) -> None:
        """Does nothing."""

    def set_hit_lamp(self, lamp: HitLamp) -> None:
        """Does nothing."""

    def take_presses(self) -> tuple[Button, ...]:
        """No buttons."""
        return ()

    def hush(self) -> None:
        """Does nothing."""

    def buzz(self, sound: Buzz) -> None:
        """Does nothing."""

    def set_illuminator(self, *, on: bool) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Nothing to release."""


class LinkAbsent:
    """Never up: reads stay in the outbox."""

    def start(
        self, on_event: Callable[[LinkEvent], None], *, subscribe: tuple[str, ...], will: Will | None
    ) -> None:
        """No events."""

    def confirm(self) -> None:
        """See the port."""

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool = False, qos: int = 1) -> None:
        """Raise LinkDownError."""
        del topic, payload, token, retain, qos
        raise LinkDownError("no link is configured")

    def close(self) -> None:
        """Nothing to release."""
