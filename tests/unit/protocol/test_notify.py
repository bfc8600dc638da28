"""What a service tells systemd."""

from __future__ import annotations

import socket

from protocol.notify import Notifier


def test_systemd_gets_readiness_and_watchdog_messages(tmp_path):
    """One datagram each, to the socket it named."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "30000000"})
        notifier.starting(90)
        notifier.ready()
        notifier.alive()
        notifier.status("3 reads")
        notifier.stopping()
        heard = [server.recv(100).decode() for _ in range(5)]
    assert heard == ["EXTEND_TIMEOUT_USEC=90000000", "READY=1", "WATCHDOG=1", "STATUS=3 reads", "STOPPING=1"]
    assert notifier.watchdog_s == 30.0


def test_without_systemd_nothing_is_sent():
    """On a laptop the same calls do nothing."""
    notifier = Notifier({})
    notifier.ready()
    assert notifier.watchdog_s is None


def test_abstract_socket_is_addressed_by_its_name():
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind("")  # the kernel chooses an abstract name
        name = server.getsockname().decode()
        Notifier({"NOTIFY_SOCKET": f"@{name[1:]}"}).ready()
        assert server.recv(100) == b"READY=1"
