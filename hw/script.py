"""The verbs of a drive's script and their arguments."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Argument = int | float | str | bool


@dataclass(frozen=True, slots=True)
class Verb:
    """Arguments of a verb."""

    required: Mapping[str, type] = field(default_factory=dict)
    optional: Mapping[str, type] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Action:
    """One entry of the script."""

    t_ns: int
    """Nanoseconds since the start of the drive."""
    do: str
    """A key of :data:`VERBS`."""
    args: Mapping[str, Argument]

    def integer(self, name: str, default: int) -> int:
        """An integer argument."""
        value = self.args.get(name, default)
        return int(value)

    def number(self, name: str, default: float) -> float:
        """A numeric argument."""
        return float(self.args.get(name, default))

    def truth(self, name: str, default: bool) -> bool:
        """A boolean argument."""
        return bool(self.args.get(name, default))

    def word(self, name: str, default: str) -> str:
        """A text argument."""
        return str(self.args.get(name, default))


VERBS: Mapping[str, Verb] = {
    "link.up": Verb(),
    "link.down": Verb(),
    "link.drop_acks": Verb(required={"n": int}),
    "link.refuse": Verb(optional={"n": int, "code": int, "reason": str}),
    "gnss.mute": Verb(),
    "gnss.unmute": Verb(),
    "gnss.corrupt": Verb(optional={"n": int}),
    "gnss.jump": Verb(optional={"north_m": float, "east_m": float}),
    "camera.stall": Verb(),
    "camera.resume": Verb(),
    "disk.full": Verb(),
    "disk.free": Verb(),
    "power.cut": Verb(),
    "ignition.off": Verb(),
    "ignition.on": Verb(),
    "button.acknowledge": Verb(),
    "button.privacy": Verb(),
    "officer.confirm": Verb(
        optional={"characters": bool, "region": bool, "vehicle": bool, "agency": str, "reference": str}
    ),
    "officer.reject": Verb(required={"reason": str}),
    "officer.outcome": Verb(required={"code": str}),
    "clock.step": Verb(required={"seconds": float}),
    "temp.set": Verb(required={"celsius": float}),
}


def argument_problems(do: str, args: Mapping[str, object]) -> list[str]:
    """Errors in a verb and its arguments; empty if there are none."""
    verb = VERBS.get(do)
    if verb is None:
        return [f"unknown verb {do!r}; known: {', '.join(VERBS)}"]
    known = {**verb.required, **verb.optional}
    problems = [f"{do}: needs {name}" for name in verb.required if name not in args]
    for name, value in args.items():
        if name not in known:
            problems.append(f"{do}: unknown argument {name!r}")
        elif not _is_a(value, known[name]):
            problems.append(f"{do}: {name} is {value!r}, expected {known[name].__name__}")
        elif name == "n" and isinstance(value, int) and value < 1:
            problems.append(f"{do}: n is {value}, must be at least 1")
    return problems


def _is_a(value: object, kind: type) -> bool:
    """TOML writes 3 where a float is meant; a bool is no number."""
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float) if kind is float else isinstance(value, kind)
