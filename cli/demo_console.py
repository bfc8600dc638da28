"""The end of the demo: a drive with a hot list, live, with the page of the console beside it."""

from __future__ import annotations

import os
import threading
import webbrowser
from typing import TYPE_CHECKING

from agent.runtime import log
from agent.runtime.config import CommandTable, FeedTable
from agent.runtime.hardware import Hardware
from agent.runtime.service import Service
from cli.beside import console_beside, sockets
from cli.demo_officer import install_officer
from cli.demo_parking import GnssThenParked
from cli.drive_lists import lists_of
from cli.simulate import config_for, fresh_keys, reader_for
from cli.terminal import PlainConsole
from hw.link_gate import LinkGate
from hw.open import open_board, open_cameras, open_link, open_panel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from hw.drive_format import Drive
    from hw.ports import Clock

PORT = 8470
_NS_PER_S = 1_000_000_000


def has_display() -> bool:
    """True where a browser can be opened."""
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def show_page(drive: Drive, folder: Path, clock: Clock, wait: Callable[[], object], *, port: int = PORT) -> None:
    """Play the drive, without a link, and serve its page until ``wait`` returns; reads and hits stay on the page.

    Badge and PIN of an officer who may decide on its hits are printed.
    """
    log.configure("error", "auto")
    seal, _ = fresh_keys(folder / "keys", drive.header.unit)
    key = folder / "keys" / "agency.pub"
    config = config_for(drive, folder / "unit", seal=seal, shift={"roster_key": str(key)})
    start_s = drive.header.start_utc_ns // _NS_PER_S
    officer = install_officer(config.unit, config.state_dir, key, start_s)
    PlainConsole().print(
        f"to decide on its hits, sign on under Shift: badge {officer.badge}, PIN {officer.pin}; "
        "while the vehicle moves, nothing can be typed",
    )  # fmt: skip
    lists = lists_of(drive, folder / "hotlist", config.agency)
    with sockets() as (feed, command), console_beside(feed, command, port) as listening:
        config = config.model_copy(update={"feed": FeedTable(path=feed), "command": CommandTable(path=command)})
        make_reader, models = reader_for(drive, config)
        origin_ns = clock.mono_ns() + _NS_PER_S
        hw = config.hw
        hardware = Hardware(
            cameras=open_cameras(hw.cameras, clock, drive=drive, origin_ns=origin_ns),
            gnss=GnssThenParked(drive, clock, origin_ns),
            panel=open_panel(hw.panel, clock, drive=drive, origin_ns=origin_ns),
            link=LinkGate(lambda: open_link(hw.link), is_open=False),
            board=open_board(hw.board, clock, drive=drive, origin_ns=origin_ns),
            clock=clock,
        )
        service = Service(
            config, hardware, make_reader, models, matcher=None if lists is None else lambda: lists.matcher
        )

        def attend() -> None:
            try:
                listening.wait()
                if has_display():
                    webbrowser.open(f"http://127.0.0.1:{port}/")
                wait()
            finally:
                service.stop()

        threading.Thread(target=attend, name="demo-wait", daemon=True).start()
        service.run(drain_s=0)
