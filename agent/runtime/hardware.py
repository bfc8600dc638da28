"""The open back ends that one run of the agent works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hw.ports import Board, Camera, Clock, Gnss, Link, Panel, Speaker


@dataclass(frozen=True, slots=True)
class Hardware:
    """Open back ends of every port."""

    cameras: tuple[Camera, ...]
    gnss: Gnss
    panel: Panel
    link: Link
    board: Board
    clock: Clock
    speaker: Speaker | None = None
