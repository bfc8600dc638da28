"""Work that is done before an alert, by a thread of its own: the alert does not wait longer than 0.1 s for the disk."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from typing import TYPE_CHECKING

import structlog

from agent.runtime.component import Component

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from concurrent.futures import Future

_LOG = structlog.get_logger(__name__)
MAX_WAIT_S = 0.1


class FirstWrites(Component):
    """Does one piece of work after the other; the caller goes on when it is done, or after a tenth of a second."""

    name = "first-writes"

    def __init__(self, *, max_wait_s: float = MAX_WAIT_S) -> None:
        self._max_wait_s = max_wait_s
        self._executor = ThreadPoolExecutor(1, thread_name_prefix=self.name)
        self._late = 0

    def __call__(self, work: Callable[[], None]) -> None:
        """Do the work; raises what it raises, if that is known in time."""
        done = self._executor.submit(work)
        try:
            done.result(self._max_wait_s)
        except LateError:
            self._late += 1
            done.add_done_callback(_tell)

    def stop(self) -> None:
        """Finish what was begun."""
        self._executor.shutdown()

    def counters(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {"hits.files_late": self._late}

    def gauges(self) -> Mapping[str, int]:
        """See :class:`Source`."""
        return {}


def _tell(done: Future[None]) -> None:
    """Nobody waits any more for what late work raises.  Its message may quote a plate."""
    error = done.exception()
    if error is not None:
        _LOG.error("first_write_failed", error=type(error).__name__)
