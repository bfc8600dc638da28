"""What the header of a file says, whatever is in it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hw.video_header import VideoHeader, video_header

UPRIGHT, MIRRORED = (1, 0, 0, 1), (-1, 0, 0, 1)


def box(kind: bytes, body: bytes, *, long: bool = False) -> bytes:
    if long:
        return struct.pack(">I4sQ", 1, kind, 16 + len(body)) + body
    return struct.pack(">I4s", 8 + len(body), kind) + body


def track(handler: bytes, matrix: tuple[int, ...], version: int = 0) -> bytes:
    a, b, c, d = (value * 0x10000 for value in matrix)
    head = bytes([version]) + bytes(39 if version == 0 else 51)
    header = box(b"tkhd", head + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + bytes(8))
    return box(b"trak", header + box(b"mdia", box(b"hdlr", bytes(8) + handler + bytes(13))))


def mp4(*tracks: bytes, long: bool = False) -> bytes:
    film = box(b"moov", box(b"mvhd", bytes(100)) + b"".join(tracks), long=long)
    return box(b"ftyp", b"isom0000") + box(b"mdat", bytes(3000), long=long) + film


def element(kind: bytes, body: bytes, *, unknown: bool = False) -> bytes:
    size = b"\x01" + b"\xff" * 7 if unknown else (len(body) | 1 << 28).to_bytes(4, "big")
    return kind + size + body


def matroska(yaw: float, pitch: float, *, double: bool = False) -> bytes:
    form = ">d" if double else ">f"
    poses = element(b"\x76\x73", struct.pack(form, yaw)) + element(b"\x76\x74", struct.pack(form, pitch))
    video = element(b"\xe0", element(b"\xb0", b"\x02") + element(b"\x76\x70", poses))
    tracks = element(b"\x16\x54\xae\x6b", element(b"\xae", element(b"\xd7", b"\1") + video))
    info = element(b"\x15\x49\xa9\x66", bytes(40))
    return element(b"\x1a\x45\xdf\xa3", b"\x42\x86\x81\x01") + element(
        b"\x18\x53\x80\x67", info + tracks, unknown=True
    )


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (mp4(track(b"vide", MIRRORED)), True),
        (mp4(track(b"vide", MIRRORED, version=1), long=True), True),
        (mp4(track(b"soun", MIRRORED), track(b"vide", UPRIGHT)), False),
        (mp4(track(b"soun", UPRIGHT), track(b"vide", MIRRORED)), True),
        (mp4(track(b"vide", (0, 1, -1, 0))), False),
        (matroska(180, 0), True),
        (matroska(-180, 0, double=True), True),
        (matroska(0, 180), True),
        (matroska(180, 180), False),
        (matroska(0, 0), False),
        (b"RIFF\0\0\0\0AVI ", False),
        (b"", False),
    ],
)
def test_the_first_picture_track_tells(tmp_path, data, expected):
    path = tmp_path / "v"
    path.write_bytes(data)
    assert video_header(path).mirrored is expected


def edited(*edits: tuple[int, int], version: int = 0, pictures: tuple[int, ...] = (30,)) -> bytes:
    """A film of 600 ticks a second; the edits are those of each of its tracks."""
    form = ">Iii" if version == 0 else ">Qqi"
    table = (
        bytes([version, 0, 0, 0])
        + struct.pack(">I", len(edits))
        + b"".join(struct.pack(form, *e, 1) for e in edits)
    )
    tracks = []
    for count in pictures:
        sizes = box(b"minf", box(b"stbl", box(b"stsz", struct.pack(">III", 0, 0, count))))
        media = box(b"mdia", box(b"hdlr", bytes(8) + b"vide" + bytes(13)) + sizes)
        tracks.append(box(b"trak", box(b"tkhd", bytes(84)) + box(b"edts", box(b"elst", table)) + media))
    return box(b"moov", box(b"mvhd", bytes(12) + struct.pack(">I", 600) + bytes(84)) + b"".join(tracks))


@pytest.mark.parametrize(
    ("data", "shown_s"),
    [
        (edited((4200, 8000)), 7.0),
        (edited((600, -1), (1200, 0)), 2.0),
        (edited((4200, 8000), (600, 0), version=1), 8.0),
        (edited(), None),
        (mp4(track(b"vide", UPRIGHT)), None),
    ],
)
def test_the_list_of_edits_tells_the_length(tmp_path, data, shown_s):
    """Empty edits only delay."""
    path = tmp_path / "v"
    path.write_bytes(data)
    assert video_header(path).shown_s == shown_s


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (edited(pictures=(30,)), 1),
        (edited(pictures=(30, 30)), 2),
        (edited(pictures=(30, 1)), 1),
        (edited(pictures=(1,)), 1),
        (mp4(track(b"soun", UPRIGHT)), 0),
        (matroska(0, 0), 1),
        (b"RIFF", 0),
    ],
)
def test_video_tracks_are_counted(tmp_path, data, expected):
    """A track of one picture is a cover."""
    path = tmp_path / "v"
    path.write_bytes(data)
    assert video_header(path).video_tracks == expected


FILES = [mp4(track(b"vide", MIRRORED)), matroska(180, 0), edited((4200, 8000), pictures=(30, 30))]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_no_error(tmp_path, data):
    file = bytearray(data.draw(st.sampled_from(FILES)))
    for _ in range(data.draw(st.integers(0, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "v"
    path.write_bytes(file[: data.draw(st.integers(0, len(file)))])
    assert isinstance(video_header(path), VideoHeader)
