"""The command socket: answers in order, bounded clients, none of which can block the agent or each other."""

from __future__ import annotations

import socket
from types import SimpleNamespace

import pytest

from agent.runtime.command import CommandSocket, build_command_server
from agent.runtime.command_server import CommandLimits, CommandServer
from agent.runtime.commands import Arguments, Commands, Verb
from agent.runtime.config import CommandTable
from hw.clock import RealClock, SimClock
from tests.command_client import CommandClient
from tests.socket_rig import SocketRig, wait_for
from tests.socket_rig import running as started

S = 1_000_000_000


class Echoing(Arguments):
    text: str = ""


def echo(arguments, caller):
    return {"text": arguments.text}


def running(path, limits=None, clock=None):
    """A server with a verb that answers and one that raises KeyError."""
    commands = Commands()
    commands.add((Verb("echo", Echoing, echo, signed_on=False),))
    commands.add((Verb("break", Arguments, lambda arguments, caller: {}[0], signed_on=False),))
    return started(SocketRig(path, CommandServer(path, clock or RealClock(), commands, limits), CommandClient))


def test_each_client_gets_the_answers_to_its_own_commands_in_order(tmp_path):
    with running(tmp_path / "command.sock") as rig:
        clients = [rig.client() for _ in range(4)]
        for n in range(5):
            for which, client in enumerate(clients):
                client.send("echo", text=f"{which}-{n}")
        for which, client in enumerate(clients):
            assert [client.next()["text"] for _ in range(5)] == [f"{which}-{n}" for n in range(5)]
        assert rig.server.counts.answered == 20


def test_command_in_pieces_and_several_in_one_piece(tmp_path):
    with running(tmp_path / "command.sock") as rig:
        client = rig.client()
        for byte in b'{"id": 1, "verb": "echo", "text": "a"}\n{"id": 2,':
            client.socket.sendall(bytes([byte]))
        assert client.next()["text"] == "a"
        client.socket.sendall(b'"verb":"echo"}\n{"id":3,"verb":"nonsense"}\n\n')
        assert [client.next()["id"] for _ in range(3)] == [2, 3, None]
        assert (rig.server.counts.answered, rig.server.counts.rejected) == (2, 2)


def test_line_that_is_too_long_closes_the_connection(tmp_path):
    with running(tmp_path / "command.sock") as rig:
        client, other = rig.client(), rig.client()
        with pytest.raises(OSError):  # noqa: PT011, PT012 - reset or broken pipe, as the kernel likes
            while True:
                client.socket.sendall(b"x" * 4096)
        assert other.ask("echo", text="still here")["ok"]
        wait_for(lambda: rig.server.clients == 1, rig)


def test_client_that_never_reads_is_disconnected_and_others_are_answered(tmp_path):
    limits = CommandLimits(max_waiting_bytes=64 * 1024, max_commands_per_s=10_000)
    with running(tmp_path / "command.sock", limits=limits) as rig:
        deaf, other = rig.client(), rig.client()
        with pytest.raises(OSError):  # noqa: PT011, PT012 - reset or broken pipe, as the kernel likes
            while True:
                deaf.send("echo", text="x" * 32_000)
        assert other.ask("echo", text="a")["text"] == "a"
        wait_for(lambda: rig.server.counts.dropped == 1, rig)


def test_client_that_sends_too_much_waits_and_others_do_not(tmp_path):
    """Its commands are answered second by second; nothing is lost."""
    clock = SimClock()
    limits = CommandLimits(max_commands_per_s=3)
    with running(tmp_path / "command.sock", limits=limits, clock=clock) as rig:
        greedy, other = rig.client(), rig.client()
        for n in range(8):
            greedy.send("echo", text=str(n))
        assert [greedy.next()["text"] for _ in range(3)] == ["0", "1", "2"]
        assert other.ask("echo", text="a")["ok"]
        assert rig.server.counts.answered == 4
        clock.advance_to(1 * S)
        rig.server.wake()
        assert [greedy.next()["text"] for _ in range(3)] == ["3", "4", "5"]
        clock.advance_to(2 * S)
        rig.server.wake()
        assert [greedy.next()["text"] for _ in range(2)] == ["6", "7"]
        assert rig.server.counts.delayed >= 2


def test_number_of_clients_and_of_connections_per_second_is_limited(tmp_path):
    clock = SimClock()
    limits = CommandLimits(max_clients=2, max_accepts_per_s=4)
    with running(tmp_path / "command.sock", limits=limits, clock=clock) as rig:
        first = [rig.client() for _ in range(2)]
        assert all(client.ask("echo")["ok"] for client in first)
        assert [rig.client().next() for _ in range(2)] == [None, None]
        assert rig.server.counts.refused == 2
        waiting = rig.client()
        assert first[0].ask("echo")["ok"]
        assert rig.server.counts.refused == 2, "the fifth waits in the kernel"
        clock.advance_to(1 * S)
        rig.server.wake()
        assert waiting.next() is None
        first[0].close()
        wait_for(lambda: rig.server.clients == 1, rig)
        assert rig.client().ask("echo")["ok"]


def test_client_that_hangs_up_in_the_middle_is_forgotten(tmp_path):
    with running(tmp_path / "command.sock") as rig:
        client = rig.client()
        client.socket.sendall(b'{"id": 1, "verb": "ec')
        client.close()
        half = rig.client()
        half.send("echo", text="a")
        half.socket.shutdown(socket.SHUT_WR)
        wait_for(lambda: rig.server.clients == 0, rig)
        assert rig.client().ask("echo")["ok"]


def test_exception_of_a_verb_ends_the_thread_and_is_not_swallowed(tmp_path):
    with running(tmp_path / "command.sock") as rig:
        client = rig.client()
        client.send("break")
        assert client.next() is None
        wait_for(lambda: rig.supervisor.failure is not None, rig)
        assert isinstance(rig.supervisor.failure, KeyError)
        rig.supervisor._failure = None


@pytest.mark.parametrize(
    ("path", "environment", "there", "expected"),
    [
        ("auto", {}, True, None),
        ("auto", {"RUNTIME_DIRECTORY": "/run/patrol-lpr"}, False, None),
        ("auto", {"RUNTIME_DIRECTORY": "/run/patrol-lpr"}, True, "command.sock"),
        ("off", {"RUNTIME_DIRECTORY": "/run/patrol-lpr"}, True, None),
        ("/run/mine.sock", {}, False, "mine.sock"),
    ],
)
def test_the_socket_is_on_in_the_vehicle_and_off_elsewhere(tmp_path, path, environment, there, expected):
    folder = tmp_path if there else tmp_path / "none"
    server = build_command_server(CommandTable(path=path), RealClock(), Commands(), environment, folder)
    assert (None if server is None else server._path.name) == expected


def test_counters_are_zero_without_a_socket():
    component = CommandSocket(None, SimpleNamespace())
    component.start()
    component.quiesce()
    component.stop()
    assert set(component.counters().values()) == {0}
    assert component.gauges() == {"command.clients": 0}
