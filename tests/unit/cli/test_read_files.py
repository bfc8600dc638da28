"""``patrol-lpr read`` on files: good ones are read, bad ones get a clear word and the rest goes on."""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from PIL import Image

from agent.recognise import Recogniser, load_active
from cli.read_files import read_images
from hw.images import PictureError, load_rgb

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="module")
def recogniser(repo: Path) -> Recogniser:
    return Recogniser(*load_active(repo / "models"))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    rng = np.random.default_rng(3)
    cv2.imwrite(str(path), rng.integers(0, 255, (240, 320, 3), np.uint8))
    return path


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and holds nothing."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))


def test_pictures_are_decoded_as_rgb(tmp_path: Path) -> None:
    """A red picture is red in the first channel."""
    cv2.imwrite(str(tmp_path / "red.png"), np.full((4, 4, 3), (0, 0, 255), np.uint8))

    assert load_rgb(tmp_path / "red.png")[0, 0].tolist() == [255, 0, 0]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("empty.jpg", b"", "0 bytes"),
        ("text.jpg", b"not a picture at all", "not a picture"),
        ("head.png", png_header(30, 20), "corrupt, truncated"),
        ("bomb.png", png_header(60_000, 60_000), "60000x60000 pixels"),
        ("cut.jpg", b"\xff\xd8\xff\xe0\x00\x10JFIF", "not a picture|corrupt"),
    ],
)
def test_undecodable_picture_is_reported_with_reason(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    """Empty, foreign, truncated and monstrous files: a clear error, decided before memory is asked for."""
    path = tmp_path / name
    path.write_bytes(content)

    with pytest.raises(PictureError, match=said) as caught:
        load_rgb(path)

    assert name in str(caught.value)


def test_missing_picture_is_reported(tmp_path: Path) -> None:
    """Not a traceback."""
    with pytest.raises(PictureError, match=r"none\.jpg"):
        load_rgb(tmp_path / "none.jpg")


def test_one_bad_picture_does_not_stop_the_others(recogniser: Recogniser, photo: Path, tmp_path: Path) -> None:
    """Each input has its line, in order, the bad one with its error."""
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"nothing")

    lines = [json.loads(r.as_json()) for r in read_images(recogniser, [photo, bad, photo], crops=False)]

    assert [line["image"] for line in lines] == [str(photo), str(bad), str(photo)]
    assert ["error" in line for line in lines] == [False, True, False]
    assert lines[1]["plates"] == []


def test_pages_that_are_not_read_are_said(recogniser: Recogniser, tmp_path: Path) -> None:
    """A scan of which the first page alone is read looks like one without a plate."""
    page = Image.new("RGB", (320, 180), (90, 90, 90))
    page.save(tmp_path / "scan.tif", save_all=True, append_images=[page, page])

    (result,) = read_images(recogniser, [tmp_path / "scan.tif"], crops=False)

    assert "scan.tif: has 3 pictures, of which the first was read" in json.loads(result.as_json())["warning"]


def test_crops_option_reads_whole_picture(recogniser: Recogniser, photo: Path) -> None:
    """With --crops the whole picture is the plate."""
    (result,) = read_images(recogniser, [photo], crops=True)

    (plate,) = result.plates
    assert plate.as_json()["box"] == [0.0, 0.0, 320.0, 240.0]


def test_format_suggestion_only_with_formats_option(recogniser: Recogniser, repo: Path) -> None:
    """What was read is the same with and without --formats: hot lists see nothing else."""
    frames = sorted((repo / "tests/drives/city-day/frames").glob("*.jpg"))[40:44]
    plain = [p.as_json() for r in read_images(recogniser, frames, crops=False) for p in r.plates]
    asked = [p.as_json() for r in read_images(recogniser, frames, crops=False, formats=True) for p in r.plates]
    assert any(p["text"] for p in plain)
    assert not any("in_format" in p for p in plain)
    assert [{k: v for k, v in p.items() if k != "in_format"} for p in asked] == plain
    assert all(len(p["in_format"]) == len(p["text"]) for p in asked)
