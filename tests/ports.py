"""Ports for servers of the tests that cannot choose one themselves."""

from __future__ import annotations

import secrets
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_SPAN = 12_000


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has now and that the kernel gives to nobody who did not ask for it by number."""
    end = int(_RANGE.read_text().split()[0])
    for _ in range(_SPAN):
        port = end - 1 - secrets.randbelow(_SPAN)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("every port is taken")
