"""The parts of a unit whose hardware is a drive, on the real clock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent.runtime.hardware import Hardware
from cli.demo import DriveClock
from cli.simulate import config_for, reader_for
from hw.drive_load import load_drive
from hw.open import open_board, open_cameras, open_gnss, open_panel
from hw.ports import LinkUp
from protocol.wire.codec import decode
from protocol.wire.control.unit_state import Status
from tests.drive_builder import write_drive

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.wire.enums import UnitState


class Heard:
    """A link that is always up and keeps what is published."""

    def __init__(self) -> None:
        self.states: list[tuple[UnitState, str]] = []
        self.reports: list[bytes] = []

    def start(self, on_event, *, subscribe, will) -> None:
        self.on_event = on_event
        on_event(LinkUp(16, None))

    def confirm(self) -> None:
        """See the port."""

    def publish(self, topic, payload, *, token, retain=False, qos=1) -> None:
        if topic.endswith("/st"):
            status = decode(payload, Status)
            self.states.append((status.state, status.reason))
        elif topic.endswith("/up/upd"):
            self.reports.append(payload)

    def close(self) -> None:
        return


class Key:
    """A panel whose ignition the test turns."""

    def __init__(self, inner) -> None:
        self._inner, self.ignition_on = inner, True

    def __getattr__(self, name):
        return getattr(self._inner, name)


def unit_parts(folder: Path, **tables: Any) -> tuple[Any, ...]:
    """Configuration, hardware, reader and models of a unit; ``tables`` of the configuration."""
    drive = load_drive(write_drive(folder / "drive", seconds=30))
    config = config_for(drive, folder / "state", **tables)
    clock = DriveClock(drive)
    hw, shared = config.hw, {"drive": drive, "origin_ns": clock.mono_ns()}
    hardware = Hardware(
        open_cameras(hw.cameras, clock, **shared),
        open_gnss(hw.gnss, clock, **shared),
        Key(open_panel(hw.panel, clock, **shared)),
        Heard(),
        open_board(hw.board, clock, **shared),
        clock,
    )
    return config, hardware, *reader_for(drive, config)
