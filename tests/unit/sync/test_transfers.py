"""Files of any kind come down side by side, each to its own folder, whatever the link does; updates are one kind."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from agent.buffer import Limits, OutboxReader, open_outbox
from agent.sync.transfer import FileKind, FileRefusedError, FileTransfer, Transfers, TransferState, Want
from agent.sync.uplink import Uplink
from hw.clock import SimClock
from hw.link_sim import LinkSim
from protocol.errors import WireError
from protocol.wire.codec import decode, encode
from protocol.wire.control.transfer import ChunkRequest, FileOffer, FilePart
from protocol.wire.record import decode_record
from protocol.wire.released import released_registry
from protocol.wire.topics import Channel, build, heard_by_unit, offer_topic, parse
from tests.builders import BOOT, make_encoder, make_read

S = 1_000_000_000
UNIT = "unit-07"
PART = 1_000
MAPS, SONGS = bytes(range(256)) * 20, b"la" * 4_321
MAX_ROUNDS = 2_000


def offer_of(data: bytes, kind: str, **changes) -> FileOffer:
    values = {"unit": UNIT, "release": 1, "sha256": hashlib.sha256(data).digest(), "size_bytes": len(data)}
    return FileOffer(**{**values, "attempt": 0, "parts": (), "kind": kind, **changes})


@dataclass
class Station:
    """Serves the bytes of its files, and counts what else it hears."""

    files: dict[bytes, bytes] = field(default_factory=dict)
    records: list[int] = field(default_factory=list)
    asked: list[tuple[bytes, int]] = field(default_factory=list)

    def hear(self, topic: str, payload: bytes) -> list[tuple[str, bytes]]:
        if parse(topic).channel is Channel.READ:
            self.records.append(decode_record(payload, released_registry()).envelope.seq)
        if parse(topic).channel is not Channel.UPDATE:
            return []
        request = decode(payload, ChunkRequest)
        self.asked.append((request.sha256, request.offset))
        data = self.files[request.sha256][request.offset : request.offset + PART]
        part = FilePart(unit=UNIT, sha256=request.sha256, offset=request.offset, data=data)
        return [(build(UNIT, Channel.PART), encode(part))]


class Side:
    """A unit that takes two kinds of files, on a scripted link."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.clock = SimClock()
        self.station = Station()
        self.wants = {"maps": Want.NOW, "songs": Want.NOW}
        self.outbox = open_outbox(
            folder / "state", make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0)
        )[0]
        self.reader = OutboxReader(self.outbox.path)
        self.start()

    def start(self) -> None:
        """A process of the agent, in place of the one before."""
        self.link = LinkSim(self.station.hear, self.clock)
        self.by_kind = {
            kind: FileTransfer(
                FileKind(kind, self.folder / kind, f"{kind}.new", 10_000, lambda _, kind=kind: self.wants[kind]),
                unit=UNIT,
                boot_id=BOOT,
                timeout_s=20.0,
            )
            for kind in self.wants
        }
        self.transfers = Transfers(UNIT, tuple(self.by_kind.values()))
        self.uplink = Uplink(
            self.link, self.reader, lambda _: None, unit=UNIT, boot_id=BOOT, downloads=self.transfers
        )
        self.link.start(
            lambda event: self.uplink.handle(event, self.clock.mono_ns()),
            subscribe=heard_by_unit(UNIT),
            will=None,
        )
        self.link.up()
        self.link.step()

    def offer(self, data: bytes, kind: str, **changes) -> None:
        self.station.files[hashlib.sha256(data).digest()] = data
        self.transfers.offered(kind, encode(offer_of(data, kind, **changes)))

    def round(self) -> None:
        self.clock.advance(S)
        self.link.step()
        self.uplink.pump(self.clock.mono_ns())

    def settle(self, *kinds: str) -> None:
        for _ in range(MAX_ROUNDS):
            if all(self.by_kind[kind].state is TransferState.HANDED for kind in kinds):
                return
            self.round()
        raise AssertionError({kind: transfer.state for kind, transfer in self.by_kind.items()})

    def got(self, kind: str) -> bytes | None:
        path = self.folder / kind / f"{kind}.new"
        return path.read_bytes() if path.exists() else None

    def close(self) -> None:
        self.reader.close()
        self.outbox.close()


@pytest.fixture
def side(tmp_path):
    made = Side(tmp_path)
    yield made
    made.close()


def test_two_kinds_are_fetched_in_parallel(side):
    """The larger file does not delay the other; each is complete in its own folder."""
    side.offer(MAPS, "maps")
    side.offer(SONGS, "songs")
    for _ in range(4):
        side.round()
    assert all(0 < side.by_kind[kind].fetched < 5_000 for kind in side.by_kind)
    side.settle("maps", "songs")
    assert (side.got("maps"), side.got("songs")) == (MAPS, SONGS)


def test_records_have_priority_over_files(side):
    side.offer(MAPS, "maps")
    side.outbox.append([make_read(n, pictures=()) for n in range(1, 6)])
    side.round()
    assert (side.station.records, len(side.station.asked)) == ([1, 2, 3, 4, 5], 1)


def test_offer_must_be_on_the_topic_of_its_kind(side):
    """A retained offer for each kind: the broker holds them all, and none is taken for another."""
    topics = {offer_topic(UNIT, kind) for kind in ("update", "maps", "songs")}
    assert len(topics) == 3
    assert offer_topic(UNIT, "update") == build(UNIT, Channel.COMMAND)
    with pytest.raises(WireError, match="maps on the topic of songs"):
        side.transfers.offered("songs", encode(offer_of(MAPS, "maps")))
    with pytest.raises(WireError, match="another unit"):
        side.transfers.offered("maps", encode(offer_of(MAPS, "maps", unit="unit-08")))
    assert not side.transfers.offered("hats", encode(offer_of(MAPS, "hats")))
    assert side.transfers.next_request(0, metered=False) is None


def test_kind_of_updates_is_the_default():
    """Offers of the last release are the same bytes, and are read as updates."""
    update = offer_of(MAPS, "update")
    assert b"kind" not in encode(update)
    assert decode(encode(update), FileOffer).kind == "update"
    assert decode(encode(offer_of(MAPS, "maps")), FileOffer).kind == "maps"


@pytest.mark.parametrize("kind", ["", "Maps", "a/b", "+", "#", "maps\n", "a" * 17])
def test_invalid_kind_is_refused(kind):
    with pytest.raises(WireError):
        offer_topic(UNIT, kind)


def test_too_large_file_is_refused_and_unwanted_file_waits(side):
    """Neither leaves anything behind, and a right offer afterwards is taken."""
    side.wants["songs"] = Want.LATER
    side.offer(MAPS, "maps", size_bytes=10_001)
    side.offer(SONGS, "songs")
    for _ in range(10):
        side.round()
    states = [side.by_kind[kind].state for kind in ("maps", "songs")]
    assert (states, side.station.asked) == ([TransferState.REFUSED, TransferState.WAITING], [])
    assert not (side.folder / "maps").exists()
    side.wants["songs"] = Want.NOW
    side.offer(MAPS, "maps")
    side.settle("maps", "songs")


def test_next_file_waits_for_the_consumer_of_the_last(side):
    side.offer(MAPS, "maps")
    side.settle("maps")
    side.offer(SONGS, "maps", release=2)
    for _ in range(10):
        side.round()
    assert side.by_kind["maps"].state is TransferState.WAITING
    (side.folder / "maps" / "maps.new").unlink()
    side.settle("maps")
    assert side.got("maps") == SONGS


def test_two_transfers_of_one_kind_are_refused(side):
    with pytest.raises(ValueError, match="two transfers of one kind"):
        Transfers(UNIT, (side.by_kind["maps"], side.by_kind["maps"]))


@pytest.mark.slow
@settings(max_examples=40)
@given(st.lists(st.sampled_from(["round", "down", "up", "restart", "deaf"]), max_size=60))
def test_both_files_arrive_over_an_unreliable_link(tmp_path_factory, events):
    side = Side(tmp_path_factory.mktemp("transfers"))

    def offer() -> None:
        side.offer(MAPS, "maps")
        side.offer(SONGS, "songs")

    offer()
    for event in events:
        if event == "restart":
            side.start()
            offer()
        elif event == "deaf":
            side.link.down()
            side.link.up()
        elif event in {"down", "up"}:
            getattr(side.link, event)()
        side.round()
    side.link.up()
    side.settle("maps", "songs")
    assert (side.got("maps"), side.got("songs")) == (MAPS, SONGS)
    side.close()


def test_shipped_access_list_allows_offers_of_any_kind(repo):
    """Those of the broker that is shipped: nobody has to change them for another kind of file."""
    lines = (repo / "provision" / "broker" / "acl").read_text(encoding="utf-8").splitlines()
    heard = [line.split()[2].replace("%u", UNIT) for line in lines if line.startswith("pattern read")]
    made = [line.split()[2] for line in lines if line.startswith("topic write")]
    topics = [offer_topic(UNIT, kind) for kind in ("update", "maps")]
    for topic in topics:
        assert any(topic_matches_sub(rule, topic) for rule in heard)
        assert any(topic_matches_sub(rule, topic) for rule in made)
        assert any(topic_matches_sub(wanted, topic) for wanted in heard_by_unit(UNIT))
        assert not any(topic_matches_sub(rule, topic.replace(UNIT, "unit-08")) for rule in heard)


class Signed:
    """The consumer of a kind that is verified on the unit: files begin with ``ok``."""

    def __init__(self, folder) -> None:
        self.folder = folder
        self.seen: list[bytes] = []
        self.now_ns = 0
        self.start()

    def verify(self, path) -> None:
        if not path.read_bytes().startswith(b"ok"):
            raise FileRefusedError("signed by another key")

    def start(self) -> None:
        kind = FileKind(
            "maps",
            self.folder / "maps",
            "maps.bin",
            10_000,
            lambda _: Want.NOW,
            verify=self.verify,
            on_installed=lambda path: self.seen.append(path.read_bytes()),
        )
        self.transfer = FileTransfer(kind, unit=UNIT, boot_id=BOOT, timeout_s=20.0)
        self.transfers = Transfers(UNIT, (self.transfer,))

    def fetch(self, data: bytes, **changes) -> None:
        self.transfers.offered("maps", encode(offer_of(data, "maps", **changes)))
        for _ in range(20):
            self.now_ns += 30 * S
            payload = self.transfers.next_request(self.now_ns, metered=False)
            if payload is not None:
                self.transfers.request_sent(self.now_ns)
                offset = decode(payload, ChunkRequest).offset
                sha256 = hashlib.sha256(data).digest()
                part = FilePart(unit=UNIT, sha256=sha256, offset=offset, data=data[offset : offset + PART])
                self.transfers.take(encode(part))

    @property
    def installed(self) -> bytes:
        return (self.folder / "maps" / "maps.bin").read_bytes()


def test_verified_file_replaces_the_last_one_and_its_consumer_is_told(tmp_path):
    side = Signed(tmp_path)
    side.fetch(b"ok 1")
    side.fetch(b"ok 2", release=2)
    assert (side.installed, side.seen) == (b"ok 2", [b"ok 1", b"ok 2"])
    assert side.transfers.gauges() == {"files.maps.offered": 2, "files.maps.fetched": 2}
    side.start()
    side.fetch(b"ok 2", release=2)
    assert len(side.seen) == 2, "not fetched again after a restart"
    assert side.transfers.counters()["files.maps.chunk_requests"] == 0
    side.folder.joinpath("maps", "maps.bin").unlink()
    side.fetch(b"ok 2", release=2)
    assert side.installed == b"ok 2", "fetched again where it was lost"


def test_file_refused_by_its_kind_never_replaces_the_last_one(tmp_path):
    """The reason and the refusal survive a restart; offered again, it is fetched again."""
    side = Signed(tmp_path)
    side.fetch(b"ok 1")
    side.fetch(b"forged", release=2)
    for _ in range(2):
        assert (side.installed, side.seen) == (b"ok 1", [b"ok 1"])
        assert (side.transfer.state, side.transfer.reason) == (TransferState.REFUSED, "signed by another key")
        assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["handed", "maps.bin", "refused"]
        side.start()
        side.seen = [b"ok 1"]
        side.fetch(b"forged", release=2)
    assert side.transfer.counts.chunk_requests == 0
    side.fetch(b"forged", release=2, attempt=1)
    assert side.transfer.counts.refused == 1
    side.fetch(b"ok 3", release=3)
    assert side.installed == b"ok 3"


def test_failed_write_at_the_end_is_tried_again(tmp_path):
    side = Signed(tmp_path)
    (tmp_path / "maps" / "handed").mkdir(parents=True)
    side.fetch(b"ok 1")
    assert side.transfer.counts.unwritten > 0
    (tmp_path / "maps" / "handed").rmdir()
    side.fetch(b"ok 1")
    assert (side.installed, side.transfer.state) == (b"ok 1", TransferState.HANDED)
