"""Decodes picture files to RGB, or rejects them with a clear error.  Formats are detected from the first bytes."""

from __future__ import annotations

import importlib
import io
import stat
import struct
import threading
import warnings
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, BinaryIO

import cv2
import imagesize
import numpy as np

from hw.exif import UPRIGHT, jpeg_orientation, png_orientation, upright, webp_orientation
from hw.picture_count import png_pictures, tiff_pictures, webp_pictures
from hw.ports import HwError
from hw.repair import (
    blank_guesses,
    columns_there,
    end_jpeg,
    fill_comb,
    rows_there,
    whole_bmp,
    whole_png,
    whole_webp,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cv2.typing import MatLike
    from numpy.typing import NDArray

MAX_PIXELS = 70_000_000
"""Pictures with more pixels are rejected before decoding: a 20 kB PNG can expand to 30 GB.  Cameras that are sold as
having 64 megapixels have up to 9280 x 6944."""
MAX_BYTES = 128 * 1024 * 1024
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".dib", ".webp", ".tif", ".tiff"}
    | {".gif", ".avif", ".heic", ".heif", ".hif", ".mpo", ".apng", ".insp"}
)
"""Suffixes of pictures in folders."""


class PictureError(HwError, ValueError):
    """A picture file that cannot be used; the message names the file and the reason."""


class PictureTooLargeError(PictureError):
    """A picture of more pixels than are decoded."""


class PictureKind(StrEnum):
    """Supported formats."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WebP"
    TIFF = "TIFF"
    BMP = "BMP"
    GIF = "GIF"
    AVIF = "AVIF"
    HEIC = "HEIC"


_MAGIC = (
    (b"\xff\xd8\xff", PictureKind.JPEG),
    (b"\x89PNG\r\n\x1a\n", PictureKind.PNG),
    (b"II*\0", PictureKind.TIFF),
    (b"MM\0*", PictureKind.TIFF),
    (b"BM", PictureKind.BMP),
    (b"GIF8", PictureKind.GIF),
)
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), PictureKind.AVIF),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), PictureKind.HEIC),
}
_DECODERS = {PictureKind.GIF: "pillow", PictureKind.AVIF: "pillow>=11.3", PictureKind.HEIC: "pillow-heif"}
"""Packages for formats that OpenCV's wheels do not support."""
_ORIENTATION = {
    PictureKind.JPEG: jpeg_orientation,
    PictureKind.PNG: png_orientation,
    PictureKind.WEBP: webp_orientation,
}
"""OpenCV always applies the orientation of TIFF files itself."""
_COUNT = {
    PictureKind.PNG: png_pictures,
    PictureKind.WEBP: webp_pictures,
    PictureKind.TIFF: tiff_pictures,
}
"""The other pictures of a JPEG file are previews and maps of its own."""
_FROM_ANYWHERE = frozenset({PictureKind.BMP, PictureKind.TIFF})
"""The last row of a BMP file comes first; a TIFF file has strips, and its decoder turns it itself."""
_REPAIR = {
    PictureKind.JPEG: end_jpeg,
    PictureKind.PNG: whole_png,
    PictureKind.BMP: whole_bmp,
    PictureKind.WEBP: whole_webp,
}
_HEAD_BYTES = 32
_LAST_BYTES = 64
"""Of a WebP that broke off: what depends on them is a guess."""
_UNREADABLE = "corrupt, truncated or not a picture"


@dataclass(frozen=True, slots=True)
class LoadedPicture:
    """A decoded picture."""

    rgb: NDArray[np.uint8]
    """Height x width x 3, rotated according to the Exif orientation."""
    damage: str | None = None
    """Message if a part of the picture is missing."""
    part: tuple[int, int, int, int] | None = None
    """Left, top, right and bottom of what was decoded of a damaged picture, in pixels; None: all of it."""
    pictures: int = 1
    """Pages or frames of the file; the first was decoded."""


def kind_of(head: bytes) -> PictureKind | None:
    """Return the format from the first 32 bytes of a file; None if it is not supported."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return PictureKind.WEBP
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    return next((kind for magic, kind in _MAGIC if head.startswith(magic)), None)


def load_rgb(path: Path) -> NDArray[np.uint8]:
    """Decode a picture file to height x width x 3 RGB, as far as possible.

    Raises PictureError if it is missing, too large, too damaged or not a picture.
    """
    return load_picture(path).rgb


def load_picture(path: Path) -> LoadedPicture:
    """As :func:`load_rgb`, with a message if a part is missing."""
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise PictureError(f"{path}: not a regular file")
        if not 0 < found.st_size <= MAX_BYTES:
            raise PictureError(f"{path}: {found.st_size} bytes; expected 1 to {MAX_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise PictureError(f"{path}: {error.strerror or error}") from error
    return decode_picture(data, str(path))


def decode_rgb(data: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """Decode the bytes of a picture; ``name`` goes into the error.

    Raises PictureError when the bytes are not a picture, or one of too many pixels.
    """
    return decode_picture(data.tobytes(), name).rgb


def picture_size_px(file: BinaryIO, name: str) -> tuple[int, int]:
    """Return width and height from the header, before rotation.

    Raises PictureError if the header is unreadable, PictureTooLargeError above MAX_PIXELS.
    """
    try:
        width, height = imagesize.get(file)
    except (ValueError, OSError, struct.error, IndexError, TypeError, KeyError) as error:
        raise PictureError(f"{name}: corrupt, truncated or not a picture: {error}") from error
    # An unknown size must not pass the limit.
    if width <= 0 or height <= 0:
        raise PictureError(f"{name}: corrupt, truncated or not a picture: its size is unknown")
    if width * height > MAX_PIXELS:
        raise PictureTooLargeError(f"{name}: {width}x{height} pixels; at most {MAX_PIXELS} are read")
    return int(width), int(height)


def decode_picture(data: bytes, name: str) -> LoadedPicture:
    """Decode the bytes of a picture as far as possible.  Raises PictureError as :func:`decode_rgb` does."""
    kind = kind_of(data[:_HEAD_BYTES])
    if kind is None:
        raise PictureError(f"{name}: not a picture of a supported format ({', '.join(PictureKind)})")
    if kind in _DECODERS:
        return _pillow(data, kind, name)
    try:
        picture_size_px(io.BytesIO(data), name)
    except PictureTooLargeError:
        raise
    except PictureError as error:
        reason = _refusal(data, kind)
        raise error if reason == _UNREADABLE else PictureError(f"{name}: {reason}") from error
    turn = _ORIENTATION.get(kind, lambda _: UPRIGHT)(data)
    bgr = _opencv(data)
    if bgr is not None:
        return LoadedPicture(upright(bgr_to_rgb(bgr), turn), pictures=_COUNT.get(kind, lambda _: 1)(data))
    if kind is PictureKind.TIFF and (part := _partial_tiff(data, name)) is not None:
        return part
    bgr = _repaired(data, kind)
    # A single colour: only the header could be decoded.
    if bgr is None or (bgr == bgr[0, 0]).all():
        raise PictureError(f"{name}: {_refusal(data, kind)}")
    return _incomplete(bgr_to_rgb(bgr), name, kind, turn)


def _repaired(data: bytes, kind: PictureKind) -> NDArray[np.uint8] | None:
    """Decode what there is of a damaged file, the rest in one colour; None if there is nothing."""
    repaired = _REPAIR.get(kind, lambda _: None)(data)
    bgr = None if repaired is None else _opencv(repaired)
    if bgr is None or kind is not PictureKind.WEBP:
        return bgr
    shorter = _opencv(whole_webp(data, without_bytes=_LAST_BYTES) or b"")
    return None if shorter is None else blank_guesses(bgr, shorter)


def _incomplete(rgb: NDArray[np.uint8], name: str, kind: PictureKind, turn: int) -> LoadedPicture:
    """A damaged picture, and which part of it there is; ``rgb`` is as it is stored."""
    rgb = fill_comb(rgb)
    there = np.zeros(rgb.shape[:2], np.uint8)
    top, bottom = rows_there(rgb, from_top=kind not in _FROM_ANYWHERE)
    left, right = columns_there(rgb) if kind is PictureKind.TIFF else (0, there.shape[1])
    there[top:bottom, left:right] = 1
    there = upright(there, turn)
    rows, columns = np.flatnonzero(there.any(axis=1)), np.flatnonzero(there.any(axis=0))
    part = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    return LoadedPicture(upright(rgb, turn), f"{name}: damaged, decoded as far as possible", part)


def _refusal(data: bytes, kind: PictureKind) -> str:
    """Why nothing can be decoded, as far as the format tells."""
    if kind is PictureKind.WEBP:
        expected = 8 + int.from_bytes(data[4:8], "little")
        if len(data) < expected:
            return f"truncated, {len(data)} of {expected} bytes: too little of it is there, or it is lossless"
    if kind is PictureKind.TIFF:
        directory = int.from_bytes(data[4:8], "little" if data.startswith(b"II") else "big")
        if directory >= len(data):
            return (
                f"truncated, {len(data)} bytes: without its directory, at byte {directory}, a TIFF is not decoded"
            )
    if kind in {PictureKind.AVIF, PictureKind.HEIC}:
        return f"corrupt or truncated: {kind} is decoded only if it is complete"
    return _UNREADABLE


def _partial_tiff(data: bytes, name: str) -> LoadedPicture | None:
    """Decode the strips that are there; None without Pillow, or if nothing can be decoded."""
    try:
        found = _pillow(data, PictureKind.TIFF, name)
    except PictureError:
        return None
    return None if (found.rgb == found.rgb[0, 0]).all() else found


def _opencv(data: bytes) -> NDArray[np.uint8] | None:
    try:
        return cv2.imdecode(  # type: ignore[return-value]  # OpenCV's stubs leave the dtype open
            np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        )
    except cv2.error:
        return None


def _pillow(data: bytes, kind: PictureKind, name: str) -> LoadedPicture:
    """Decode a format that OpenCV does not support, or not in part."""
    package = _DECODERS.get(kind, "pillow")
    missing = f"{name}: {kind} needs a decoder that is not installed; run: python -m pip install '{package}'"
    try:
        library: Any = importlib.import_module("PIL.Image")
        files: Any = importlib.import_module("PIL.ImageFile")
        turning: Any = importlib.import_module("PIL.ImageOps")
        if kind is PictureKind.HEIC:
            importlib.import_module("pillow_heif").register_heif_opener()
    except ImportError as error:
        raise PictureError(missing) from error
    try:
        with warnings.catch_warnings():
            # Its own, larger limit of pixels only warns, as do its readers of damaged metadata.
            warnings.simplefilter("ignore")
            picture = library.open(io.BytesIO(data))
        pixels = picture.width * picture.height
        whole = pixels <= MAX_PIXELS and _load(picture, files)
        rgb = np.array(turning.exif_transpose(picture).convert("RGB"), np.uint8) if pixels <= MAX_PIXELS else None
    except library.UnidentifiedImageError as error:
        raise PictureError(missing if _lacks_decoder(kind) else f"{name}: {_refusal(data, kind)}") from error
    except library.DecompressionBombError as error:
        raise PictureError(f"{name}: too large: {error}") from error
    except Exception as error:  # decoders of many formats raise what they like for a damaged file
        why = " ".join(str(error).split())
        raise PictureError(f"{name}: {_refusal(data, kind)} ({why or type(error).__name__})") from error
    if rgb is None:
        raise PictureTooLargeError(
            f"{name}: {picture.width}x{picture.height} pixels; at most {MAX_PIXELS} are read"
        )
    return LoadedPicture(rgb, pictures=_frames(picture)) if whole else _incomplete(rgb, name, kind, UPRIGHT)


def _frames(picture: Any) -> int:
    try:
        return int(getattr(picture, "n_frames", 1))
    except Exception:  # noqa: BLE001 - as above; the first picture is whole
        return 1


_PARTIAL = threading.Lock()


def _load(picture: Any, files: Any) -> bool:
    """Load the pixels, all of them or those that are there; return whether it was all."""
    try:
        picture.load()
    except (OSError, EOFError, SyntaxError):
        with _PARTIAL:  # Pillow has one switch for the whole process
            before, files.LOAD_TRUNCATED_IMAGES = files.LOAD_TRUNCATED_IMAGES, True
            try:
                picture.load()
            finally:
                files.LOAD_TRUNCATED_IMAGES = before
        return False
    return True


def _lacks_decoder(kind: PictureKind) -> bool:
    """True if Pillow is older than its support of AVIF, or was built without it."""
    features: Any = importlib.import_module("PIL.features")
    return kind is PictureKind.AVIF and not ("avif" in features.modules and features.check("avif"))


def bgr_to_rgb(bgr: MatLike) -> NDArray[np.uint8]:
    """Turn the colour order of OpenCV's readers; a copy.

    One call of OpenCV: 0.06 ms for 1280x720 pixels, where numpy's reversed view and its copy take 3 ms.
    """
    return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]  # OpenCV's stubs leave the dtype open
