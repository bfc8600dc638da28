"""Notifies systemd: readiness, status, watchdog (sd_notify(3): datagrams to the socket in NOTIFY_SOCKET)."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


SOCKET = "NOTIFY_SOCKET"
"""The environment variable; a process that is started beside the service must not inherit it."""


class Notifier:
    """Does nothing if not started by systemd."""

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        environment = os.environ if environment is None else environment
        address = environment.get(SOCKET, "")
        # The name of an abstract socket starts with @.
        self._address = f"\0{address[1:]}" if address.startswith("@") else address
        watchdog_us = environment.get("WATCHDOG_USEC", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        self.watchdog_s = int(watchdog_us) / 1e6 if watchdog_us.isdigit() and ours else None
        """Interval of the watchdog; None without one."""

    def ready(self) -> None:
        """Report that the service does its work from now on."""
        self._send("READY=1")

    def starting(self, limit_s: float) -> None:
        """Extend the start time-out to this long from now."""
        self._send(f"EXTEND_TIMEOUT_USEC={round(limit_s * 1e6)}")

    def alive(self) -> None:
        """Reset the watchdog: every thread is within its deadline."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Set the line for ``systemctl status``."""
        self._send(f"STATUS={text}")

    def stopping(self) -> None:
        """Report that the service is stopping."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.sendto(message.encode(), self._address)
