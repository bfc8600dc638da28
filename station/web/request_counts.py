"""Counts requests by route, and how long until each is answered.

Labels are routes as the code has them, such as ``/reads/{unit}/{record_id}``: neither addresses, which name reads, nor
anything else that whoever asks can choose.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from itertools import accumulate
from typing import TYPE_CHECKING

from fastapi.routing import APIRoute

from protocol.metrics import Sample

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

PREFIX = "patrol_lpr_station_web"
BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Of the histogram; 0.3 s is the limit of docs/station-web.md."""
_METHODS = frozenset({"GET", "HEAD", "POST", "DELETE"})
_NO_ROUTE = "none"
_STATIC = "/static"
_CRASHED = 500
_Where = tuple[str, str]
"""Method and route."""


class RequestCounts:
    """Thread-safe: requests are counted in one thread and collected in another."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: Counter[tuple[_Where, str]] = Counter()
        self._buckets: dict[_Where, list[int]] = {}
        self._seconds: dict[_Where, float] = {}

    def note(self, where: _Where, status: int, seconds: float) -> None:
        """Count one request."""
        with self._lock:
            self._answers[where, f"{status // 100}xx"] += 1
            self._buckets.setdefault(where, [0] * (len(BOUNDS_S) + 1))[bisect_left(BOUNDS_S, seconds)] += 1
            self._seconds[where] = self._seconds.get(where, 0.0) + seconds

    def samples(self) -> list[Sample]:
        """Return the metrics of this moment; a route that nobody asked for has none."""
        with self._lock:
            answers = sorted(self._answers.items())
            buckets = {where: tuple(counts) for where, counts in sorted(self._buckets.items())}
            seconds = dict(self._seconds)
        found = [
            Sample(f"{PREFIX}_requests_total", "counter", count, (*_labels(where), ("status", status)))
            for (where, status), count in answers
        ]
        name = f"{PREFIX}_request_seconds"
        for where, counts in buckets.items():
            labels, sums = _labels(where), list(accumulate(counts))
            for bound, count in zip((*map(str, BOUNDS_S), "+Inf"), sums, strict=True):
                found.append(Sample(name, "histogram", count, (*labels, ("le", bound)), "_bucket"))
            found.append(Sample(name, "histogram", seconds[where], labels, "_sum"))
            found.append(Sample(name, "histogram", sums[-1], labels, "_count"))
        return found


class CountRequests:
    """ASGI middleware, around all others: also what is refused is counted."""

    def __init__(
        self, app: ASGIApp, *, counts: RequestCounts, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._app, self._counts, self._clock_s = app, counts, clock_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on; its time ends when the answer begins, as a map follows units for minutes."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun_s = self._clock_s()
        status, answered_s = _CRASHED, None

        async def send_and_look(message: Message) -> None:
            nonlocal status, answered_s
            if message["type"] == "http.response.start":
                status, answered_s = message["status"], self._clock_s()
            await send(message)

        try:
            await self._app(scope, receive, send_and_look)
        finally:
            ended_s = self._clock_s() if answered_s is None else answered_s
            self._counts.note(where_of(scope), status, ended_s - begun_s)


def where_of(scope: Scope) -> _Where:
    """Return method and route of a request that has been answered; not what was sent."""
    method = scope["method"] if scope["method"] in _METHODS else "other"
    route = scope.get("route")
    if isinstance(route, APIRoute):
        return method, route.path
    return method, _STATIC if scope["path"].startswith(f"{_STATIC}/") else _NO_ROUTE


def _labels(where: _Where) -> tuple[tuple[str, str], ...]:
    return ("method", where[0]), ("route", where[1])
