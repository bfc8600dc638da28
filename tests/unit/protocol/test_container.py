"""A sealed container is read in any part by its recipients alone, and any change of it is found."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import SealError
from protocol.seal.container import CHUNK_BYTES, SealedFile, SealedWriter
from protocol.seal.keys import StationKey

if TYPE_CHECKING:
    from pathlib import Path

KEYS = [StationKey.generate() for _ in range(3)]


def sealed(path: Path, data: bytes, keys: list[StationKey] = KEYS) -> Path:
    with path.open("wb") as out:
        writer = SealedWriter(out, keys, len(data))
        for at in range(0, len(data), 7001):
            writer.write(data[at : at + 7001])
        writer.close()
    return path


SIZES = (0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES)


@pytest.mark.parametrize("size", SIZES)
def test_every_recipient_reads_all_of_it_and_every_part(tmp_path: Path, size: int) -> None:
    data = bytes(n * 31 % 251 for n in range(size))
    path = sealed(tmp_path / "box", data)
    for key in KEYS:
        with SealedFile(path, key) as file:
            assert file.size == size
            assert file.read_at(0, size) == data
            for start in range(0, size, 5003):
                assert file.read_at(start, min(9000, size - start)) == data[start : start + 9000]
            assert b"".join(iter(lambda: file.read(4096), b"")) == data
    assert data[:200] not in path.read_bytes() or size < 16


def test_others_cannot_open_it(tmp_path: Path) -> None:
    path = sealed(tmp_path / "box", b"secret")
    with pytest.raises(SealError, match="not sealed to"):
        SealedFile(path, StationKey.generate())
    with pytest.raises(SealError, match="can only seal"):
        SealedFile(path, StationKey.from_public_raw(KEYS[0].raw))


@given(st.data())
def test_an_altered_or_cut_container_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = sealed(tmp_path_factory.mktemp("box") / "box", b"x" * (CHUNK_BYTES + 100), KEYS[:1])
    whole = path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        altered = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]
    else:
        altered = whole[:at] + whole[at + data.draw(st.integers(1, 64)) :]
    path.write_bytes(altered)
    with pytest.raises(SealError), SealedFile(path, KEYS[0]) as file:
        file.read_at(0, file.size)


def test_chunks_of_another_container_do_not_fit(tmp_path: Path) -> None:
    first = sealed(tmp_path / "1", b"a" * 3 * CHUNK_BYTES, KEYS[:1])
    second = sealed(tmp_path / "2", b"b" * 3 * CHUNK_BYTES, KEYS[:1]).read_bytes()
    whole = first.read_bytes()
    half = len(whole) // 2
    first.write_bytes(whole[:half] + second[half:])
    with SealedFile(first, KEYS[0]) as file, pytest.raises(SealError, match="altered"):
        file.read_at(0, file.size)


def test_reads_outside_of_it_are_refused(tmp_path: Path) -> None:
    with SealedFile(sealed(tmp_path / "box", b"abc"), KEYS[0]) as file:
        for offset, size in ((-1, 1), (0, 4), (3, 1), (2, -1)):
            with pytest.raises(SealError):
                file.read_at(offset, size)


def test_a_writer_takes_what_was_announced(tmp_path: Path) -> None:
    with (tmp_path / "box").open("wb") as out:
        writer = SealedWriter(out, KEYS, 3)
        with pytest.raises(SealError):
            writer.write(b"abcd")
        writer.write(b"ab")
        with pytest.raises(SealError, match="1 bytes are missing"):
            writer.close()
        with pytest.raises(SealError, match="1 to"):
            SealedWriter(out, [], 3)
