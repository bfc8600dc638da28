"""Sealed records open only with the station's key, and only unaltered."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import KeyFileError, KeyUnknownError, SealError, WireError
from protocol.seal import KeyRing, Opener, Sealer, SigningKey, StationKey, VerifyKey, load_keyring
from protocol.seal.envelope import PICTURE_MAGIC, _checksum, decode_sealed, open_record, seal_record
from protocol.seal.evidence import START, decode_signed, sign
from protocol.wire.codec import encode
from protocol.wire.record import decode_record
from protocol.wire.released import released_registry
from tests.builders import make_read, make_read_record

if TYPE_CHECKING:
    from protocol.seal.opener import OpenedRecord

OWN, STATION = SigningKey.generate(), StationKey.generate()
RING = KeyRing({STATION.id: STATION}).with_unit("unit-07", OWN.public)
SEALER = Sealer("unit-07", OWN, STATION)
READ = make_read_record(1)
READ_ID, RECORD = READ.envelope.record_id, READ.payload


def opened_by(ring: KeyRing, payload: bytes) -> OpenedRecord:
    return Opener(ring).record(decode_sealed(payload))


def seal(record: bytes = RECORD, seq: int = 1, prev: bytes = b"") -> tuple[bytes, bytes]:
    return SEALER.record(seq, READ_ID, record, prev)


@given(st.binary(min_size=1, max_size=2000), st.integers(1, 2**63 - 1))
def test_sealed_record_opens_at_the_station(record, seq):
    payload, link = seal(record, seq)
    opened = opened_by(RING, payload)
    assert (opened.unit, opened.seq, opened.record_id, opened.record) == ("unit-07", seq, READ_ID, record)
    assert opened.evidence.link == link
    assert opened.evidence.prev == START


def test_sealed_bytes_do_not_contain_the_contents():
    payload, _ = seal()
    body = READ.body
    assert body.text.encode() in RECORD
    for secret in (body.text, body.region, body.camera, READ.envelope.agency):
        assert secret.encode() not in payload
    again, _ = seal()
    assert decode_sealed(again).box != decode_sealed(payload).box, "the same record must not look the same twice"


def test_a_read_stays_below_one_kilobyte_on_the_wire():
    payload, _ = seal()
    assert len(payload) <= 1024


@given(st.data())
def test_any_flipped_bit_is_refused(data):
    payload, _ = seal()
    bit = data.draw(st.integers(0, len(payload) * 8 - 1))
    broken = bytearray(payload)
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(WireError):
        opened_by(RING, bytes(broken))


@given(st.binary(max_size=300))
def test_garbage_raises_only_the_declared_errors(garbage):
    for decode in (lambda payload: opened_by(RING, payload), decode_sealed, decode_signed):
        with pytest.raises(WireError):
            decode(garbage)


@pytest.mark.parametrize("change", [{"seq": 2}, {"unit": "unit-08"}, {"record_id": bytes(16)}])
def test_changed_header_does_not_open(change):
    """The checksum can be recomputed by anyone; the seal cannot."""
    sealed = decode_sealed(seal()[0]).model_copy(update=change)
    right = sealed.model_copy(update={"checksum": _checksum(sealed.info, sealed.box)})
    with pytest.raises(SealError, match="cannot be opened"):
        open_record(STATION, decode_sealed(encode(right)))


def test_another_units_signature_is_refused():
    stranger = Sealer("unit-07", SigningKey.generate(), STATION)
    payload, _ = stranger.record(1, READ_ID, RECORD, b"")
    with pytest.raises(KeyUnknownError, match=r"unit-unit-07\.pub"):
        opened_by(RING, payload)


def test_a_wrong_signature_is_refused():
    signed, _ = sign(OWN, "unit-07", 1, START, record=RECORD, salt=bytes(16))
    other, _ = sign(OWN, "unit-07", 2, START, record=RECORD, salt=bytes(16))
    right, wrong = decode_signed(signed), decode_signed(other)
    assert right.evidence("unit-07", 1).is_signed_by(OWN.public)
    assert not wrong.evidence("unit-07", 1).is_signed_by(OWN.public)
    with pytest.raises(SealError, match="signature"):
        opened_by(RING, seal_record(STATION, "unit-07", 1, READ_ID, other))


def test_key_rotation_with_records_of_both_keys():
    """The station keeps its old pair and the units' old keys: what was sealed before still opens."""
    newer_station, newer_own = StationKey.generate(), SigningKey.generate()
    newer, _ = Sealer("unit-07", newer_own, newer_station).record(2, READ_ID, RECORD, seal()[1])
    with pytest.raises(KeyUnknownError):
        opened_by(RING, newer)
    both = KeyRing({STATION.id: STATION, newer_station.id: newer_station}, RING.units).with_unit(
        "unit-07", newer_own.public
    )
    for payload in (seal()[0], newer):
        assert decode_record(opened_by(both, payload).record, released_registry()) == READ


def test_unit_cannot_open_its_own_records():
    public_half = StationKey(STATION.public)
    with pytest.raises(SealError):
        opened_by(KeyRing({public_half.id: public_half}, RING.units), seal()[0])


def test_pictures_are_sealed_once_and_open_for_the_station():
    picture = make_read(1).pictures[0]
    sha, blob = SEALER.picture(picture.sha256, picture.jpeg)
    assert hashlib.sha256(blob).digest() == sha
    assert picture.jpeg not in blob
    assert SEALER.picture(picture.sha256, picture.jpeg) == (sha, blob)
    assert Opener(RING).picture(blob) == picture.jpeg
    assert Opener(RING).picture(picture.jpeg) is None
    with pytest.raises(KeyUnknownError):
        Opener(KeyRing()).picture(blob)
    with pytest.raises(SealError):
        Opener(RING).picture(blob[:-1] + bytes([blob[-1] ^ 1]))
    assert blob.startswith(PICTURE_MAGIC)


def test_key_files(tmp_path):
    own, station = SigningKey.generate(), StationKey.generate()
    own.save(tmp_path / "unit.key")
    station.save(tmp_path / "station.key")
    (tmp_path / "unit-a.pub").write_bytes(own.public.pem())
    (tmp_path / "station.pub").write_bytes(station.pem())
    assert stat.S_IMODE((tmp_path / "unit.key").stat().st_mode) == 0o600
    assert SigningKey.load(tmp_path / "unit.key").id == own.id
    assert StationKey.load_public(tmp_path / "station.pub").id == station.id
    ring = load_keyring(tmp_path)
    assert set(ring.stations) == {station.id}
    assert set(ring.units["a"]) == {own.id}
    with pytest.raises(KeyFileError, match="already exists"):
        own.save(tmp_path / "unit.key")
    with pytest.raises(KeyFileError, match="Ed25519"):
        VerifyKey.load(tmp_path / "station.pub")
    with pytest.raises(KeyFileError, match="X25519"):
        StationKey.load_private(tmp_path / "unit.key")
    (tmp_path / "unit.key").chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        SigningKey.load(tmp_path / "unit.key")
    (tmp_path / "unit-a.pub").write_bytes(b"nonsense")
    with pytest.raises(KeyFileError, match="PEM"):
        load_keyring(tmp_path)
    with pytest.raises(KeyFileError, match="cannot be read"):
        SigningKey.load(tmp_path / "absent.key")
    with pytest.raises(KeyFileError, match="no station"):
        load_keyring(tmp_path / "empty")
