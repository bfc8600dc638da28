"""The console beside the real agent: `patrol-lpr run --console`, the demo's page; and a console that fails."""

from __future__ import annotations

import http.client
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from agent.runtime.config import parse_config
from agent.runtime.service import Service
from agent.runtime.stages import build_recogniser
from cli.demo import DriveClock
from cli.demo_console import show_page
from cli.run import open_hardware
from cli.simulate import fresh_keys
from hw.clock import RealClock
from hw.drive_load import load_drive
from tests.browser.conftest import Client
from tests.conftest import ROOT
from tests.console_process import Console, run_console
from tests.fake_agent import FakeAgent
from tests.ports import free_port

pytestmark = pytest.mark.integration
FRAMES = ROOT / "tests/drives/city-day/frames"


@contextmanager
def stream_of(address):
    """The lines of the page's stream of events."""
    client = Client(Console(None, address))
    connection = http.client.HTTPConnection(client.console.host, timeout=120)
    connection.request("GET", "/events", headers={"cookie": client.cookie})
    try:
        yield connection.getresponse().fp
    finally:
        connection.close()


def until(lines, what):
    for line in lines:
        if what in line:
            return
    raise AssertionError(f"never saw {what!r}")


def test_one_command_gives_a_person_the_live_page(tmp_path):
    """As on a laptop with a video; the broker is not there."""
    camera = f'hw.cameras=[{{kind="folder",path="{FRAMES}",fps=5,loop=true,realtime=true}}]'
    command = [
        sys.executable, "-m", "cli", "run", "--config", str(ROOT / "docs/laptop.toml"), "--console", "--console-port",
        "0", "--set", camera, "--set", f'state_dir="{tmp_path / "state"}"',
    ]  # fmt: skip
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as agent:
        address = None
        for line in agent.stderr:
            if found := re.search(r"the console is at (\S+)", line):
                address = found[1]
                break
        # Its log would fill the pipe.
        threading.Thread(target=agent.stderr.read, daemon=True).start()
        with stream_of(address) as lines:
            until(lines, b'"read_id"')
        agent.send_signal(signal.SIGTERM)
    assert agent.returncode == 0
    with pytest.raises(OSError, match="refused"):
        Console(None, address).request("GET", "/")


@contextmanager
def agent_at(folder, fps):
    """A real agent, in a thread of this process, that reads the frames of a drive for ever."""
    keys, _ = fresh_keys(folder / "keys", "unit-07")
    camera = {"kind": "folder", "path": str(FRAMES), "fps": fps, "loop": True, "realtime": True}
    table = {
        "unit": "unit-07", "agency": "example", "state_dir": str(folder / "state"), "hw": {"cameras": [camera]},
        "outbox": {"min_free_mib": 0, "ballast_mib": 0}, "seal": keys, "policy": {"mode": "off"},
        "feed": {"path": str(folder / "feed.sock")}, "command": {"path": str(folder / "command.sock")},
    }  # fmt: skip
    (folder / "state").mkdir()
    config = parse_config(table, "test")
    service = Service(config, open_hardware(config, RealClock()), lambda: build_recogniser(config), ("test",))
    runner = threading.Thread(target=service.run, kwargs={"drain_s": 0})
    runner.start()
    try:
        yield service, SimpleNamespace(feed_path=folder / "feed.sock", command_path=folder / "command.sock")
    finally:
        service.stop()
        runner.join()


def attack(console):
    """Terminals that never read, a flood, malformed commands, and connections that say nothing."""
    client = Client(console)
    host, port = console.host.split(":")
    with ExitStack() as stack:
        for _ in range(8):
            stream = stack.enter_context(closing(http.client.HTTPConnection(host, int(port), timeout=60)))
            stream.request("GET", "/events", headers={"cookie": client.cookie})
        for _ in range(40):
            stack.enter_context(closing(socket.create_connection((host, int(port)))))
        for i in range(400):
            client.command("acknowledge", {"hit_id": f"{i:032x}"} if i % 2 else "[" * 5000)


def test_no_frame_is_missed_while_the_console_is_attacked_hangs_and_dies(tmp_path):
    """The agent shares the machine with it, and nothing else."""
    with agent_at(tmp_path, fps=4) as (service, sockets):
        (camera,) = service.cameras
        moment = threading.Event()

        def frames_more(number):
            target = camera.counts.processed + number
            while camera.counts.processed < target:
                moment.wait(0.05)

        frames_more(8)
        before = replace(camera.counts)
        with run_console(sockets) as console:
            attack(console)
            frames_more(8)
            console.process.send_signal(signal.SIGSTOP)
            frames_more(8)
            console.process.kill()
            console.process.wait()
            console.process.returncode = 0
            frames_more(8)
        after = replace(camera.counts)
        assert after.dropped == before.dropped
        assert after.frames - before.frames >= 24
        # One can be in work at each of the two moments.
        assert abs((after.processed - before.processed) - (after.frames - before.frames)) <= 1


class Person:
    """Signs on to the demo's unit with what it printed, and rejects the first hit."""

    def __init__(self, address, printed):
        self.address, self.printed = address, printed
        self.done = []

    def __call__(self):
        with stream_of(self.address) as lines:
            hit_id = found(lines, rb'"hit_id":"([0-9a-f]{32})"')
            # The keyboard is locked until the vehicle has parked.
            found(lines, rb'"locked":(false)', after=rb'"locked":true')
            client = Client(Console(None, self.address))
            badge, pin = re.search(r"badge (\w+), PIN (\d+)", self.printed()).groups()
            places = dict.fromkeys(("role", "vehicle", "zone", "checkpoint", "task"), "")
            officer = {"badge": badge, "pin": pin, "token": "", "crew": [], "equipment": [], **places}
            checks = {"characters": False, "region": None, "vehicle": None}
            rejected = {"hit_id": hit_id, "checks": checks, "decision": "reject", "reason": "misread"}
            self.done.append(client.command("sign_on", officer))
            self.done.append(client.command("dispose", {**rejected, "confirming_agency": "", "reference": ""}))


def found(lines, pattern, *, after=None):
    """The first group of a pattern in the stream, of a line after one with ``after``."""
    for line in lines:
        if after is not None:
            after = None if re.search(after, line) else after
        elif (match := re.search(pattern, line)) is not None:
            return match[1].decode()
    raise AssertionError(f"never saw {pattern!r}")


def test_demo_ends_with_a_page_on_which_a_person_decides_a_hit(tmp_path, capsys):
    """With badge and PIN that it printed; when the vehicle has parked, without waiting for a minute."""
    drive = load_drive(ROOT / "tests/drives/hot-list")
    port = free_port()
    person = Person(f"http://127.0.0.1:{port}/", lambda: capsys.readouterr().out)
    show_page(drive, tmp_path, DriveClock(drive), person, port=port)
    (status, signed_on), (_, decided) = person.done
    assert (status, signed_on["badge"]) == (200, "4711")
    assert decided["state"] == "rejected"


def test_task_that_fails_ends_the_process(tmp_path):
    """The process ends, and systemd starts another."""
    program = """
import pathlib, sys
import console.app
async def fail(*_):
    raise RuntimeError("a defect")
console.app.follow_feed = fail
from console.config import ConsoleConfig
from console.serve import run_console
run_console(ConsoleConfig(port=0))
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "RuntimeError: a defect" in done.stderr


def test_with_a_certificate_the_cookie_is_bound_to_the_host(tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
         str(key), "-out", str(cert), "-days", "2", "-subj", "/CN=unit", "-addext", "subjectAltName=IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    folder = tmp_path / "agent"
    folder.mkdir()
    options = ("--tls-cert", str(cert), "--tls-key", str(key))
    with FakeAgent(folder) as agent, run_console(agent, *options) as console:
        context = ssl.create_default_context(cafile=str(cert))
        connection = http.client.HTTPSConnection(console.host, context=context, timeout=30)
        connection.request("GET", "/")
        cookie = connection.getresponse().getheader("set-cookie")
        connection.close()
    assert cookie.startswith("__Host-patrol=")
    assert "secure" in cookie.lower()


def test_certificate_that_cannot_be_read_is_one_line(tmp_path):
    with FakeAgent(tmp_path) as agent:
        command = [
            sys.executable, "-m", "cli", "console", "--feed", str(agent.feed_path), "--port", "0", "--tls-cert",
            os.devnull, "--tls-key", os.devnull,
        ]  # fmt: skip
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("patrol-lpr: /dev/null")
