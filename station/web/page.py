"""What a module of pages declares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastapi import APIRouter

    from station.accounts.rights import Right


@dataclass(frozen=True, slots=True)
class NavigationEntry:
    """A link at the top of every page."""

    label: str
    path: str
    right: Right | None
    """Who has it sees the link."""
    about: str = ""
    """One line on the first page."""


@dataclass(frozen=True, slots=True)
class PageModule:
    """Routes, and how people come to them."""

    router: APIRouter
    navigation: tuple[NavigationEntry, ...] = ()
    body_limits: Mapping[str, int] = field(default_factory=dict)
    """Bytes of a body by path, where it may be larger than a form."""
