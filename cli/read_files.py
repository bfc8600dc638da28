"""``patrol-lpr read``: the recogniser on photographs, folders and videos."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.errors import ImageError
from agent.recognise.formats import in_format
from agent.records import UNKNOWN_REGION, Box
from hw.images import IMAGE_SUFFIXES, PictureError, load_rgb

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from agent.recognise import Recogniser
    from agent.records import PlateText

VIDEO_SUFFIXES = frozenset({".mp4", ".avi", ".mkv", ".mov", ".m4v", ".webm"})


@dataclass(frozen=True, slots=True)
class PlateResult:
    """One detection; the text is empty if its confidence is too low."""

    box: Box
    text: str
    confidence: float
    region: str
    region_confidence: float
    char_confidence: tuple[float, ...]
    in_format: str | None = None
    """The likeliest text in a format of the region, on request; it never replaces the text."""

    def as_json(self) -> dict[str, Any]:
        """JSON form of one plate; the box in pixels of the input picture."""
        b = self.box
        proposal = {} if self.in_format is None else {"in_format": self.in_format}
        return {
            "text": self.text,
            "confidence": round(self.confidence, 4),
            "box": [round(v, 1) for v in (b.x0, b.y0, b.x1, b.y1)],
            "region": self.region,
            "region_confidence": round(self.region_confidence, 4),
            "char_confidence": [round(c, 3) for c in self.char_confidence],
            **proposal,
        }


@dataclass(frozen=True, slots=True)
class ImageResult:
    """All plates of one picture, or the error."""

    path: Path
    plates: tuple[PlateResult, ...]
    ms: float
    """Time in the recogniser, without decoding the file."""
    error: str | None = None

    def as_json(self) -> str:
        """One line of JSON."""
        line: dict[str, Any] = {"image": str(self.path), "plates": [p.as_json() for p in self.plates]}
        line["ms"] = round(self.ms, 3)
        if self.error:
            line["error"] = self.error
        return json.dumps(line)


def expand(inputs: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """Return the pictures and videos among the inputs; folders are searched recursively.

    Raises ImageError naming every input that is missing or of an unknown type.
    """
    images: list[Path] = []
    videos: list[Path] = []
    wrong: list[str] = []
    for path in inputs:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.is_file())
            images += [p for p in inside if p.suffix.lower() in IMAGE_SUFFIXES]
            videos += [p for p in inside if p.suffix.lower() in VIDEO_SUFFIXES]
        elif not path.exists():
            wrong.append(f"{path}: no such file or folder")
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            images.append(path)
        elif path.suffix.lower() in VIDEO_SUFFIXES:
            videos.append(path)
        else:
            wrong.append(f"{path}: unknown file type; pictures and videos are recognised by their suffix")
    if wrong:
        raise ImageError("; ".join(wrong))
    return images, videos


def read_images(
    recogniser: Recogniser, paths: Iterable[Path], *, crops: bool, formats: bool = False
) -> Iterator[ImageResult]:
    """Read the pictures in turn; one that cannot be decoded yields its error, and reading continues.

    With ``formats`` each plate also has its likeliest text in a format of its region.
    """
    for path in paths:
        try:
            rgb = load_rgb(path)
        except PictureError as error:
            yield ImageResult(path, (), 0.0, str(error))
            continue
        start = time.perf_counter()
        found = _read_crop(recogniser, rgb) if crops else _read_scene(recogniser, rgb)
        plates = tuple(_result(recogniser, box, plate, formats=formats) for box, plate in found)
        yield ImageResult(path, plates, (time.perf_counter() - start) * 1e3)


def _read_scene(recogniser: Recogniser, rgb: NDArray[np.uint8]) -> list[tuple[Box, PlateText]]:
    return [
        (d.box, recogniser.ocr.read(rgb, d.box, single_image=True).plate) for d in recogniser.detector.detect(rgb)
    ]


def _read_crop(recogniser: Recogniser, rgb: NDArray[np.uint8]) -> list[tuple[Box, PlateText]]:
    box = Box(0.0, 0.0, float(rgb.shape[1]), float(rgb.shape[0]))
    return [(box, recogniser.ocr.read_crop(rgb))]


def _result(recogniser: Recogniser, box: Box, plate: PlateText, *, formats: bool) -> PlateResult:
    known = recogniser.ocr.is_worth_reporting(plate)
    return PlateResult(
        box,
        plate.text if known else "",
        plate.confidence,
        plate.region if known else UNKNOWN_REGION,
        plate.region_confidence,
        tuple(c.confidence for c in plate.chars),
        (in_format(plate) if known else "") if formats else None,
    )
