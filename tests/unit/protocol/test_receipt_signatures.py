"""Signed receipts and nacks: without a valid signature they have no effect."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from agent.buffer import Limits, OutboxReader, open_outbox
from agent.sync.uplink import Uplink
from hw.ports import LinkUp, Received
from protocol.errors import KeyFileError, SealError, WireError
from protocol.seal import Opener, ReceiptVerifier, SigningKey, StationKey, VerifyKey, load_keyring, sign_answer
from protocol.seal.keys import RECEIPT_KEY, RECEIPT_PUBLIC
from protocol.wire.codec import decode, encode, pack, payload_ref, unpack
from protocol.wire.control.receipt import Nack, PictureStatus, Receipt
from protocol.wire.enums import NackCode
from protocol.wire.topics import Channel, build
from station.ingest import Ingest
from station.store import open_store
from tests.builders import BOOT, make_encoder, make_read, make_read_record

OWN = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = SigningKey.generate()
BELIEVED = ReceiptVerifier.of([OWN.public])


def receipt(*, station="station", records=(), pictures=()) -> bytes:
    return encode(Receipt(unit="unit-07", station=station, stored_us=1, records=records, pictures=pictures))


def nack(payload: bytes, code: NackCode, *, retry: bool) -> bytes:
    return encode(Nack(unit="unit-07", ref=payload_ref(payload), code=code, retry=retry, detail=""))


RECEIPT = receipt(records=((1, make_read(1).read_id),))
DOWN = build("unit-07", Channel.RECEIPT)


def test_signed_message_is_accepted_and_decodes_the_same():
    """Receivers without support for signatures decode the same message."""
    signed = sign_answer(OWN, RECEIPT)
    BELIEVED.check(signed)
    plain, told = decode(RECEIPT, Receipt), decode(signed, Receipt)
    assert (plain.records, plain.unit, plain.stored_us) == (told.records, told.unit, told.stored_us)
    assert set(unpack(signed)) - set(unpack(RECEIPT)) == {"key", "sig"}


@pytest.mark.parametrize(
    "forged", [RECEIPT, sign_answer(OTHER, RECEIPT), pack({**unpack(RECEIPT), "key": OWN.id})]
)
def test_unsigned_and_foreign_messages_are_refused(forged):
    with pytest.raises(SealError):
        BELIEVED.check(forged)


def test_forged_key_id_is_refused():
    """A key id proves nothing."""
    forged = {**unpack(sign_answer(OTHER, RECEIPT)), "key": OWN.id}
    with pytest.raises(SealError, match="invalid"):
        BELIEVED.check(pack(forged))


@pytest.mark.slow
@given(st.data())
def test_any_change_of_a_signed_message_is_refused(data):
    """Any key of the message changed, taken away or added."""
    signed = unpack(sign_answer(OWN, RECEIPT))
    name = data.draw(st.sampled_from([*sorted(signed), "new"]))
    value = data.draw(st.one_of(st.integers(0, 2**40), st.binary(max_size=70), st.text(max_size=9), st.just(None)))
    changed = (
        {key: old for key, old in signed.items() if key != name} if value is None else {**signed, name: value}
    )
    if changed == signed:
        return
    with pytest.raises(SealError):
        BELIEVED.check(pack(changed))


def test_the_bytes_of_a_signed_receipt_are_pinned(bless, repo):
    """A station in another language signs the same bytes."""
    path = repo / "tests" / "golden" / "wire" / "signed_receipt.hex"
    signed = sign_answer(OWN, RECEIPT)
    if bless:
        path.write_text(signed.hex(" ", 16).replace(" ", "\n") + "\n", encoding="ascii")
    assert bytes.fromhex(path.read_text(encoding="ascii")) == signed


class Unit:
    """An uplink that verifies the signatures of one station, on a real outbox with one read."""

    def __init__(self, folder, verifier) -> None:
        self.outbox = open_outbox(folder, make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0))[0]
        self.outbox.append([make_read(1)])
        self.reader = OutboxReader(self.outbox.path)
        self.commands: list = []
        self.sent: list[bytes] = []
        self.uplink = Uplink(
            self, self.reader, self.commands.append, unit="unit-07", boot_id=BOOT, verifier=verifier
        )
        self.uplink.handle(LinkUp(16), 0)
        self.uplink.pump(0)

    def publish(self, _topic, payload, *, token, retain=False, qos=1) -> None:
        self.sent.append(payload)

    def confirm(self) -> None:
        """The link needs no confirmation."""

    def receive(self, payload: bytes) -> int:
        """Return how many records and pictures are left."""
        self.uplink.handle(Received(DOWN, payload), 0)
        self.outbox.apply(self.commands)
        self.commands.clear()
        stats = self.outbox.stats()
        return stats.reads + stats.plates + stats.overviews


@pytest.fixture
def unit(tmp_path):
    made = Unit(tmp_path, BELIEVED)
    yield made
    made.reader.close()
    made.outbox.close()


def test_forged_receipts_and_nacks_have_no_effect(unit):
    """A broker's forged receipt, nack and picture status: counted, and everything still waits."""
    picture = make_read(1).pictures[1]
    lies = [
        RECEIPT,
        nack(unit.sent[0], NackCode.MALFORMED, retry=False),
        nack(unit.sent[0], NackCode.STORAGE, retry=True),
        encode(PictureStatus(unit="unit-07", sha256=picture.sha256, offset=len(picture.jpeg))),
        receipt(station="s", pictures=((picture.sha256, len(picture.jpeg)),)),
    ]
    for lie in lies:
        assert unit.receive(lie) == 3
        assert unit.receive(sign_answer(OTHER, lie)) == 3
    assert unit.uplink.counts.forged == 10
    assert (unit.outbox.stats().quarantined, unit.uplink.counts.nacks, unit.uplink.counts.receipts) == (0, 0, 0)
    assert unit.receive(sign_answer(OWN, RECEIPT)) == 2


def test_unit_without_receipt_key_accepts_unsigned_messages(tmp_path):
    """As documented in the threat model, and reported by doctor."""
    open_minded = Unit(tmp_path, None)
    assert open_minded.receive(RECEIPT) == 2
    assert open_minded.receive(sign_answer(OTHER, RECEIPT)) == 2
    open_minded.reader.close()
    open_minded.outbox.close()


def test_station_with_receipt_key_signs_every_message(tmp_path):
    """Receipts, nacks and picture statuses; the key is beside the station's."""
    StationKey.generate().save(tmp_path / "station.key")
    OWN.save(tmp_path / RECEIPT_KEY)
    opener = Opener(load_keyring(tmp_path))
    assert opener.signs
    store = open_store(tmp_path / "s.db")
    ingest = Ingest(store, "s", lambda: 1, opener=opener, sealed_only=False)
    payload = make_read_record(1).payload
    topic = build("unit-07", Channel.READ)
    told = [answer for bad in (payload, b"\xff", payload) for _, answer in ingest.handle(topic, bad)]
    assert len(told) == 3
    for answer in told:
        BELIEVED.check(answer)
    store.close()


def test_two_receipt_keys_in_one_file(tmp_path):
    """The old one and the new one, one after the other: answers of both are believed; anything else is an error."""
    path = tmp_path / RECEIPT_PUBLIC
    path.write_bytes(OWN.public.pem() + b"\n" + OTHER.public.pem())
    both = ReceiptVerifier.of(VerifyKey.load_all(path))
    both.check(sign_answer(OWN, RECEIPT))
    both.check(sign_answer(OTHER, RECEIPT))
    for wrong in (b"", b"no key", StationKey.generate().pem()):
        path.write_bytes(wrong)
        with pytest.raises(KeyFileError):
            VerifyKey.load_all(path)


def test_signing_or_checking_garbage_raises_wire_error():
    with pytest.raises(WireError):
        BELIEVED.check(b"\xff")
