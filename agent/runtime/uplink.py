"""The link and the uplink's thread."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import structlog

from agent.errors import OutboxDiskError
from agent.runtime.component import Component
from hw.ports import LinkDown, LinkUp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from agent.buffer import OutboxReader
    from agent.runtime.component import Tick
    from agent.runtime.queues import UplinkQueue
    from agent.runtime.supervisor import Supervisor, WorkerContext
    from agent.sync.uplink import Uplink
    from hw.ports import Clock, Link, LinkEvent, Will

_LOG = structlog.get_logger(__name__)
_STUCK_PAUSE_S = 0.5
_ROUND_S = 0.1
_DEADLINE_S = 10.0
_STOP_S = 5.0
_UNDELIVERED_S = 300.0
"""Time without a receipt, while records wait, after which it is reported."""


def uplink_loop(
    uplink: Uplink,
    uplink_queue: UplinkQueue,
    clock: Clock,
    *,
    on_link: Callable[[bool, str], None],
    may_take: Callable[[], bool] = lambda: True,
) -> Callable[[WorkerContext], None]:
    """Outbox -> link, and receipts and nacks back; while ``may_take`` is false, no events of the link are taken."""

    def loop(worker: WorkerContext) -> None:
        while not worker.stopping:
            worker.beat()
            if not may_take():
                worker.pause(_ROUND_S)
                continue
            for item in uplink_queue.take():
                _deliver(uplink, item, clock.mono_ns(), on_link)
            try:
                uplink.pump(clock.mono_ns())
            except OutboxDiskError as error:
                _LOG.warning("outbox_unreadable", reason=str(error))
                worker.pause(_STUCK_PAUSE_S)

    return loop


def _deliver(
    uplink: Uplink, item: LinkEvent | tuple[str, bytes], now_ns: int, on_link: Callable[[bool, str], None]
) -> None:
    match item:
        case ("health", bytes() as payload):
            uplink.offer_health(payload)
        case ("status", bytes() as payload):
            uplink.set_status(payload)
        case ("report", bytes() as payload):
            uplink.set_report(payload)
        case tuple():
            raise ValueError(f"unknown message {item[0]}")
        case _:
            uplink.handle(item, now_ns)
            if isinstance(item, LinkUp):
                on_link(True, "")
            elif isinstance(item, LinkDown):
                on_link(False, item.reason)


class UplinkComponent(Component):
    """Sends what waits in the outbox, in a thread of its own."""

    name = "uplink"

    def __init__(
        self,
        uplink: Uplink,
        uplink_queue: UplinkQueue,
        waiting: OutboxReader,
        supervisor: Supervisor,
        clock: Clock,
        *,
        unmetered_interfaces: tuple[str, ...] = (),
        may_take: Callable[[], bool] = lambda: True,
    ) -> None:
        """``waiting`` is the uplink's own connection to the outbox; closed at the stop.  ``may_take``: see the loop."""
        self._may_take = may_take
        self._uplink = uplink
        self._uplink_queue = uplink_queue
        self._waiting = waiting
        self._supervisor = supervisor
        self._clock = clock
        self._unmetered = unmetered_interfaces
        self._listeners: list[Callable[[bool, str], None]] = []
        self._up = False
        self._told = ""

    def subscribe(self, listener: Callable[[bool, str], None]) -> None:
        """Call ``listener`` with up and reason when the link changes, in the uplink's thread; before the start only."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Start the thread."""
        loop = uplink_loop(
            self._uplink, self._uplink_queue, self._clock, on_link=self._on_link, may_take=self._may_take
        )
        self._supervisor.spawn(self.name, loop, deadline_s=_DEADLINE_S)

    def watch(self, tick: Tick) -> None:
        """Set whether the current link is metered (an unknown one is); log when deliveries stop and resume."""
        interface = tick.vitals.default_interface
        self._uplink.set_metered(metered=interface is None or not interface.startswith(self._unmetered))
        cause = self.undelivered
        if cause != self._told:
            self._told = cause
            if cause:
                _LOG.warning("not_delivered", reason=self._uplink.delivery.sentence)
            else:
                _LOG.info("delivered_again")

    def stop(self) -> None:
        """Join the thread.  Raises ThreadStuckError; the thread's connection to the outbox then stays open."""
        self._supervisor.stop(self.name, timeout_s=_STOP_S)
        self._uplink_queue.close()
        self._waiting.close()

    def _on_link(self, up: bool, reason: str) -> None:
        was, self._up = self._up, up
        _LOG.info("link_up") if up else _LOG.warning("link_down", reason=reason)
        # The port allows two LinkDown events for one outage.
        if up is not was:
            for listener in self._listeners:
                listener(up, reason)

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._supervisor.alive(self.name)

    @property
    def is_up(self) -> bool:
        """True while connected."""
        return self._up

    @property
    def undelivered(self) -> str:
        """Why nothing is receipted; empty if receipts arrive, nothing waits, or it is only for minutes."""
        delivery = self._uplink.delivery
        return delivery.cause if delivery.undelivered_s >= _UNDELIVERED_S else ""

    @property
    def metered(self) -> bool:
        """True while the link is metered or unknown."""
        return self._uplink.metered

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        counted = {f"uplink.{name}": value for name, value in asdict(self._uplink.counts).items()}
        return counted | {"uplink.dropped": self._uplink_queue.dropped}

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {
            "uplink.up": int(self._uplink.is_up),
            "uplink.undelivered_s": round(self._uplink.delivery.undelivered_s),
            "uplink.unreceipted": self._uplink.unreceipted,
            "uplink.metered": int(self._uplink.metered),
            "uplink.pictures_wait_for_budget": int(self._uplink.pictures_held_back),
        }


class LinkComponent(Component):
    """The connection."""

    name = "link"

    def __init__(self, link: Link, uplink_queue: UplinkQueue, subscribe: tuple[str, ...], will: Will) -> None:
        self._link = link
        self._uplink_queue = uplink_queue
        self._subscribe = subscribe
        self._will = will

    def start(self) -> None:
        """Connect in the background."""
        self._link.start(self._uplink_queue.event, subscribe=self._subscribe, will=self._will)

    def stop(self) -> None:
        """Disconnect cleanly."""
        self._link.close()
