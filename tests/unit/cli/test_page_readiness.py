"""The services of the pages tell systemd that they are ready when the page can be opened, and not before."""

from __future__ import annotations

import http.client
import os
import signal
import socket
import subprocess
import sys

import pytest

from cli.beside import console_beside
from tests.conftest import ROOT
from tests.ports import free_port

pytestmark = pytest.mark.slow
PATIENCE_S = 120
PAGES = {
    "console": ("console", "--feed", "{folder}/feed.sock", "--port", "{port}"),
    "station": ("station", "--db", "{folder}/station.db", "web", "--web", "127.0.0.1:{port}"),
}


@pytest.fixture
def systemd(tmp_path):
    """The socket to which a service of ``Type=notify`` reports."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "notify"))
        server.settimeout(PATIENCE_S)
        yield server


def start(page, folder, port):
    words = (word.format(folder=folder, port=port) for word in PAGES[page])
    return subprocess.Popen(
        [sys.executable, "-m", "cli", *words],
        cwd=ROOT, env=os.environ | {"NOTIFY_SOCKET": str(folder / "notify")}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def answer_status(port):
    """One try: refused if nothing listens."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize("page", PAGES)
def test_page_answers_as_soon_as_the_service_is_ready(tmp_path, systemd, page):
    port = free_port()
    with start(page, tmp_path, port) as process:
        try:
            assert systemd.recv(100) == b"READY=1"
            assert answer_status(port) in {200, 303}
            process.send_signal(signal.SIGTERM)
            assert systemd.recv(100) == b"STOPPING=1"
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("page", PAGES)
def test_service_without_its_port_is_never_ready(tmp_path, systemd, page):
    """Then `systemctl start` fails, with the reason in the journal."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with start(page, tmp_path, port) as process:
            _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert str(port) in said
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(100)


def test_console_that_the_agent_starts_says_nothing_in_its_place(tmp_path, systemd, monkeypatch):
    """systemd waits for the agent, whose socket a process beside it would inherit."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    port = free_port()
    with console_beside(tmp_path / "feed.sock", tmp_path / "command.sock", port) as told:
        assert told.wait(PATIENCE_S)
        assert answer_status(port) == 200
    systemd.setblocking(False)
    with pytest.raises(BlockingIOError):
        systemd.recv(100)
