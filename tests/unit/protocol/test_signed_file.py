"""Signed files: only what was signed is accepted, whole and of the right kind, and never an older version."""

from __future__ import annotations

import hashlib
from io import BytesIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import SignedFileError
from protocol.seal.keys import SigningKey
from protocol.signed_file import (
    SignedHeader,
    checked_blocks,
    read_contents,
    read_header,
    refuse_unless_newer,
    sign_bytes,
)

KEY, OTHER = SigningKey.generate(), SigningKey.generate()
CONTENTS = b'{"contents": 1}' * 40
MAX_BYTES = 1_000


def header_of(contents: bytes = CONTENTS, **changes) -> SignedHeader:
    values = {
        "kind": "policy",
        "id": "us-xx",
        "version": 3,
        "as_of_s": 1_780_000_000,
        "size_bytes": len(contents),
        "sha256": hashlib.sha256(contents).hexdigest(),
    }
    return SignedHeader(**{**values, **changes})


def signed(contents: bytes = CONTENTS, key: SigningKey = KEY, **changes) -> bytes:
    return sign_bytes(header_of(contents, **changes), key, contents)


def opened(data: bytes, kind: str = "policy") -> tuple[SignedHeader, bytes]:
    file = BytesIO(data)
    header = read_header(file, [KEY.public], kind)
    return header, read_contents(file, header, max_bytes=MAX_BYTES)


@given(st.binary(max_size=900), st.integers(1, 2**31 - 1), st.text("abc xyz", max_size=20))
def test_contents_and_header_come_back(contents, version, note):
    header, read = opened(signed(contents, version=version, note=note))
    assert (header.version, header.note, read) == (version, note, contents)


@given(st.data())
def test_any_changed_byte_is_refused(data):
    whole = bytearray(signed())
    at = data.draw(st.integers(0, len(whole) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises(SignedFileError):
        opened(bytes(whole))


@given(st.integers(0, len(signed()) - 1))
def test_a_truncated_file_is_refused(length):
    with pytest.raises(SignedFileError):
        opened(signed()[:length])


@given(st.binary(max_size=300))
def test_a_strangers_file_is_refused(data):
    with pytest.raises(SignedFileError):
        opened(data)


def test_bytes_after_the_end_are_refused():
    with pytest.raises(SignedFileError, match="after the end"):
        opened(signed() + b"x")


def test_another_agencys_key_is_refused():
    with pytest.raises(SignedFileError, match="Is it of another agency"):
        opened(signed(key=OTHER))


def test_another_kind_is_refused():
    """A roster that the same key signed is no policy."""
    with pytest.raises(SignedFileError, match="a signed roster, not a policy"):
        opened(signed(kind="roster"))


def test_contents_above_the_limit_of_a_kind_are_refused_before_they_are_read():
    file = BytesIO(signed(b"x" * (MAX_BYTES + 1)))
    with pytest.raises(SignedFileError, match="at most 1000"):
        read_contents(file, read_header(file, [KEY.public], "policy"), max_bytes=MAX_BYTES)


def test_contents_that_do_not_match_cannot_be_signed():
    with pytest.raises(SignedFileError, match="altered"):
        sign_bytes(header_of(), KEY, CONTENTS[::-1])


def test_a_newer_format_says_so():
    with pytest.raises(SignedFileError, match="update first"):
        opened(signed(format=2))


def test_large_contents_are_checked_in_blocks():
    contents = bytes(600_000)
    file = BytesIO(signed(contents))
    blocks = list(checked_blocks(file, read_header(file, [KEY.public], "policy")))
    assert b"".join(blocks) == contents
    assert len(blocks) > 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"in_force": 3}, "not above 3"),
        ({"in_force": 9}, "not above 9"),
        ({"now_s": 1_790_000_000}, "has expired"),
        ({"unit": "van-1"}, "this unit is van-1"),
    ],
)
def test_roll_back_replay_expiry_and_other_units_are_refused(changes, words):
    told = header_of(units=("car-*",), expires_s=1_785_000_000)
    fits = {"unit": "car-7", "in_force": 2, "now_s": 1_784_000_000}
    refuse_unless_newer(told, **fits)
    with pytest.raises(SignedFileError, match=words):
        refuse_unless_newer(told, **{**fits, **changes})


def test_expiry_waits_for_a_known_time():
    refuse_unless_newer(header_of(expires_s=1_780_000_001), unit="car-7", in_force=0, now_s=None)


@pytest.mark.parametrize("changes", [{"units": ("a b",)}, {"expires_s": 1}, {"id": "../x"}, {"version": 0}])
def test_headers_that_contradict_themselves_are_not_made(changes):
    with pytest.raises(ValueError, match="validation error"):
        header_of(**changes)
