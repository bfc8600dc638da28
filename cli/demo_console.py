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
from cli.drive_lists import lists_of
from cli.simulate import config_for, fresh_keys, reader_for
from hw.link_gate import LinkGate
from hw.open import open_board, open_cameras, open_gnss, open_link, open_panel

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
    """Play the drive, without a link, and serve its page until ``wait`` returns; reads and hits stay on the page."""
    log.configure("error", "auto")
    seal, _ = fresh_keys(folder / "keys", drive.header.unit)
    config = config_for(drive, folder / "unit", seal=seal)
    lists = lists_of(drive, folder / "hotlist", config.agency)
    with sockets() as (feed, command), console_beside(feed, command, port):
        config = config.model_copy(update={"feed": FeedTable(path=feed), "command": CommandTable(path=command)})
        make_reader, models = reader_for(drive, config)
        origin_ns = clock.mono_ns() + _NS_PER_S
        hw = config.hw
        hardware = Hardware(
            cameras=open_cameras(hw.cameras, clock, drive=drive, origin_ns=origin_ns),
            gnss=open_gnss(hw.gnss, clock, drive=drive, origin_ns=origin_ns),
            panel=open_panel(hw.panel, clock, drive=drive, origin_ns=origin_ns),
            link=LinkGate(lambda: open_link(hw.link), is_open=False),
            board=open_board(hw.board, clock, drive=drive, origin_ns=origin_ns),
            clock=clock,
        )
        service = Service(
            config, hardware, make_reader, models, matcher=None if lists is None else lambda: lists.matcher
        )
        threading.Thread(target=_stop_after, args=(wait, service), name="demo-wait", daemon=True).start()
        if has_display():
            webbrowser.open(f"http://127.0.0.1:{port}/")
        service.run(drain_s=0)


def _stop_after(wait: Callable[[], object], service: Service) -> None:
    try:
        wait()
    finally:
        service.stop()
