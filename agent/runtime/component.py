"""Components of the agent: started in order, monitored, stopped in the reverse order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hw.ports import Vitals


@dataclass(frozen=True, slots=True)
class Tick:
    """One round of the main thread."""

    t_mono_ns: int
    vitals: Vitals
    late: tuple[str, ...] = ()
    """Names of the threads that are past their deadline."""


class Component(Protocol):
    """A component of the running agent.  Every method is called by the main thread.

    Subclasses override the methods that they need; the defaults do nothing.
    """

    name: str

    def start(self) -> None:
        """Begin to work, in a thread of the supervisor if it takes time."""
        return

    def watch(self, tick: Tick) -> None:  # noqa: ARG002 - a default that does nothing
        """Do what is due; called about twice per second, must return at once."""
        return

    def quiesce(self) -> None:
        """Stop accepting input and return at once: called for all components before the first one is stopped."""
        return

    def stop(self) -> None:
        """End, and release all resources.  Must work after a start that failed or never happened.

        Raises what went wrong; the other components are stopped regardless.
        """
        return


class Source(Protocol):
    """A component with counters and gauges to publish, under dotted names.  Values of equal names are added."""

    def counters(self) -> Mapping[str, int]:
        """Return counters, which only grow; main thread."""

    def gauges(self) -> Mapping[str, int]:
        """Return gauges, with the unit in the name; main thread."""
