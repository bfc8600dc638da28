"""What is sealed opens for the station alone, and only as it was sealed."""

from __future__ import annotations

import hashlib
import stat
from dataclasses import replace

import pytest
from agent.sync.convert import read_message
from hypothesis import given
from hypothesis import strategies as st
from protocol.wire.wire import decode_record, encode_read

from protocol.errors import KeyFileError, KeyUnknownError, SealError, WireError
from protocol.seal import KeyRing, Opener, Sealer, SigningKey, StationKey, VerifyKey, load_keyring
from protocol.seal.envelope import PICTURE_MAGIC, decode_sealed, open_record, seal_record
from protocol.seal.evidence import START, decode_signed, sign
from tests.builders import BOOT, make_read

OWN, STATION = SigningKey.generate(), StationKey.generate()
RING = KeyRing({STATION.id: STATION}).with_unit("unit-07", OWN.public)
SEALER = Sealer("unit-07", OWN, STATION)
MESSAGE = read_message(make_read(1), unit="unit-07", agency="Example Sheriff", boot_id=BOOT, seq=1)
RECORD = encode_read(MESSAGE)


def seal(record: bytes = RECORD, seq: int = 1, prev: bytes = b"") -> tuple[bytes, bytes]:
    return SEALER.record(seq, MESSAGE.read_id, record, prev)


@given(st.binary(min_size=1, max_size=2000), st.integers(1, 2**63 - 1))
def test_the_station_gets_what_the_unit_sealed(record, seq):
    payload, link = seal(record, seq)
    opened = Opener(RING).record(payload)
    assert (opened.unit, opened.seq, opened.record_id, opened.record) == ("unit-07", seq, MESSAGE.read_id, record)
    assert opened.evidence.link == link
    assert opened.evidence.prev == START


def test_nothing_of_the_contents_shows():
    payload, _ = seal()
    assert MESSAGE.text.encode() in RECORD
    for secret in (MESSAGE.text, MESSAGE.region, MESSAGE.camera, MESSAGE.agency):
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
        Opener(RING).record(bytes(broken))


@given(st.binary(max_size=300))
def test_garbage_is_refused_with_the_one_error(garbage):
    for decode in (Opener(RING).record, decode_sealed, decode_signed):
        with pytest.raises(WireError):
            decode(garbage)


@pytest.mark.parametrize("change", [{"seq": 2}, {"unit": "unit-08"}, {"record_id": bytes(16)}])
def test_a_header_cannot_be_exchanged(change):
    """The checksum can be made right by anybody; the seal cannot."""
    sealed = replace(decode_sealed(seal()[0]), **change)
    with pytest.raises(SealError):
        open_record(STATION, decode_sealed(sealed.encode()))


def test_another_units_signature_is_refused():
    stranger = Sealer("unit-07", SigningKey.generate(), STATION)
    payload, _ = stranger.record(1, MESSAGE.read_id, RECORD, b"")
    with pytest.raises(KeyUnknownError, match=r"unit-unit-07\.pub"):
        Opener(RING).record(payload)


def test_a_wrong_signature_is_refused():
    signed, _ = sign(OWN, "unit-07", 1, START, record=RECORD, salt=bytes(16))
    other, _ = sign(OWN, "unit-07", 2, START, record=RECORD, salt=bytes(16))
    right, wrong = decode_signed(signed), decode_signed(other)
    assert right.evidence("unit-07", 1).is_signed_by(OWN.public)
    assert not wrong.evidence("unit-07", 1).is_signed_by(OWN.public)
    with pytest.raises(SealError, match="signature"):
        Opener(RING).record(seal_record(STATION, "unit-07", 1, MESSAGE.read_id, other))


def test_keys_rotate_with_records_of_both_in_the_outbox():
    """The station keeps its old pair and the units' old keys: what was sealed before still opens."""
    newer_station, newer_own = StationKey.generate(), SigningKey.generate()
    newer, _ = Sealer("unit-07", newer_own, newer_station).record(2, MESSAGE.read_id, RECORD, seal()[1])
    with pytest.raises(KeyUnknownError):
        Opener(RING).record(newer)
    both = KeyRing({STATION.id: STATION, newer_station.id: newer_station}, RING.units).with_unit(
        "unit-07", newer_own.public
    )
    for payload in (seal()[0], newer):
        assert decode_record(Opener(both).record(payload).record) == MESSAGE


def test_the_unit_cannot_read_back_what_it_stored():
    public_half = StationKey(STATION.public)
    with pytest.raises(SealError):
        Opener(KeyRing({public_half.id: public_half}, RING.units)).record(seal()[0])


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
    with pytest.raises(KeyFileError, match="exists already"):
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
