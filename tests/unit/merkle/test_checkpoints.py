"""Checkpoints and countersignatures: text that others can read, signed over exactly what it says."""

from __future__ import annotations

import base64
import hashlib

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import CheckpointError, EntryError
from protocol.merkle.checkpoint import (
    Checkpoint,
    cosign,
    origin_of,
    parse_checkpoint,
    read_cosignature,
    sign_checkpoint,
)
from protocol.merkle.entry import MAX_ENTRY_BYTES, LogEntry, decode_entry, encode_entry
from protocol.seal.keys import SigningKey

KEY, UNIT = SigningKey.generate(), SigningKey.generate()
ROOT = hashlib.sha256(b"root").digest()
NOTE = sign_checkpoint(KEY, 812, ROOT)
CHECKPOINT = parse_checkpoint(NOTE).checkpoint


def test_a_checkpoint_is_three_lines_and_a_signature_line():
    """The form of C2SP: other tools read it."""
    origin = origin_of(KEY.public)
    name, size, root, empty, line, end = NOTE.split("\n")
    assert (name, size, base64.b64decode(root), empty, end) == (origin, "812", ROOT, "", "")
    dash, signer, data = line.split(" ")
    assert (dash, signer) == ("\N{EM DASH}", origin)
    signature = base64.b64decode(data)
    assert signature[:4] == hashlib.sha256(f"{origin}\n".encode() + b"\1" + KEY.public.raw).digest()[:4]
    # Raises if it is not a plain Ed25519 signature of the first three lines.
    Ed25519PublicKey.from_public_bytes(KEY.public.raw).verify(signature[4:], f"{name}\n{size}\n{root}\n".encode())


def test_a_signed_checkpoint_is_of_its_key_alone():
    assert parse_checkpoint(NOTE).is_signed_by(KEY.public)
    assert Checkpoint(origin_of(KEY.public), 812, ROOT) == CHECKPOINT
    assert not parse_checkpoint(NOTE).is_signed_by(UNIT.public)


@given(st.data())
def test_an_altered_checkpoint_is_refused_or_not_signed(data):
    at = data.draw(st.integers(0, len(NOTE) - 1))
    letter = data.draw(st.characters(codec="utf-8").filter(lambda c: c != NOTE[at]))
    try:
        found = parse_checkpoint(NOTE[:at] + letter + NOTE[at + 1 :])
    except CheckpointError:
        return
    assert not found.is_signed_by(KEY.public)


@given(st.text(max_size=200) | st.just("\n\n") | st.just(NOTE * 20))
def test_any_text_raises_the_own_error(text):
    with pytest.raises(CheckpointError):
        parse_checkpoint(text)
    with pytest.raises(CheckpointError):
        read_cosignature(text, CHECKPOINT, "unit-07", [UNIT.public])


def test_a_countersignature_is_of_this_unit_and_of_this_checkpoint():
    line = cosign(UNIT, "unit-07", CHECKPOINT, 1_780_000_000)
    found = read_cosignature(line, CHECKPOINT, "unit-07", [KEY.public, UNIT.public])
    assert found is not None
    assert (found.unit, found.utc_s, found.line) == ("unit-07", 1_780_000_000, line)
    other = Checkpoint(CHECKPOINT.origin, 813, ROOT)
    assert read_cosignature(line, other, "unit-07", [UNIT.public]) is None
    assert read_cosignature(line, CHECKPOINT, "unit-08", [UNIT.public]) is None
    assert read_cosignature(line, CHECKPOINT, "unit-07", [KEY.public]) is None
    # A note with both lines is still the checkpoint.
    both = parse_checkpoint(f"{NOTE}{line}\n")
    assert both.is_signed_by(KEY.public)
    assert both.signatures[1][0] == "unit-07"


ENTRIES = st.builds(
    LogEntry,
    utc_us=st.integers(0, 2**63 - 1),
    who=st.text(max_size=20),
    what=st.text(max_size=20),
    filter=st.text(max_size=60),
    count=st.integers(-1, 2**40),
    purpose=st.text(max_size=20),
    case_number=st.text(max_size=20),
    document=st.sampled_from(["", "ab" * 32]),
)


@given(ENTRIES)
def test_an_entry_is_its_bytes(entry):
    assert decode_entry(encode_entry(entry)) == entry


def test_the_bytes_of_an_entry_stay_what_they_are():
    """A log that was written once must have the same hashes for ever."""
    plain = LogEntry(utc_us=5, who="clerk", what="search reads", filter="plates=7ÄBC*", count=3)
    assert encode_entry(plain) == (
        rb'{"filter":"plates=7\u00c4BC*","n":3,"t":5,"v":1,"what":"search reads","who":"clerk"}'
    )
    full = LogEntry(
        utc_us=5, who="c", what="purge", filter="", count=0, purpose="p", case_number="26-1", document="0f" * 32
    )
    assert encode_entry(full) == (
        b'{"case":"26-1","doc":"'
        + b"0f" * 32
        + b'","filter":"","n":0,"t":5,"v":1,"what":"purge","who":"c","why":"p"}'
    )


def test_an_entry_that_is_too_long_is_refused_not_cut():
    with pytest.raises(EntryError, match="at most 49,152 are recorded: ask for less at once"):
        encode_entry(LogEntry(utc_us=5, who="c", what="w", filter="x" * MAX_ENTRY_BYTES, count=0))


@given(st.binary(max_size=60) | st.sampled_from([b'{"v":2}', b"[]", b'{"v":1}', b"[" * 50_000]))
def test_any_bytes_raise_the_own_error(data):
    with pytest.raises(EntryError):
        decode_entry(data)
