"""``patrol-lpr read``: the recogniser on photographs."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from agent.recognise.formats import in_format
from agent.recognise.photo import PhotoPlate, Refusal, read_crop, read_photo
from agent.records import UNKNOWN_REGION, Box
from hw.images import PictureError, load_picture

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from agent.recognise import Recogniser
    from hw.images import LoadedPicture
    from hw.ports import Scene


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
    """The likeliest text in a format of the region, where that was asked for; it never takes the text's place."""
    refused: Refusal | None = None
    """Why there is no text."""

    def as_json(self) -> dict[str, Any]:
        """JSON form of one plate; the box in pixels of the input picture."""
        b = self.box
        proposal = {} if self.in_format is None else {"in_format": self.in_format}
        refused = {} if self.refused is None else {"refused": self.refused.value}
        return {
            "text": self.text,
            "confidence": round(self.confidence, 4),
            "box": [round(v, 1) for v in (b.x0, b.y0, b.x1, b.y1)],
            "region": self.region,
            "region_confidence": round(self.region_confidence, 4),
            "char_confidence": [round(c, 3) for c in self.char_confidence],
            **proposal,
            **refused,
        }


@dataclass(frozen=True, slots=True)
class ImageResult:
    """All plates of one picture, or the error."""

    path: Path
    plates: tuple[PlateResult, ...]
    ms: float
    """Time in the recogniser, without decoding the file."""
    error: str | None = None
    warning: str | None = None
    """What is missing of a picture that was read all the same, or which pictures of the file were not read."""

    def as_json(self) -> str:
        """One line of JSON; a byte of a name that is no UTF-8 is written as Python holds it: DC and the byte."""
        line: dict[str, Any] = {"image": str(self.path), "plates": [p.as_json() for p in self.plates]}
        line["ms"] = round(self.ms, 3)
        if self.error:
            line["error"] = self.error
        if self.warning:
            line["warning"] = self.warning
        return json.dumps(line)


def read_images(
    recogniser: Recogniser,
    paths: Iterable[Path],
    *,
    crops: bool,
    formats: bool = False,
    scene: Scene | None = None,
) -> Iterator[ImageResult]:
    """Read the pictures in turn; one that cannot be decoded yields its error, and reading continues.

    With ``formats`` each plate also has its likeliest text in a format of its region.
    """
    for path in paths:
        try:
            picture = load_picture(path)
        except PictureError as error:
            yield ImageResult(path, (), 0.0, str(error))
            continue
        start = time.perf_counter()
        if crops:
            found = [read_crop(recogniser, picture.rgb)]
        else:
            found = read_photo(recogniser, picture.rgb, scene, picture.part)
        plates = tuple(_result(plate, formats=formats) for plate in found)
        ms = (time.perf_counter() - start) * 1e3
        yield ImageResult(path, plates, ms, warning=_warning(path, picture))


def _warning(path: Path, picture: LoadedPicture) -> str | None:
    if picture.damage is not None or picture.pictures == 1:
        return picture.damage
    return (
        f"{path}: has {picture.pictures} pictures, of which the first was read; "
        "put each of the others into a file of its own"
    )


def _result(found: PhotoPlate, *, formats: bool) -> PlateResult:
    known, plate = found.refusal is None, found.plate
    return PlateResult(
        found.box,
        plate.text if known else "",
        plate.confidence,
        plate.region if known else UNKNOWN_REGION,
        plate.region_confidence,
        tuple(c.confidence for c in plate.chars),
        (in_format(plate) if known else "") if formats else None,
        found.refusal,
    )
