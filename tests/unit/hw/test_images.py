"""Picture files: turned as they say, read as far as they go, refused before they cost memory."""

from __future__ import annotations

import io
import struct
import sys
import tracemalloc
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageFile, PngImagePlugin

from hw.images import PictureError, PictureTooLargeError, decode_picture, load_picture, load_rgb, picture_size_px
from hw.picture_count import png_pictures, tiff_pictures, webp_pictures
from tests.drawn import scene

SMALL = cv2.resize(scene(), (320, 180), interpolation=cv2.INTER_AREA)
BACK = {
    1: None, 2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}  # fmt: skip


def encoded(rgb: np.ndarray, kind: str, orientation: int = 1) -> bytes:
    """A file whose pixels lie as a camera stores them that was held so."""
    picture = Image.fromarray(rgb)
    way = BACK[orientation]
    exif = Image.Exif()
    exif[274] = orientation
    file = io.BytesIO()
    (picture if way is None else picture.transpose(way)).save(file, kind, exif=exif)
    return file.getvalue()


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_a_picture_is_turned_as_its_file_says(kind, orientation):
    rgb = decode_picture(encoded(SMALL, kind, orientation), "x").rgb
    assert rgb.shape == SMALL.shape
    assert np.abs(rgb.astype(int) - SMALL).mean() < 6


def turned_by(kind: str, way: str, orientation: int = 6) -> bytes:
    """A file that says in another way than most how it is to be turned."""
    picture = Image.fromarray(SMALL).transpose(BACK[orientation])
    exif = b"MM\0*" + struct.pack(">IH", 8, 1)
    exif += {
        "long": struct.pack(">HHII", 274, 4, 1, orientation),
        "byte": struct.pack(">HHIBxxx", 274, 1, 1, orientation),
    }.get(way, struct.pack(">HHIHxx", 274, 3, 1, orientation))
    exif += bytes(4)
    xmp = f"<rdf:Description tiff:Orientation='{orientation}'/>".encode()
    if way == "element":
        xmp = f"<tiff:Orientation>{orientation}</tiff:Orientation>".encode()
    file, text = io.BytesIO(), PngImagePlugin.PngInfo()
    if way in {"raw", "packed"}:
        raw = b"Exif\0\0" + exif
        text.add_text("Raw profile type exif", f"\nexif\n{len(raw):8}\n{raw.hex()}\n", zip=way == "packed")
    elif way in {"xmp", "element"} and kind == "PNG":
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
    keys = {"xmp": xmp} if way in {"xmp", "element"} and kind != "PNG" else {}
    if way in {"long", "byte"}:
        keys = {"exif": b"Exif\0\0" + exif}
    picture.save(file, kind, pnginfo=text, **keys)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "way"),
    [
        *[(kind, way) for kind in ("JPEG", "PNG", "WEBP") for way in ("long", "byte", "xmp", "element")],
        *[("PNG", way) for way in ("raw", "packed")],
    ],
)
def test_every_way_of_saying_how_to_turn_a_picture_is_known(kind, way):
    """Other number types, XMP without Exif, and the text of old PNG files."""
    rgb = decode_picture(turned_by(kind, way), "x").rgb
    assert rgb.shape == SMALL.shape
    assert np.abs(rgb.astype(int) - SMALL).mean() < 6


def test_exif_counts_before_xmp():
    file, exif = io.BytesIO(), Image.Exif()
    exif[274] = 1
    Image.fromarray(SMALL).save(file, "WEBP", exif=exif, xmp=b"<a tiff:Orientation='6'/>")
    assert decode_picture(file.getvalue(), "x").rgb.shape == SMALL.shape


def test_a_large_text_of_a_png_is_not_unpacked():
    """A megabyte of hexadecimal text at most, and no error."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Raw profile type exif", "\nexif\n 9\n" + "00" * 30_000_000, zip=True)
    file = io.BytesIO()
    Image.fromarray(SMALL).save(file, "PNG", pnginfo=text)
    tracemalloc.start()
    decode_picture(file.getvalue(), "x")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


@given(st.binary(max_size=60), st.sampled_from(["JPEG", "PNG", "WEBP"]))
def test_exif_that_is_garbage_turns_nothing(garbage, kind):
    file = io.BytesIO()
    Image.fromarray(SMALL[:20, :30]).save(file, kind, exif=b"Exif\0\0" + garbage)
    assert decode_picture(file.getvalue(), "x").rgb.shape[2] == 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
@pytest.mark.parametrize("share", [0.999, 0.9, 0.6])
def test_a_file_that_broke_off_is_read_as_far_as_it_goes(kind, share):
    """The upper part is there, and it is said that the rest is not."""
    data = encoded(SMALL, kind)
    found = decode_picture(data[: int(len(data) * share)], "cut.x")
    first = int(SMALL.shape[0] * share * 0.4)
    rows = slice(-first, None) if kind == "BMP" else slice(0, first)  # a BMP begins at the bottom
    assert np.abs(found.rgb[rows].astype(int) - SMALL[rows]).mean() < 6
    assert found.damage is not None
    assert "cut.x" in found.damage


@pytest.mark.parametrize("kind", ["GIF", "TIFF"])
@pytest.mark.parametrize("share", [0.99, 0.8])
def test_a_gif_or_tiff_that_broke_off_is_read_as_far_as_it_goes(kind, share):
    """A GIF comes in passes, every eighth row first; a TIFF whose directory lies before its pixels from the top."""
    data = encoded(SMALL, kind)
    found = decode_picture(data[: int(len(data) * share)], "cut.x")
    rows = slice(0, None, 8) if kind == "GIF" else slice(0, int(SMALL.shape[0] * share * 0.9))
    assert np.abs(found.rgb[rows].astype(int) - SMALL[rows]).mean() < 12
    assert found.damage == "cut.x: damaged, decoded as far as possible"


def lossless_webp() -> bytes:
    file = io.BytesIO()
    Image.fromarray(SMALL).save(file, "WEBP", lossless=True)
    return file.getvalue()


def grainy() -> np.ndarray:
    """A picture of which no row and no column is of one colour."""
    grain = np.random.default_rng(4).integers(-4, 5, SMALL.shape)
    return np.clip(SMALL.astype(int) + grain, 0, 255).astype(np.uint8)


GRAINY = grainy()


@pytest.mark.parametrize("share", [0.99, 0.7, 0.5])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
def test_the_part_that_is_there_is_told(kind, share):
    """Nothing of what a decoder made up, such as the smears of a WebP, lies within."""
    data = encoded(GRAINY, kind)
    whole = decode_picture(data, "x")
    found = decode_picture(data[: int(len(data) * share)], "x")
    assert whole.part is None
    left, top, right, bottom = found.part
    part = (slice(top, bottom), slice(left, right))
    assert (right - left) * (bottom - top) > 320 * 180 * (share - 0.4)
    differing = (np.abs(found.rgb[part].astype(int) - whole.rgb[part]) > 2).any(axis=2)
    assert differing.mean() < 0.01  # the last row of blocks may be there in part


def test_the_part_of_a_turned_picture_is_as_it_is_shown():
    data = encoded(GRAINY, "JPEG", 6)
    left, top, right, bottom = decode_picture(data[: len(data) * 2 // 3], "x").part
    assert (top, bottom) == (0, 180)
    assert right - left < 260


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(("kind", "missing"), [("JPEG", 4), ("JPEG", 40), ("PNG", 20)])
def test_a_frame_of_one_colour_around_a_picture_is_there(kind, missing, orientation):
    """It was taken for what is missing on all sides, and a plate beside it for cut off."""
    framed = np.full((240, 320, 3), 105, np.uint8)
    framed[60:180, 80:240] = np.random.default_rng(5).integers(0, 256, (120, 160, 3))
    data = encoded(framed, kind, orientation)
    left, top, right, bottom = decode_picture(data[: len(data) - missing], "x").part
    assert (left == 0) + (top == 0) + (right == 320) + (bottom == 240) >= 3
    assert right - left > 160
    assert bottom - top > 90


def test_an_interlaced_gif_without_its_last_rows_is_read():
    """Of its last pass, which is half of it, the rows above take the place."""
    data = encoded(GRAINY, "GIF")
    found = decode_picture(data[: len(data) * 6 // 10], "x")
    assert found.damage is not None
    assert np.abs(found.rgb.astype(int) - decode_picture(data, "x").rgb).mean() < 12


@pytest.mark.parametrize("error", [RuntimeError, KeyError, ZeroDivisionError])
def test_whatever_a_decoder_raises_is_a_clear_word(monkeypatch, error):
    """AVIF's raises RuntimeError for a hole in the middle of a file."""

    def load(self: object) -> None:
        raise error("bad\nblock")

    data = encoded(SMALL, "GIF")
    monkeypatch.setattr(ImageFile.ImageFile, "load", load)
    with pytest.raises(PictureError, match=r"^x: corrupt, truncated or not a picture \(.*bad.*block.*\)$"):
        decode_picture(data, "x")


def tiff_with_its_directory_last() -> bytes:
    return cv2.imencode(".tiff", SMALL)[1].tobytes()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encoded(SMALL, "WEBP")[:300], r"truncated, \d+ of \d+ bytes: too little of it is there"),
        (lossless_webp()[:-500], r"truncated, \d+ of \d+ bytes: too little of it is there, or it is lossless"),
        (encoded(SMALL, "AVIF")[:-100], "corrupt or truncated: AVIF is decoded only if it is complete"),
        (encoded(SMALL, "AVIF")[:200], "corrupt or truncated: AVIF is decoded only if it is complete"),
        (tiff_with_its_directory_last()[:-500], r"truncated, \d+ bytes: without its directory, at byte \d+"),
    ],
    ids=["webp", "webp, lossless", "avif", "avif, start", "tiff"],
)
def test_a_file_of_which_no_part_can_be_decoded_says_so(data, reason):
    with pytest.raises(PictureError, match=rf"^cut\.x: {reason}"):
        decode_picture(data, "cut.x")


def test_pillow_stays_strict_for_others():
    data = encoded(SMALL, "GIF")
    decode_picture(data[: len(data) // 2], "cut.x")
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_file_without_its_last_two_bytes_is_read():
    data = encoded(SMALL, "JPEG")
    assert np.abs(decode_picture(data[:-2], "x").rgb.astype(int) - SMALL).mean() < 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF"])
def test_a_whole_file_has_no_damage(kind):
    assert decode_picture(encoded(SMALL, kind), "x").damage is None


def test_a_png_with_a_flipped_byte_keeps_what_lies_before_it():
    data = bytearray(encoded(SMALL, "PNG"))
    data[len(data) * 3 // 4] ^= 0xFF
    found = decode_picture(bytes(data), "x")
    assert np.abs(found.rgb[:60].astype(int) - SMALL[:60]).mean() < 1
    assert found.damage is not None


def interlaced_png(size: int) -> bytes:
    """Grey, in seven passes (Adam7), as old cameras and web pages have them."""
    passes = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
    grey = np.arange(size * size, dtype=np.uint32).reshape(size, size).astype(np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for x, y, dx, dy in passes for row in grey[y::dy, x::dx])

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", size, size, 8, 0, 0, 0, 1)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    )


def test_an_interlaced_png_that_broke_off_is_coarser():
    """What came of the first passes is there."""
    data = interlaced_png(64)
    whole = decode_picture(data, "x").rgb
    found = decode_picture(data[: len(data) // 2], "x").rgb
    assert np.array_equal(found[::8, ::8], whole[::8, ::8])


@given(st.data())
def test_damage_anywhere_ends_in_pixels_or_in_a_clear_word(data):
    kind = data.draw(st.sampled_from(["JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF"]))
    file = bytearray(encoded(SMALL[60:120, 100:200], kind))
    for _ in range(data.draw(st.integers(1, 5))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(file[: data.draw(st.integers(0, len(file)))])
    try:
        rgb = decode_picture(cut, "hurt.x").rgb
    except PictureError as error:
        assert "hurt.x" in str(error)  # noqa: PT017 - either is right
    else:
        assert rgb.dtype == np.uint8


def radiance(width: int, height: int) -> bytes:
    return b"#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n" + f"-Y {height} +X {width}\n".encode() + bytes(4) * 100


@pytest.mark.parametrize(
    "data",
    [
        radiance(10_000, 10_000),
        b"P6\n10000 10000\n255\n" + bytes(300),
        b"\x76\x2f\x31\x01" + bytes(200),
        b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200),
        b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff",
        b"BM" + bytes(16) + struct.pack("<ii", 60_000, -60_000) + b"\1\0\x18\0" + bytes(40),
    ],
    ids=["radiance", "ppm", "exr", "jpeg2000", "webp", "bmp"],
)
def test_what_a_name_hides_is_no_way_around_the_limit(tmp_path, data):
    """A large picture of another kind, named .jpg: not decoded, whatever it is."""
    (tmp_path / "x.jpg").write_bytes(data)
    with pytest.raises(PictureError, match=r"x\.jpg"):
        load_rgb(tmp_path / "x.jpg")


def test_a_size_that_is_not_known_is_not_small(monkeypatch):
    """The header's reader says -1 for what it does not know."""
    monkeypatch.setattr("hw.images.imagesize.get", lambda _: (-1, -1))
    with pytest.raises(PictureError, match="its size is unknown"):
        decode_picture(encoded(SMALL, "PNG"), "x")


@pytest.mark.parametrize("kind", ["GIF", "AVIF"])
def test_kinds_that_opencv_does_not_read_are_read_by_pillow(kind):
    rgb = decode_picture(encoded(SMALL, kind), "x").rgb
    assert np.abs(rgb.astype(int) - SMALL).mean() < 12


@pytest.mark.parametrize(
    ("brand", "library"), [(b"heic", "pillow-heif"), (b"mif1", "pillow-heif"), (b"avif", "pillow>=11.3")]
)
def test_a_missing_decoder_is_named(brand, library, monkeypatch):
    """What to install, not silence."""
    for module in ("pillow_heif", "PIL.Image"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(PictureError, match=f"pip install '{library}'"):
        decode_picture(b"\0\0\0\x18ftyp" + brand + bytes(40), "x.heic")


def test_a_pipe_is_not_waited_for(tmp_path):
    import os  # noqa: PLC0415 - for this test alone

    os.mkfifo(tmp_path / "x.jpg")
    with pytest.raises(PictureError, match="not a regular file"):
        load_picture(tmp_path / "x.jpg")


@pytest.mark.parametrize("kind", ["TIFF", "PNG", "WEBP", "GIF", "AVIF"])
def test_pictures_after_the_first_are_counted(kind):
    """Scans have pages, clips have frames: only the first is decoded."""
    file = io.BytesIO()
    others = [Image.fromarray(np.rot90(SMALL, 2)), Image.new("RGB", (320, 180))]
    Image.fromarray(SMALL).save(file, kind, save_all=True, append_images=others)
    found = decode_picture(file.getvalue(), "x")
    assert found.pictures == 3
    assert np.abs(found.rgb.astype(int) - SMALL).mean() < 6


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF", "BMP", "MPO"])
def test_a_single_picture_is_counted_as_one(kind):
    """The second picture of a telephone's JPEG is a preview or a map of the first."""
    file = io.BytesIO()
    others = {"save_all": True, "append_images": [Image.fromarray(SMALL[::2, ::2])]} if kind == "MPO" else {}
    Image.fromarray(SMALL).save(file, kind, **others)
    assert decode_picture(file.getvalue(), "x").pictures == 1


@pytest.mark.parametrize(
    ("types", "expected"), [((0, 1), 1), ((0, 4), 1), ((0, 1, 0), 2), ((1,), 1), ((1, 0), 2), ((0, 0, 5, 2), 3)]
)
def test_previews_and_masks_are_no_pages(types, expected):
    """Each directory has its type, and where the next one is."""
    data = b"II*\0" + struct.pack("<I", 8)
    for number, kind in enumerate(types, start=1):
        after = 8 + 18 * number if number < len(types) else 0
        data += struct.pack("<HHHIII", 1, 254, 4, 1, kind, after)
    assert tiff_pictures(data) == expected


def test_directories_that_lead_in_a_circle_end():
    data = b"MM\0*" + struct.pack(">IH", 8, 0) + struct.pack(">I", 8)
    assert tiff_pictures(data) == 1


@given(st.binary(max_size=200))
def test_garbage_is_counted_without_an_error(data):
    for count in (png_pictures, tiff_pictures, webp_pictures):
        assert count(b"II*\0\x08\0\0\0" + data) >= 1


@pytest.mark.parametrize(("size", "taken"), [((9280, 6944), True), ((9248, 6936), True), ((12000, 9000), False)])
def test_pictures_of_64_megapixels_are_taken(size, taken):
    """Telephones of that name have a little more."""
    file = io.BytesIO()
    Image.new("1", size).save(file, "PNG")
    file.seek(0)
    if taken:
        assert picture_size_px(file, "x") == size
    else:
        with pytest.raises(PictureTooLargeError):
            picture_size_px(file, "x")
