"""A list that the station offers is fetched in parts, put in force, and not fetched again; two lists have two slots."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from agent.records import CharRead, PlateText
from agent.runtime.lists import PACKAGE, inbox, kind_names, list_kinds
from agent.sync.transfer import FileTransfer, Transfers, TransferState
from protocol.hotlist.entry import Entry
from protocol.seal.keys import SigningKey
from protocol.wire.codec import decode, encode
from protocol.wire.control.transfer import ChunkRequest, FileOffer, FilePart
from tests.hotlist_builder import make_package, make_settings
from tests.unit.runtime import test_lists_component as unit

if TYPE_CHECKING:
    from pathlib import Path

S, PART, BOOT = 1_000_000_000, 200, bytes(16)


class Delivery:
    """The transfers of a unit with a station that answers every request."""

    def __init__(self, folder: Path) -> None:
        self.config = unit.config_of(folder)
        self.lists = unit.component(self.config)
        self.by_kind = {
            kind.name: FileTransfer(kind, unit="unit-07", boot_id=BOOT, timeout_s=20.0)
            for kind in list_kinds(self.config, self.lists.on_fetched)
        }
        self.transfers = Transfers("unit-07", tuple(self.by_kind.values()))
        self.files: dict[bytes, bytes] = {}
        self.requests = 0
        self.t_ns = S

    def offer(self, package: bytes, kind: str, attempt: int = 0) -> None:
        sha256 = hashlib.sha256(package).digest()
        self.files[sha256] = package
        offer = FileOffer(
            unit="unit-07", release=1, sha256=sha256, size_bytes=len(package), attempt=attempt, parts=(), kind=kind
        )
        self.transfers.offered(kind, encode(offer))

    def settle(self) -> None:
        for _ in range(500):
            self.t_ns += 6 * S
            request = self.transfers.next_request(self.t_ns, metered=False)
            if request is None:
                continue
            self.requests += 1
            self.transfers.request_sent(self.t_ns)
            asked = decode(request, ChunkRequest)
            data = self.files[asked.sha256][asked.offset : asked.offset + PART]
            part = FilePart(unit="unit-07", sha256=asked.sha256, offset=asked.offset, data=data)
            self.transfers.take(encode(part))
        unit.work(self.lists)

    def found(self, text: str) -> list[str]:
        plate = PlateText(tuple(CharRead(c, 0.9) for c in text), 0.9)
        return [match.list.list_id for match in self.lists.matcher.match(plate, now_utc_us=None)]


def test_lists_are_fetched_put_in_force_and_not_fetched_again(tmp_path: Path) -> None:
    side = Delivery(tmp_path)
    side.offer(make_package([Entry("1", "ABC123")], unit.AUTHORITY), "hotlist")
    amber = make_settings(list_id="amber")
    side.offer(make_package([Entry("2", "ABC123")], unit.AUTHORITY, settings=amber), "hotlist-2")
    side.settle()
    assert sorted(side.found("ABC123")) == ["amber", "stolen"]
    requests = side.requests
    side.settle()
    assert side.requests == requests
    assert not any((inbox(side.config, kind) / PACKAGE).exists() for kind in kind_names())


def test_a_refused_list_is_not_fetched_again_until_it_is_offered_again(tmp_path: Path) -> None:
    side = Delivery(tmp_path)
    bad = make_package([Entry("1", "ABC123")], SigningKey.generate())
    side.offer(bad, "hotlist")
    side.settle()
    requests = side.requests
    side.settle()
    assert side.requests == requests
    assert side.lists.counters()["hotlist.refused"] == 1
    assert side.by_kind["hotlist"].state is TransferState.HANDED
    side.offer(bad, "hotlist", attempt=1)
    side.settle()
    assert side.lists.counters()["hotlist.refused"] == 2


def test_a_delta_follows_its_full_list_in_the_same_slot(tmp_path: Path) -> None:
    side = Delivery(tmp_path)
    first = make_package([Entry("1", "ABC123")], unit.AUTHORITY)
    side.offer(first, "hotlist")
    side.settle()
    side.offer(make_package([Entry("2", "XYZ789")], unit.AUTHORITY, version=2, base=first), "hotlist")
    side.settle()
    assert (side.found("ABC123"), side.found("XYZ789")) == ([], ["stolen"])
