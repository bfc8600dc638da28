"""Starts components in order and stops them in the reverse order; a failure does not prevent stopping the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from agent.runtime.supervisor import where
from protocol.errors import PatrolError

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.runtime.component import Component, Tick

_LOG = structlog.get_logger(__name__)


class Lifecycle:
    """A list of components in starting order.  Used by the main thread."""

    def __init__(self, components: tuple[Component, ...]) -> None:
        """Raises ValueError if two components have the same name."""
        names = [component.name for component in components]
        if double := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"components share the names {sorted(double)}")
        self._components = components

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order of the start."""
        return tuple(component.name for component in self._components)

    def start(self) -> None:
        """Start all.  Raises the first failure; ``stop`` must still be called."""
        for component in self._components:
            component.start()

    def watch(self, tick: Tick) -> None:
        """Call ``step`` of each."""
        for component in self._components:
            component.watch(tick)

    def stop(self) -> Exception | None:
        """Quiesce all, then stop all, each on its own; log every failure and return the first."""
        order = self._components[::-1]
        steps = [(c.name, c.quiesce) for c in order] + [(c.name, c.stop) for c in order]
        failures = [error for name, step in steps if (error := _guarded(name, step)) is not None]
        return failures[0] if failures else None


def _guarded(name: str, step: Callable[[], None]) -> Exception | None:
    try:
        step()
    except Exception as error:  # noqa: BLE001 - whatever it is, the rest must be stopped; the caller raises it
        # Only messages of our own errors are logged: others may contain a plate.
        reason = str(error) if isinstance(error, PatrolError | OSError) else ""
        _LOG.error("stop_failed", component=name, error=type(error).__name__, reason=reason, where=where(error))
        return error
    return None
