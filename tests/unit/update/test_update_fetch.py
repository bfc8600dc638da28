"""An offered update comes down bit by bit, in the gaps, whatever is lost, cut short or damaged on the way."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.runtime.config import UpdateTable
from agent.runtime.updates import UpdateReporter
from agent.sync.transfer import FileTransfer, Transfers, TransferState
from agent.update.fetch import MAX_UPDATE_BYTES, update_kind
from agent.update.trial import HealthSample
from protocol.errors import WireError
from protocol.wire.codec import decode, encode
from protocol.wire.control.transfer import ChunkRequest, FileOffer, FilePart, UpdateReport
from tests.update_builder import Unit
from updater.release_state import INBOX

S = 1_000_000_000
FILE = bytes(range(256)) * 400  # 102,400 bytes
PART = 10_000
OFFER = FileOffer(
    unit="unit-07",
    release=42,
    sha256=hashlib.sha256(FILE).digest(),
    size_bytes=len(FILE),
    attempt=0,
    parts=("code",),
)


def offer(**changes) -> bytes:
    return encode(OFFER.model_copy(update=changes))


class Side:
    """The unit's folder of releases and a fetcher that can be killed and made anew."""

    def __init__(self, folder) -> None:
        self.unit = Unit(folder)
        self.folder = folder / "state" / INBOX.parent
        self.now_ns = 0
        self.restart()

    def restart(self, **changes) -> None:
        kind = update_kind(self.folder, self.unit.home, free_only=changes.pop("free_only", True))
        self.fetcher = FileTransfer(kind, unit="unit-07", boot_id=bytes(16), timeout_s=20.0, **changes)
        self.transfers = Transfers("unit-07", (self.fetcher,))

    def offered(self, payload: bytes) -> None:
        self.transfers.offered("update", payload)

    def request(self, *, metered: bool = False) -> int | None:
        """The offset asked for, sent at once."""
        self.now_ns += S
        payload = self.transfers.next_request(self.now_ns, metered=metered)
        if payload is None:
            return None
        self.transfers.request_sent(self.now_ns)
        return decode(payload, ChunkRequest).offset

    def give(self, offset: int, *, data: bytes | None = None, sha256: bytes = OFFER.sha256) -> bool:
        data = FILE[offset : offset + PART] if data is None else data
        return self.transfers.take(encode(FilePart(unit="unit-07", sha256=sha256, offset=offset, data=data)))

    def fetch_all(self) -> None:
        for _ in range(200):
            offset = self.request()
            if offset is not None:
                self.give(offset)
            elif self.fetcher.state is TransferState.HANDED:
                return
        raise AssertionError(self.fetcher.state)

    @property
    def inbox(self) -> bytes | None:
        path = self.folder / INBOX.name
        return path.read_bytes() if path.exists() else None


@pytest.fixture
def side(tmp_path):
    return Side(tmp_path)


def test_offer_is_fetched_into_inbox(side):
    assert side.request() is None, "nothing was offered"
    side.offered(offer())
    side.fetch_all()
    assert side.inbox == FILE
    assert sorted(p.name for p in side.folder.iterdir()) == ["handed", INBOX.name]


def test_one_request_at_a_time_repeated_without_answer(side):
    side.offered(offer())
    assert side.request() == 0
    assert side.request() is None
    side.now_ns += 20 * S
    assert side.request() == 0, "after a time-out"
    side.transfers.link_went()
    assert side.request() == 0, "a new connection asks at once"
    side.give(0)
    assert side.request() == PART


@pytest.mark.slow
@settings(max_examples=30)
@given(st.lists(st.sampled_from(["answer", "lose", "double", "restart", "stray", "link"]), max_size=60))
def test_fetch_completes_despite_loss_duplicates_and_restarts(tmp_path_factory, events):
    side = Side(tmp_path_factory.mktemp("fetch"))
    side.offered(offer())
    for event in events:
        offset = side.request()
        if event == "restart":
            side.restart()
            side.offered(offer())
        elif event == "link":
            side.transfers.link_went()
        elif event == "stray":
            side.give(3 * PART + 1)
        elif offset is not None and event != "lose":
            side.give(offset)
            if event == "double":
                side.give(offset)
        side.now_ns += 20 * S
    side.fetch_all()
    assert side.inbox == FILE
    assert side.fetcher.counts.damaged == 0


def test_fetch_resumes_after_restart(side):
    side.offered(offer())
    for _ in range(5):
        side.give(side.request())
    side.restart()
    side.offered(offer())
    offsets = [side.request(), side.request()]
    assert offsets == [None, 5 * PART], "first what is here is hashed, then the rest is asked for"


def test_damaged_file_is_refetched_with_limit(side):
    side.offered(offer())
    for _ in range(3):
        while (offset := side.request()) is not None:
            side.give(offset, data=b"x" * len(FILE[offset : offset + PART]))
    assert side.fetcher.counts.damaged == 3
    assert side.inbox is None
    assert all(side.request() is None for _ in range(30))
    assert list(side.folder.iterdir()) == []


def test_metered_link_fetches_small_files_only(side):
    side.offered(offer())
    assert side.request(metered=True) is None
    assert side.fetcher.state is TransferState.WAITING
    assert side.request() == 0, "the car is home"
    side.offered(offer(size_bytes=60_000))
    assert side.request(metered=True) == 0
    side.restart(free_only=False)
    side.offered(offer())
    assert side.request(metered=True) == 0


def test_fetched_update_is_not_refetched_unless_reoffered(side):
    side.offered(offer())
    side.fetch_all()
    (side.folder / INBOX.name).unlink()  # root has looked, and refused
    side.restart()
    side.offered(offer())
    assert all(side.request() is None for _ in range(30))
    side.offered(offer(attempt=1))
    side.fetch_all()
    assert side.inbox == FILE


def test_update_known_to_be_refused_is_not_fetched(side):
    side.unit.commit(side.unit.update(42, config="[log]\nlevel = 'debug'\n"))
    side.offered(offer())
    assert side.request() is None
    side.unit.apply(side.unit.update(43, config="[log]\nlevel = 'debug'\n"))
    side.offered(offer(release=44))
    assert side.request() is None
    assert side.fetcher.state is TransferState.WAITING, "for the release on trial"
    side.unit.releases.fail("not well")
    side.now_ns += 10 * S
    assert side.request() == 0
    side.offered(offer(release=43))
    assert side.request() is None, "rolled back here"


def test_newer_offer_replaces_and_withdrawal_deletes(side):
    side.offered(offer())
    side.give(side.request())
    side.offered(offer(release=43, sha256=bytes(32)))
    assert side.request() == 0
    assert list(side.folder.iterdir()) == []
    assert not side.give(0), "bytes of the offer before"
    side.offered(b"")
    assert side.request() is None


def test_write_error_is_counted_and_retried(side):
    side.offered(offer())
    offset = side.request()
    side.folder.parent.mkdir()
    side.folder.touch()  # no folder can be made here
    side.give(offset)
    assert side.fetcher.counts.unwritten == 1
    assert side.request() is None
    side.folder.unlink()
    side.now_ns += 70 * S
    side.fetch_all()


class Failing:
    """A disk on which one operation with the fetched bytes fails, as one that is worn out or has become read-only."""

    def __init__(self, monkeypatch, operation: str) -> None:
        self.fails = True
        before = getattr(Path, operation)

        def act(path: Path, *given, **named):
            if self.fails and path.name.startswith("fetch-"):
                raise OSError(errno.EIO, "Input/output error")
            return before(path, *given, **named)

        monkeypatch.setattr(Path, operation, act)


def test_bytes_of_an_earlier_run_that_cannot_be_read_are_fetched_again(side, monkeypatch):
    side.offered(offer())
    for _ in range(5):
        side.give(side.request())
    side.restart()
    side.offered(offer())
    disk = Failing(monkeypatch, "open")
    assert [side.request() for _ in range(5)] == [None] * 5, "and the uplink goes on"
    disk.fails = False
    side.now_ns += 70 * S
    assert side.request() == 0
    side.give(0)
    side.fetch_all()
    assert side.inbox == FILE


@pytest.mark.parametrize("operation", ["unlink", "stat"])
def test_bytes_that_cannot_be_deleted_or_looked_at_do_not_stop_the_uplink(side, monkeypatch, operation):
    side.offered(offer())
    side.give(side.request())
    side.restart()
    Failing(monkeypatch, operation)
    side.offered(offer(release=43, sha256=bytes(32)))
    side.offered(offer())
    side.offered(b"")
    assert side.request() is None


def test_damaged_file_that_cannot_be_deleted_is_written_over(side, monkeypatch):
    side.offered(offer())
    Failing(monkeypatch, "unlink")
    while (offset := side.request()) is not None:
        side.give(offset, data=b"x" * len(FILE[offset : offset + PART]))
    assert side.fetcher.counts.damaged == 1
    side.fetch_all()
    assert side.inbox == FILE


@pytest.mark.parametrize("payload", [b"\x80", offer(unit="unit-08")])
def test_invalid_or_foreign_offer_is_refused(side, payload):
    with pytest.raises(WireError):
        side.offered(payload)
    assert side.fetcher.offer is None


def test_report_state_of_offered_update(side):
    unit = side.unit
    table = UpdateTable(home=unit.home, confirm=unit.folder / "confirmed", quiet_s=3600)
    desk = UpdateReporter(table, unit.folder / "state", side.fetcher)

    def report(*, again=False):
        side.now_ns += 10 * S
        desk.step(HealthSample(1, (1,), late=False, link_up=True), 0, side.now_ns)
        payload = desk.report("unit-07", bytes(16), bytes(32), again=again)
        if payload is None:
            return None
        report = decode(payload, UpdateReport)
        return report.running, report.release, report.state.value, report.reason

    assert report() == (0, 0, "idle", "")
    assert report() is None, "nothing new"
    assert report(again=True) == (0, 0, "idle", "")
    data = unit.update(42, config="[log]\nlevel = 'debug'\n")
    sha256 = hashlib.sha256(data).digest()
    side.offered(offer(sha256=sha256, size_bytes=len(data)))
    offset = side.request()
    assert report() == (0, 42, "fetching", "")
    side.give(offset, data=data, sha256=sha256)
    assert side.request() is None
    assert report() == (0, 42, "handed", "")
    (side.folder / INBOX.name).unlink()
    unit.apply(data)
    assert report() == (0, 42, "trial", "")
    unit.releases.fail("not healthy in time")
    assert report() == (0, 42, "rolled_back", "not healthy in time")


def test_offer_larger_than_any_update_is_refused(side):
    """Nobody has signed the offer: the largest number that the wire takes must not fill the disk."""
    side.offered(offer())
    side.give(side.request())
    side.offered(offer(size_bytes=2**62))
    assert all(side.request() is None for _ in range(30))
    side.give(0)
    assert list(side.folder.iterdir()) == []
    assert (side.fetcher.state, side.fetcher.counts.too_large) == (TransferState.REFUSED, 1)
    table = UpdateTable(home=side.unit.home, confirm=side.folder / "confirmed")
    payload = UpdateReporter(table, side.folder.parent, side.fetcher).report(
        "u", bytes(16), bytes(32), again=False
    )
    report = decode(payload, UpdateReport)
    assert (report.release, report.state.value) == (42, "refused")
    side.offered(offer(size_bytes=MAX_UPDATE_BYTES))
    assert side.request() == 0, "as large as updates are made"


def test_reserve_for_records_is_kept_free(side):
    """The disk fills up while a file comes: it waits, and goes on when there is room again."""
    free = {"bytes": 500_000}
    side.restart(min_free_bytes=450_000, room=lambda _: free["bytes"])
    side.offered(offer())
    assert side.request() is None
    assert side.fetcher.state is TransferState.WAITING
    free["bytes"] = 450_000 + len(FILE)
    side.now_ns += 10 * S
    side.give(side.request())
    free["bytes"] -= PART + 1
    side.now_ns += 10 * S
    assert side.request() is None
    assert side.fetcher.fetched == PART
    free["bytes"] += 1
    side.now_ns += 10 * S
    side.fetch_all()
