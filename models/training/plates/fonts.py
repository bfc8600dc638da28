"""Free fonts and words of the Debian archive: fetched into a cache folder, rasterised glyph by glyph.

No plate face is among them; condensed road-sign, DIN-like and single-stroke faces come nearest.
"""

from __future__ import annotations

import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from models.training.plates.strokes import PREFIX, stroke_glyph

if TYPE_CHECKING:
    from numpy.typing import NDArray

PACKAGES = (
    "fonts-roadgeek", "fonts-opendin", "fonts-routed-gothic", "fonts-league-mono", "fonts-smc-uroob",
    "fonts-roboto-unhinted", "fonts-liberation", "fonts-dejavu-core", "fonts-open-sans", "fonts-lato", "fonts-osifont",
    "fonts-bebas-neue", "fonts-b612", "fonts-urw-base35", "fonts-tuffy", "wamerican-small",
)  # fmt: skip
WHEELS = ("fontpkg-barlow-condensed==1.408", "fontpkg-barlow-semi-condensed==1.408")
"""Barlow (OFL), drawn after Californian plates and road signs; it is not in the Debian archive."""
DEFAULT_CACHE = Path.home() / ".cache" / "patrol-lpr" / "fonts"

SERIAL_FACES = {
    "US": (
        "RG2014B.ttf", "RG2014C.ttf", "RG2014D.ttf", "routed-gothic-narrow.ttf", "routed-gothic.ttf",
        "LeagueMono-CondensedBold.otf", "LeagueMono-NarrowBold.otf", "LiberationSansNarrow-Bold.ttf",
        "NimbusSansNarrow-Bold.otf", "RobotoCondensed-Bold.ttf", "BebasNeue-Regular.otf", "BebasNeue-Bold.otf",
        "Uroob-Regular.ttf", "osifont.ttf", "OSP-DIN.ttf", "OpenSans-CondBold.ttf", "LeagueMono-CondensedSemiBold.otf",
        "Tuffy_Bold.ttf", "B612Mono-Bold.otf", "BarlowCondensed-Bold.ttf", "BarlowCondensed-SemiBold.ttf",
        "BarlowSemiCondensed-Medium.ttf",
    ),
    "BR": (
        "OSP-DIN.ttf", "RG2014D.ttf", "BarlowSemiCondensed-SemiBold.ttf", "BarlowSemiCondensed-Bold.ttf", "osifont.ttf",
        "RobotoCondensed-Bold.ttf", "LeagueMono-NarrowBold.otf", "DejaVuSansMono-Bold.ttf",
    ),
    "EU": (
        "OSP-DIN.ttf", "RG2014C.ttf", "RG2014D.ttf", "RobotoCondensed-Bold.ttf", "LeagueMono-NarrowBold.otf",
        "NimbusSansNarrow-Bold.otf", "osifont.ttf", "routed-gothic-narrow.ttf", "LeagueMono-CondensedSemiBold.otf",
        "OpenSans-CondBold.ttf", "DejaVuSansMono-Bold.ttf", "LiberationMono-Bold.ttf",
    ),
}  # fmt: skip
NAME_FACES = (
    "LiberationSans-Bold.ttf", "DejaVuSerif-Bold.ttf", "C059-BdIta.otf", "URWGothic-Demi.otf", "Lato-Black.ttf",
    "URWBookman-DemiItalic.otf", "Z003-MediumItalic.otf", "NimbusRoman-BoldItalic.otf", "Roboto-Bold.ttf",
    "LiberationSansNarrow-Bold.ttf", "P052-Bold.otf", "OpenSans-Semibold.ttf",
)  # fmt: skip
_RASTER_PX = 96
_STROKE_FACES = ("routed-gothic", "osifont")


def fetch(cache: Path = DEFAULT_CACHE) -> Path:
    """Download and unpack PACKAGES and WHEELS into `cache` (nothing else changes); does nothing when they are there.

    Needs apt-get, dpkg and pip.  Raises subprocess.CalledProcessError when a package cannot be had.
    """
    done = cache / "complete-3"
    if not done.exists():
        archives = cache / "archives"
        archives.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=archives, check=True)  # noqa: S603, S607 - fixed list
        for archive in sorted(archives.glob("*.deb")):
            subprocess.run(["dpkg", "-x", str(archive), str(cache)], check=True)  # noqa: S603, S607 - just fetched
        for wheel in WHEELS:
            command = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", str(cache), wheel]
            subprocess.run(command, check=True)  # noqa: S603 - fixed list
        done.touch()
    return cache


def dictionary(cache: Path) -> tuple[str, ...]:
    """Common English words of 3 to 9 letters, A-Z: what stands on personal plates and on boards."""
    path = cache / "usr" / "share" / "dict" / "american-english-small"
    words = {line.strip().upper() for line in path.read_text(encoding="utf-8").splitlines()}
    return tuple(sorted(w for w in words if w.isascii() and w.isalpha() and 3 <= len(w) <= 9))


class FontBank:
    """Glyph masks of the fetched fonts, cached."""

    def __init__(self, folder: Path) -> None:
        self._paths = {p.name: p for p in folder.rglob("*") if p.suffix in {".ttf", ".otf"}}
        faces = {f for group in SERIAL_FACES.values() for f in group} | set(NAME_FACES)
        if missing := sorted(faces - self._paths.keys()):
            raise FileNotFoundError(f"fonts missing in {folder}: {', '.join(missing)}; fetch the packages again")
        self.glyph = lru_cache(maxsize=4000)(self._glyph)
        self.line = lru_cache(maxsize=4000)(self._line)

    def _font(self, face: str) -> ImageFont.FreeTypeFont:
        return ImageFont.truetype(str(self._paths[face]), _RASTER_PX)

    def _glyph(self, face: str, char: str, weight: int) -> NDArray[np.uint8]:
        """Mask of one serial character, trimmed to its ink; `weight` px are added to every stroke (of 96 px)."""
        if face.startswith(PREFIX):
            return stroke_glyph(face, char, weight)
        extra = weight + (4 if face.startswith(_STROKE_FACES) else 0)
        mask = self._mask(face, char, extra)
        return mask if char in "-." else _trimmed(mask)

    def _line(self, face: str, text: str) -> NDArray[np.uint8]:
        """Mask of a whole line of small print, trimmed."""
        return _trimmed(self._mask(face, text, 0))

    def _mask(self, face: str, text: str, stroke: int) -> NDArray[np.uint8]:
        font = self._font(face)
        x0, y0, x1, y1 = font.getbbox(text, stroke_width=stroke)
        image = Image.new("L", (max(1, int(x1 - x0)) + 2, max(1, int(y1 - y0)) + 2))
        ImageDraw.Draw(image).text((1 - x0, 1 - y0), text, fill=255, font=font, stroke_width=stroke)
        return np.asarray(image)


def _trimmed(mask: NDArray[np.uint8]) -> NDArray[np.uint8]:
    x, y, w, h = cv2.boundingRect((mask > 64).astype(np.uint8))
    return np.ascontiguousarray(mask[y : y + max(1, h), x : x + max(1, w)])
