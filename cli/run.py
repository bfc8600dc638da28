"""``patrol-lpr run``: the agent on the configured hardware."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import structlog

from agent.buffer.opening import opens_slowly
from agent.recognise import RuntimeKind, load_active
from agent.recognise.interpreter import slower_runtime_advice
from agent.recognise.models_folder import default_models_folder
from agent.runtime import log
from agent.runtime.config import load_config, refuse_placeholders
from agent.runtime.hardware import Hardware
from agent.runtime.lock import state_folder
from agent.runtime.service import Service
from agent.runtime.stages import build_recogniser
from cli.beside import console_beside, sockets, with_sockets
from hw.clock import RealClock
from hw.open import open_board, open_cameras, open_gnss, open_link, open_panel, open_speaker
from protocol.notify import Notifier

if TYPE_CHECKING:
    from pathlib import Path
    from types import FrameType

    from agent.runtime.config import AgentConfig
    from hw.ports import Clock

_OWNER_ONLY = 0o077
"""Umask: the outbox holds plates, also when the agent is started by hand."""
_SLOW_START_S = 3600.0
"""Time to read and write eight gigabytes on a slow card."""


def run(
    path: Path, overrides: list[str], *, until_cameras_end: bool, drain_s: float, console_port: int | None = None
) -> int:
    """Run until SIGTERM or SIGINT, with a console beside it if it has a port.

    Raises the exception that ended a thread: the process must exit then.
    """
    if console_port is None:
        return _run_agent(path, overrides, until_cameras_end=until_cameras_end, drain_s=drain_s)
    with sockets() as (feed, command), console_beside(feed, command, console_port):
        overrides = with_sockets(overrides, feed, command)
        return _run_agent(path, overrides, until_cameras_end=until_cameras_end, drain_s=drain_s)


def _run_agent(path: Path, overrides: list[str], *, until_cameras_end: bool, drain_s: float) -> int:
    config = load_config(path, overrides)
    refuse_placeholders(config, path)
    log.configure(config.log.level, config.log.format)
    os.umask(_OWNER_ONLY)
    with state_folder(config.state_dir):
        _run(config, until_cameras_end=until_cameras_end, drain_s=drain_s)
    return 0


def _run(config: AgentConfig, *, until_cameras_end: bool, drain_s: float) -> None:
    if (advice := slower_runtime_advice(RuntimeKind(config.recognise.runtime))) is not None:
        structlog.get_logger(__name__).warning("slower_runtime", what=advice)
    notifier = Notifier()
    if opens_slowly(config.state_dir):
        notifier.starting(_SLOW_START_S)
        notifier.status("the outbox was damaged: checking every page, salvaging readable records")
    models = tuple(b.model_id for b in load_active(config.recognise.models or default_models_folder()))
    service = Service(
        config, open_hardware(config, RealClock()), lambda: build_recogniser(config), models, notifier=notifier
    )

    def ask_to_stop(number: int, _: FrameType | None) -> None:
        del number
        service.stop()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, ask_to_stop)
    service.run(until_cameras_end=until_cameras_end, drain_s=drain_s)


def open_hardware(config: AgentConfig, clock: Clock) -> Hardware:
    """Open every back end; raises HwConfigError naming the one that cannot be opened."""
    hw = config.hw
    return Hardware(
        cameras=open_cameras(hw.cameras, clock),
        gnss=open_gnss(hw.gnss, clock),
        panel=open_panel(hw.panel, clock),
        link=open_link(hw.link),
        board=open_board(hw.board, clock),
        clock=clock,
        speaker=open_speaker(hw.speaker),
    )
