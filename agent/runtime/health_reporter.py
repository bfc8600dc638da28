"""The health message, once a minute: to the station, to systemd, to the file of metrics, and one line to the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from agent.runtime.component import Component
from agent.runtime.health import health_payload
from agent.runtime.metrics_file import MetricsFile

if TYPE_CHECKING:
    from agent.runtime.committing import CommitComponent
    from agent.runtime.component import Tick
    from agent.runtime.health import Health
    from agent.runtime.queues import UplinkQueue
    from agent.runtime.uplink import UplinkComponent
    from agent.sync.encoder import RecordEncoder
    from protocol.notify import Notifier

_LOG = structlog.get_logger(__name__)
_NS_PER_S = 1_000_000_000
_NS_PER_US = 1_000


class HealthReporter(Component):
    """Reports in the first round and then every ``every_s`` seconds."""

    name = "health"

    def __init__(
        self,
        health: Health,
        commit: CommitComponent,
        uplink: UplinkComponent,
        uplink_queue: UplinkQueue,
        notifier: Notifier,
        *,
        encoder: RecordEncoder,
        every_s: float,
        metrics: MetricsFile | None = None,
    ) -> None:
        self._health = health
        self._commit = commit
        self._uplink = uplink
        self._uplink_queue = uplink_queue
        self._notifier = notifier
        self._encoder = encoder
        self._every_ns = round(every_s * _NS_PER_S)
        self._due_ns = 0
        self._metrics = metrics or MetricsFile(None)

    def watch(self, tick: Tick) -> None:
        """Report when it is due."""
        if tick.t_mono_ns >= self._due_ns:
            self._due_ns = tick.t_mono_ns + self._every_ns
            self._report(tick)

    def _report(self, tick: Tick) -> None:
        vitals, writing = tick.vitals, self._health.writing
        if writing.step(vitals.written_bytes, tick.t_mono_ns):
            _LOG.warning("write_budget_exceeded", last_hour_bytes=writing.last_hour_bytes)
        stats, up = self._commit.stats(), self._uplink.is_up
        counters, gauges = self._health.counters(), self._health.gauges(vitals)
        self._metrics.write(counters, gauges)
        utc_ns, encoder = self._commit.utc_ns(tick.t_mono_ns), self._encoder
        utc_us = None if utc_ns is None else utc_ns // _NS_PER_US
        payload = health_payload(
            counters,
            gauges,
            unit=encoder.unit,
            boot_id=encoder.boot_id,
            t_mono_ns=tick.t_mono_ns,
            utc_ns=utc_ns,
            seq_high=stats.next_seq - 1,
            life=encoder.life,
            head=encoder.head(stats, mono_us=tick.t_mono_ns // _NS_PER_US, utc_us=utc_us),
        )
        self._uplink_queue.health(payload)
        undelivered = self._uplink.undelivered
        link = f"link {'up' if up else 'down'}" + (f", nothing receipted: {undelivered}" if undelivered else "")
        self._notifier.status(f"{stats.appended} reads, {stats.reads} waiting, {link}")
        _LOG.info("health", appended=stats.appended, waiting=stats.reads, link_up=up, rss=vitals.rss_bytes)
