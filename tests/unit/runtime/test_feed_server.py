"""The feed's socket: snapshot and events for several clients, none of which can block the agent."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from agent.runtime.feed_server import FeedLimits, FeedServer
from agent.runtime.local_socket import LocalSocket
from hw.clock import RealClock, SimClock
from tests.socket_rig import ROUNDS, LineClient, SocketRig, wait_for
from tests.socket_rig import running as started

if TYPE_CHECKING:
    from hw.ports import Clock


class Client(LineClient):
    """A view outside the process."""

    def until(self, event):
        while (document := self.next())["event"] != event:
            pass
        return document


def make_rig(path, limits: FeedLimits | None = None, clock: Clock | None = None) -> SocketRig:
    """A server with the state of a unit."""
    server = FeedServer(path, clock or RealClock(), limits)
    server.set_status({"unit": "unit-07"})
    return SocketRig(path, server, Client)


def running(path, **options):
    return started(make_rig(path, **options))


def test_a_client_gets_a_snapshot_and_then_every_event(tmp_path):
    with running(tmp_path / "feed.sock") as rig:
        rig.server.post("read", {"read": {"seq": 1}})
        rig.server.post("lamp", {"lamp": "recording"})
        wait_for(lambda: not rig.server._posts, rig)
        client = rig.client()
        assert client.next() == {"event": "snapshot", "n": 2, "unit": "unit-07", "reads": [{"seq": 1}], "hits": []}
        rig.server.post("read", {"read": {"seq": 2}})
        assert client.next() == {"event": "read", "n": 3, "read": {"seq": 2}}


def test_several_clients_get_the_same_events_in_order(tmp_path):
    """Each from its own snapshot on; the numbers have no gap."""
    with running(tmp_path / "feed.sock") as rig:
        clients = []
        for count in range(5):
            clients.append(rig.client())
            assert clients[-1].next()["n"] == count
            rig.server.post("lamp", {"lamp": str(count)})
            for client in clients:
                assert client.next() == {"event": "lamp", "n": count + 1, "lamp": str(count)}


def test_snapshot_has_no_read_whose_period_is_over(tmp_path):
    clock = SimClock()
    with running(tmp_path / "feed.sock", clock=clock) as rig:
        now_ns = clock.mono_ns()
        for number, ends_ns in enumerate((now_ns, now_ns + 10**12, None)):
            rig.server.post("read", {"read": {"seq": number}}, ends_mono_ns=ends_ns)
        assert [read["seq"] for read in rig.client().next()["reads"]] == [1, 2]


def test_snapshot_has_only_the_latest_reads(tmp_path):
    with running(tmp_path / "feed.sock", limits=FeedLimits(latest_reads=3)) as rig:
        first = rig.client()
        for seq in range(10):
            rig.server.post("read", {"read": {"seq": seq}})
        while first.next()["n"] < 10:
            pass
        assert [read["seq"] for read in rig.client().next()["reads"]] == [7, 8, 9]


def test_client_that_never_reads_is_disconnected_and_others_get_everything(tmp_path):
    """The kernel buffers some events, the bounded queue others; then it is disconnected."""
    with running(tmp_path / "feed.sock", limits=FeedLimits(max_waiting_bytes=20_000)) as rig:
        asleep, awake = rig.client(), rig.client()
        assert awake.next()["event"] == "snapshot"
        wait_for(lambda: rig.server.clients == 2, rig)
        sent = 0
        while not rig.server.counts.dropped:
            rig.server.post("lamp", {"lamp": "x" * 8000})
            sent += 1
            assert awake.next()["n"] == sent
            assert sent < ROUNDS
        assert (rig.server.counts.dropped, rig.server.clients) == (1, 1)
        assert rig.server.counts.events_lost == 0
        got = 0
        while asleep.next() is not None:
            got += 1
        assert 0 < got < sent, "what it was sent in time is whole, then the connection ends"
        again = rig.client()
        assert again.next()["n"] == sent, "it may come again"


def test_a_slow_client_that_catches_up_in_time_gets_everything(tmp_path):
    """More than the kernel holds, less than the bound: nothing is torn."""
    with running(tmp_path / "feed.sock", limits=FeedLimits(max_waiting_bytes=10_000_000)) as rig:
        slow = rig.client()
        wait_for(lambda: rig.server.clients == 1, rig)
        for _ in range(200):
            rig.server.post("lamp", {"lamp": "x" * 8000})
        assert slow.until("lamp")["n"] == 1
        assert [slow.next()["n"] for _ in range(199)] == list(range(2, 201))
        assert rig.server.counts.dropped == 0


def test_client_that_disconnects_is_not_counted_as_dropped(tmp_path):
    with running(tmp_path / "feed.sock") as rig:
        stays, goes = rig.client(), rig.client()
        wait_for(lambda: rig.server.clients == 2, rig)
        goes.close()
        wait_for(lambda: rig.server.clients == 1, rig)
        rig.server.post("lamp", {"lamp": "off"})
        assert stays.until("lamp")["lamp"] == "off"
        assert rig.server.counts.dropped == 0


def test_client_that_sends_is_disconnected(tmp_path):
    """A client that sends is disconnected, so that nobody can keep the thread busy."""
    with running(tmp_path / "feed.sock") as rig:
        client = rig.client()
        assert client.next()["event"] == "snapshot"
        client.socket.send(b"stop")
        assert client.next() is None


def test_number_of_clients_is_limited(tmp_path):
    with running(tmp_path / "feed.sock", limits=FeedLimits(max_clients=2)) as rig:
        clients = [rig.client() for _ in range(2)]
        assert [client.next()["event"] for client in clients] == ["snapshot"] * 2
        assert rig.client().next() is None
        counts = rig.server.counts
        assert (counts.accepted, counts.refused, rig.server.clients) == (2, 1, 2)
        clients[0].close()
        wait_for(lambda: rig.server.clients == 1, rig)
        assert rig.client().next()["event"] == "snapshot"


def test_posting_never_blocks_and_lost_events_are_counted(tmp_path):
    """If the thread is too slow: bounded memory, and the numbers show the gap."""
    server = FeedServer(tmp_path / "feed.sock", RealClock(), FeedLimits(max_posts=3))
    for n in range(5):
        server.post("lamp", {"lamp": str(n)})
    assert (server.counts.events, server.counts.events_lost) == (5, 2)
    assert [number for number, *_ in server._posts] == [1, 2, 3]


def test_stop_sends_the_last_events_and_removes_the_socket(tmp_path):
    with running(tmp_path / "feed.sock") as rig:
        client = rig.client()
        assert client.next()["event"] == "snapshot"
        rig.server.post("stopping", {})
        rig.stop()
        assert client.until("stopping")
        assert client.next() is None
        assert not rig.path.exists()


def test_after_a_crash_the_sockets_left_behind_are_replaced(tmp_path):
    """Clients connect again by the same path; whoever sees the socket can connect."""
    path = tmp_path / "feed.sock"
    for name in ("feed.sock", "feed.sock.new"):
        left = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        left.bind(str(tmp_path / name))
        left.close()
    with pytest.raises(ConnectionRefusedError):
        Client(path)
    inode = path.stat().st_ino
    rig = make_rig(path)
    wait_for(lambda: path.stat().st_ino != inode, rig)
    assert rig.client().next()["event"] == "snapshot"
    rig.close()
    assert list(tmp_path.iterdir()) == []
    with running(path) as rig:
        assert rig.client().next()["event"] == "snapshot"


def test_socket_of_another_process_is_not_removed(tmp_path):
    path = tmp_path / "feed.sock"
    first = LocalSocket(path)
    second = LocalSocket(path)
    first.close()
    assert path.exists()
    second.close()
    second.close()
    assert not path.exists()


def test_file_that_is_not_a_socket_is_kept(tmp_path):
    """The agent works without its feed, and counts the failure."""
    path = tmp_path / "feed.sock"
    path.write_text("precious", encoding="ascii")
    rig = make_rig(path)
    wait_for(lambda: rig.server.counts.failures == 1, rig)
    rig.server.post("lamp", {"lamp": "off"})
    wait_for(lambda: not rig.server._posts, rig)
    rig.close()
    assert path.read_text(encoding="ascii") == "precious"


def test_missing_socket_folder_is_counted(tmp_path):
    rig = make_rig(tmp_path / "nowhere" / "feed.sock")
    wait_for(lambda: rig.server.counts.failures == 1, rig)
    rig.close()


def test_failing_socket_is_replaced(tmp_path):
    """Without descriptors, say; the clients that are there keep what they have."""
    clock = SimClock()
    with running(tmp_path / "feed.sock", clock=clock) as rig:
        client = rig.client()
        assert client.next()["event"] == "snapshot"
        failing = rig.server._socket
        failing.accept = lambda: (_ for _ in ()).throw(OSError("too many open files"))
        rig.client()
        wait_for(lambda: rig.server.counts.failures == 1, rig)
        assert not rig.path.exists()
        rig.server.post("lamp", {"lamp": "off"})
        assert client.next()["lamp"] == "off"
        clock.advance_to(10_000_000_001)
        wait_for(rig.path.exists, rig)
        assert rig.client().next()["event"] == "snapshot"


@pytest.fixture
def any_umask():
    before = os.umask(0)
    yield os.umask
    os.umask(before)


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077])
def test_owner_and_group_may_connect_and_nobody_else(tmp_path, any_umask, mask):
    any_umask(mask)
    feed = LocalSocket(tmp_path / "feed.sock")
    found = (tmp_path / "feed.sock").stat()
    assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o660, os.geteuid(), os.getegid())
    feed.close()


def test_snapshot_has_the_hits_that_wait_for_a_decision(tmp_path):
    """The latest document of each, in the order in which they were raised."""
    with running(tmp_path / "feed.sock") as rig:
        first = rig.client()
        for hit_id, state in (("a", "new"), ("b", "new"), ("c", "new"), ("a", "acknowledged"), ("b", "confirmed")):
            rig.server.post("hit", {"hit": {"hit_id": hit_id, "state": state}})
        while first.next()["n"] < 5:
            pass
        assert [(hit["hit_id"], hit["state"]) for hit in rig.client().next()["hits"]] == [
            ("a", "acknowledged"), ("c", "new"),
        ]  # fmt: skip
