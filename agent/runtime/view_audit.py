"""Bounded audit of what is done again and again, such as looking at reads: one entry at first, then one per period."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.runtime.component import Component

if TYPE_CHECKING:
    from agent.audit import Auditor
    from agent.runtime.component import Tick
    from hw.ports import Clock

PERIOD_S = 600
_NS_PER_S = 1_000_000_000
_MAX_KEYS = 256


@dataclass(slots=True)
class _Period:
    since_ns: int
    count: int = 0


class ViewAudit(Component):
    """Counts by person, action and object.  Any thread may note.

    The first time is an entry at once; what follows within ten minutes is one entry with its number at their end.
    """

    name = "view-audit"

    def __init__(self, auditor: Auditor, clock: Clock, *, period_s: float = PERIOD_S) -> None:
        self._auditor = auditor
        self._clock = clock
        self._period_ns = round(period_s * _NS_PER_S)
        self._lock = threading.Lock()
        self._of: OrderedDict[tuple[str, str, str], _Period] = OrderedDict()

    def note(self, who: str, action: str, obj: str = "", count: int = 1) -> None:
        """Note that somebody did something ``count`` times."""
        key = (who, action, obj)
        with self._lock:
            self._end(self._clock.mono_ns())
            period = self._of.get(key)
            if period is not None:
                period.count += count
                return
            if len(self._of) >= _MAX_KEYS:
                self._say(*self._of.popitem(last=False))
            self._of[key] = _Period(self._clock.mono_ns(), count - 1)
        self._auditor.add(who, action, obj)

    def watch(self, tick: Tick) -> None:
        """Write the entries of periods that are over."""
        with self._lock:
            self._end(tick.t_mono_ns)

    def stop(self) -> None:
        """Write what was counted."""
        with self._lock:
            while self._of:
                self._say(*self._of.popitem(last=False))

    def _end(self, now_ns: int) -> None:
        for key, period in list(self._of.items()):
            if now_ns - period.since_ns < self._period_ns:
                return  # in the order of their beginnings
            del self._of[key]
            self._say(key, period)
            if period.count:
                # It went on: what follows is one entry again, not two.
                self._of[key] = _Period(now_ns)

    def _say(self, key: tuple[str, str, str], period: _Period) -> None:
        if period.count:
            who, action, obj = key
            self._auditor.add(who, action, obj, outcome=f"{period.count} more")
