"""Tables about the machine: [power], [update], [feed], [metrics], [command], [log]."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from agent.runtime.config.table import Table
from updater.release_state import CONFIRMED, HOME

_SOCKET_PATH_MAX = 103


class PowerTable(Table):
    """Behaviour after the ignition goes off, and at high temperature."""

    hold_up_s: float = Field(
        default=60, ge=0, le=86_400, description="Seconds the agent keeps running after the ignition goes off"
    )
    off_request: Path | None = Field(
        default=Path("/run/patrol-lpr/power-off"),
        description="File that makes patrol-lpr-poweroff.path power the unit off; if omitted, only the agent exits",
    )
    slow_above_c: float = Field(
        default=75, ge=30, le=120, description="Temperature in °C above which the frame rate is reduced"
    )
    fast_below_c: float = Field(
        default=70, ge=20, le=119, description="Temperature in °C below which the frame rate is restored"
    )
    slow_fps: float = Field(default=4, gt=0, le=240, description="Frames processed per second at high temperature")

    @model_validator(mode="after")
    def _hysteresis(self) -> Self:
        if self.fast_below_c >= self.slow_above_c:
            raise ValueError("fast_below_c must be lower than slow_above_c")
        return self


class UpdateTable(Table):
    """Updates."""

    home: Path = Field(default=HOME, description="Folder of the releases; without it there are no updates")
    confirm: Path = Field(
        default=CONFIRMED, description="File that tells patrol-lpr-confirm.path that a release on trial is healthy"
    )
    fetch: Literal["always", "free", "never"] = Field(
        default="free",
        description="always: over any link; free: over unmetered links, configurations over any; never",
    )
    well_s: float = Field(
        default=60,
        ge=0,
        le=3600,
        description="Seconds a new release must be healthy without interruption to be committed",
    )
    quiet_s: float = Field(
        default=120,
        ge=0,
        le=86_400,
        description="Seconds without a plate before the agent restarts into an update",
    )


class FeedTable(Table):
    """The feed for views outside the process: docs/feed.md."""

    path: Literal["auto", "off"] | Path = Field(
        default="auto",
        description='UNIX socket of the feed; "auto": feed.sock in the service\'s runtime directory, off without one',
    )

    @field_validator("path")
    @classmethod
    def _length(cls, path: str | Path) -> str | Path:
        return _socket_path(path)


class MetricsTable(Table):
    """Counters and gauges for Prometheus: docs/metrics.md."""

    file: Literal["auto", "off"] | Path = Field(
        default="auto",
        description='File for node_exporter; "auto": patrol-lpr.prom in the service\'s runtime directory',
    )


class CommandTable(Table):
    """The socket on which views on the unit send commands: docs/commands.md."""

    path: Literal["auto", "off"] | Path = Field(
        default="auto",
        description='UNIX socket; "auto": /run/patrol-lpr-console/command.sock in the service, off elsewhere',
    )

    @field_validator("path")
    @classmethod
    def _length(cls, path: str | Path) -> str | Path:
        return _socket_path(path)


class LogTable(Table):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Minimum severity")
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, otherwise json"
    )


def _socket_path(path: str | Path) -> str | Path:
    # unix(7): sun_path has 108 bytes, the last of them 0; the agent creates the socket as *.new first.
    if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
        raise ValueError(f"a socket's path has at most {_SOCKET_PATH_MAX} bytes")
    return path
