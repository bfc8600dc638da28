"""Lines of a report, and the operator who answers what cannot be measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from rich.text import Text

from cli.show import TextTable

if TYPE_CHECKING:
    from collections.abc import Mapping

_WHOLE = 100


class Mark(StrEnum):
    """Result of a check."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"
    ASK = "ask"
    """Not answered: to be checked and ticked on the printed list."""


_COLOURS = {Mark.OK: "green", Mark.WARN: "yellow", Mark.FAIL: "red", Mark.ASK: "cyan"}


@dataclass(frozen=True, slots=True)
class Step:
    """One line of the report."""

    what: str
    mark: Mark
    detail: str
    figures: Mapping[str, float] = field(default_factory=dict)
    """Measurements, with the unit in the name."""
    picture: bytes | None = None
    """A JPEG from the camera, for the printed list only."""


def in_a_line(figures: Mapping[str, float]) -> str:
    """Measurements as text: three digits, or whole numbers from 100 on."""
    return ", ".join(
        f"{name} {value:.0f}" if abs(value) >= _WHOLE else f"{name} {value:.3g}" for name, value in figures.items()
    )


class Person(Protocol):
    """The person who runs the test."""

    patience_s: float
    """How long to wait for an action; 0 if nobody is present."""

    def tell(self, text: str) -> None:
        """Show an instruction."""

    def ask(self, question: str) -> bool | None:
        """Return the answer; None if there is none."""


class Nobody:
    """An unattended run: questions stay open."""

    patience_s = 0.0

    def tell(self, text: str) -> None:
        """Does nothing."""

    def ask(self, question: str) -> bool | None:
        """Returns None."""
        del question
        return None


def asked(person: Person, what: str, question: str, hint: str, **rest: object) -> Step:
    """A step that the operator decides."""
    answer = person.ask(question)
    if answer is None:
        return Step(what, Mark.ASK, question, **rest)  # type: ignore[arg-type]  # figures and picture, passed on
    mark, detail = (Mark.OK, f"{question} Yes.") if answer else (Mark.FAIL, f"{question} No: {hint}")
    return Step(what, mark, detail, **rest)  # type: ignore[arg-type]  # as above


def as_plain(step: Step) -> dict[str, object]:
    """Return a line for JSON; docs/operations.md lists the keys."""
    return {"what": step.what, "mark": step.mark.value, "detail": step.detail, "figures": dict(step.figures)}


def as_table(steps: list[Step], *, caption: str = "") -> TextTable:
    """Return the report for a terminal."""
    table = TextTable("", "what", "finding", caption=caption)
    for step in steps:
        table.add_row(Text(step.mark, _COLOURS[step.mark]), step.what, step.detail)
    return table
