"""What the agent is made of: parts that are started in order, watched, and stopped in the reverse order."""

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
    """A part of the running agent.  Every method is called by the main thread.

    A component that inherits from this class need only define what it does; the rest does nothing.
    """

    name: str

    def start(self) -> None:
        """Begin to work, in a thread of the supervisor's where it takes time."""
        return

    def watch(self, tick: Tick) -> None:  # noqa: ARG002 - a default that does nothing
        """Do what is due; called about twice a second and must return at once."""
        return

    def quiesce(self) -> None:
        """Take in nothing new and return at once: called for all components before the first one is stopped."""
        return

    def stop(self) -> None:
        """End, and release what is held.  Must cope with a start that failed or never happened.

        Raises what went wrong; the other components are stopped all the same.
        """
        return


class Source(Protocol):
    """A part that has numbers to publish, under dotted names.  Numbers of equal names are added."""

    def counters(self) -> Mapping[str, int]:
        """Return numbers that only grow; main thread."""

    def gauges(self) -> Mapping[str, int]:
        """Return present values, the unit in the name; main thread."""
