"""What ``patrol-lpr read`` is given: one rule for whatever is wrong."""

from __future__ import annotations

import os

import cv2
import numpy as np
import pytest

from cli.read_inputs import expand, is_transport_stream

PACKET = b"\x47" + bytes(187)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.jpg"
    cv2.imwrite(str(path), np.full((24, 32, 3), 90, np.uint8))
    return path


def wrong(inputs):
    return " | ".join(why for _, why in inputs.wrong)


def test_a_folder_is_searched_all_the_way_down(photo, tmp_path):
    """Pictures and videos by their names; names with a leading dot belong to the system."""
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    for name in ("x.PNG", "y.mp4", "z.MTS", "w.h264", "._x.mp4", ".hidden.jpg"):
        (deep / name).write_bytes(b"")
    (tmp_path / ".Trashes").mkdir()
    (tmp_path / ".Trashes" / "t.jpg").write_bytes(b"")
    found = expand([str(tmp_path)])
    assert sorted(found.images) == sorted([photo, deep / "x.PNG"])
    assert sorted(found.videos) == sorted([deep / "w.h264", deep / "y.mp4", deep / "z.MTS"])
    assert found.wrong == []


def test_what_is_passed_over_in_a_folder_is_said(photo, tmp_path):
    for name in ("a.txt", "b.txt", "c", "d.ts"):
        (tmp_path / name).write_text("export const x = 1;")
    found = expand([str(tmp_path)])
    (note,) = found.notes
    assert "2 .txt" in note
    assert "1 .ts" in note
    assert "1 without a suffix" in note
    assert found.wrong == []


@pytest.mark.parametrize("suffix", [".heic", ".avif", ".gif"])
def test_pictures_whose_decoder_may_be_missing_are_tried(tmp_path, suffix):
    """Whoever reads them says what to install."""
    (tmp_path / f"x{suffix}").write_bytes(b"")
    assert len(expand([str(tmp_path)]).images) == 1


@pytest.mark.parametrize("suffix", [".dng", ".CR2", ".jxl"])
def test_pictures_that_nothing_here_reads_are_said(photo, tmp_path, suffix):
    (tmp_path / f"x{suffix}").write_bytes(b"")
    found = expand([str(tmp_path)])
    assert "convert it" in wrong(found)
    assert found.images == [photo]


def test_every_wrong_input_is_named_and_the_others_are_read(photo, tmp_path):
    (tmp_path / "a.txt").write_text("")
    (tmp_path / "empty").mkdir()
    names = [str(tmp_path / n) for n in ("a.txt", "b.jpg", "photo.jpg", "photo.jpg/c", "empty", "x" * 300)]
    found = expand([*names, "", "/dev/null", "nul\0"])
    assert found.images == [photo]
    assert len(found.wrong) == 8
    for part in (
        "a.txt: neither",
        "b.jpg: No such",
        "Not a directory",
        "empty: contains no pictures",
        "too long",
        "empty name",
    ):
        assert part in wrong(found)


def test_an_empty_name_is_not_the_working_folder(photo, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert expand([""]).images == []
    assert len(expand(["."]).images) == 1


def test_the_contents_of_a_file_count_before_its_name(photo, tmp_path):
    """A picture without a suffix, or with a wrong one, was named: it is meant."""
    for name in ("noname", "holiday.mp4"):
        (tmp_path / name).write_bytes(photo.read_bytes())
        assert expand([str(tmp_path / name)]).images == [tmp_path / name]


def test_a_row_of_jpeg_pictures_is_a_video_named_and_in_a_folder(photo, tmp_path):
    """As a picture, all but its first frame would be left out unsaid."""
    stream = tmp_path / "clips" / "rear.MJPEG"
    stream.parent.mkdir()
    stream.write_bytes(photo.read_bytes() * 3)
    for name in (stream, stream.parent):
        found = expand([str(name)])
        assert (found.images, found.videos) == ([], [stream])


@pytest.mark.parametrize("name", ["DSC_1.NEF", "a.dng"])
def test_a_raw_picture_that_is_named_is_refused_as_in_a_folder(tmp_path, name):
    """Its TIFF directory leads to a preview, on which no plate can be read."""
    path = tmp_path / name
    path.write_bytes(b"II*\0" + bytes(500))
    (named,), (inside,) = expand([str(path)]).wrong, expand([str(tmp_path)]).wrong
    assert named == inside
    assert "convert it to JPEG, PNG or TIFF" in named[1]


def test_a_folder_that_cannot_be_looked_into_is_said(photo, tmp_path, monkeypatch):
    closed = tmp_path / "closed"
    closed.mkdir()
    real = os.scandir

    def scandir(path):
        if os.fspath(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(closed))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    found = expand([str(tmp_path)])
    assert "closed: folder cannot be read: Permission denied" in wrong(found)
    assert found.images == [photo]


def test_a_link_to_nothing_is_said(photo, tmp_path):
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nothing")
    found = expand([str(tmp_path)])
    assert "gone.jpg" in wrong(found)
    assert found.images == [photo]


def test_a_folder_that_leads_to_itself_ends(photo, tmp_path):
    (tmp_path / "self").symlink_to(tmp_path)
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    found = expand([str(tmp_path)])
    assert found.images == [photo]
    assert "self: link to a folder, not followed" in found.notes[0]
    assert "loop.jpg: " in wrong(found)


def test_a_folder_that_is_a_link_is_read_where_it_is_named(photo, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(photo.parent)
    assert expand([str(link)]).images == [link / "photo.jpg"]


def test_pictures_of_a_folder_without_a_suffix_are_read(photo, tmp_path):
    """Some cameras and message services name them so; others are stereo or 360 degree pictures, which are JPEG."""
    for name in ("IMG_0001", "a.MPO", "b.insp", "c.apng"):
        (tmp_path / name).write_bytes(photo.read_bytes())
    (tmp_path / "LICENSE").write_text("BM text")
    found = expand([str(tmp_path)])
    assert {path.name for path in found.images} == {"photo.jpg", "IMG_0001", "a.MPO", "b.insp", "c.apng"}


@pytest.mark.parametrize(
    ("head", "expected"),
    [(PACKET * 2, True), ((bytes(4) + PACKET) * 2, True), (b"export const x;" * 30, False), (b"G", False)],
)
def test_a_transport_stream_is_told_from_typescript(head, expected):
    assert is_transport_stream(head) is expected
