"""What is known of each crop: machine labels, the texts people read, their corrections, and what cannot be read.

Later files win: `eye_labels.csv` over `labels.csv`, `corrections.csv` over both; `eye_others.csv` says why a crop has
no text.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OWN = "own"
"""Set of a fleet's own crops."""
PLATE, TWO_LINES, NO_PLATE, UNUSED = "plate", "two", "none", "unused"
REFUSED = frozenset({TWO_LINES, NO_PLATE})
"""Kinds in which nothing is to be read: serials in two lines, and what is no plate."""
_WEAK_LABEL, _WEAK_WEIGHT = 0.5, 0.4
_WITH_STATES = "us_state"
_ZERO_FOR_O = frozenset({"us_state", "oi"})
"""Sets whose labels write most letters O as 0: all of them are written so, or the reader learns to doubt both."""
_FINDS_HELD_OUT_PERCENT = 20
_TEXT = re.compile(r"[A-Z0-9]*")

Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Label:
    """One crop; `text` is empty where unknown, `weight` is of its loss, `box` the plate's in the crop (pixels)."""

    image: str
    text: str
    weight: float
    kind: str
    origin: str
    label_set: str
    state: str
    box: Box | None


def folded(text: str) -> str:
    """The text with letter O written as digit 0, as US plates and labels mix them."""
    return text.replace("O", "0")


def read_labels(folder: Path, extra: Path | None = None) -> list[Label]:
    """Labels of every crop in `folder`, those of `extra` (image,text,weight) where there is no other.

    Raises ValueError for a text outside A-Z and 0-9, for a crop that `labels.csv` does not list, and for a
    correction whose old text is not the label's.
    """
    rows = _rows(folder / "labels.csv")
    eye, corrections, others = (
        {row["image"]: row for row in _rows(folder / name)}
        for name in ("eye_labels.csv", "corrections.csv", "eye_others.csv")
    )
    added = {row["image"]: row for row in _rows(extra)} if extra else {}
    known = {row["image"] for row in rows}
    if lost := sorted((eye.keys() | corrections.keys() | others.keys() | added.keys()) - known):
        raise ValueError(f"{folder}: labels for crops that labels.csv does not list: {', '.join(lost[:5])}")
    return [
        _label(row, eye.get(row["image"]), corrections.get(row["image"]), others.get(row["image"]), added)
        for row in rows
    ]


def read_own(folder: Path) -> list[Label]:
    """A fleet's own crops: `labels.csv` with the columns `image` and `text`; the others of `read_labels` may be there.

    Raises ValueError where there is no such table, and as `read_labels` does.
    """
    rows = _rows(folder / "labels.csv")
    if not rows or not {"image", "text"} <= rows[0].keys():
        raise ValueError(f"{folder}: needs a labels.csv with the columns image and text, a row for each crop")
    empty = dict.fromkeys(("label_confidence", "state", "plate_box_in_crop"), "")
    labels = []
    for row in rows:
        text = "".join(row["text"].upper().split()).replace("-", "")
        full = {**empty, "set": OWN, **{name: value or "" for name, value in row.items()}, "text": text}
        labels.append(_label(full, None, None, None, {}))
    return labels


def read_finds(folder: Path) -> list[tuple[Label, bool]]:
    """What `negatives.py` found where no plate is, and whether its photograph is held out."""
    finds = []
    for row in _rows(folder / "labels.csv"):
        box = _box(row)
        held_out = (
            int.from_bytes(hashlib.sha256(row["gid"].encode()).digest()[:4], "big") % 100 < _FINDS_HELD_OUT_PERCENT
        )
        finds.append((Label(row["image"], "", 0.0, NO_PLATE, "detector", "finds", "", box), held_out))
    return finds


def _box(row: dict[str, str]) -> Box | None:
    text = row["plate_box_in_crop"]
    return tuple(float(v) for v in json.loads(text)) if text else None


def _rows(path: Path) -> list[dict[str, str]]:
    """Rows of a table; none where there is no such file: other data need not have been looked at."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _label(
    row: dict[str, str],
    eye: dict[str, str] | None,
    correction: dict[str, str] | None,
    other: dict[str, str] | None,
    added: dict[str, dict[str, str]],
) -> Label:
    text, weight, kind, origin = row["text"], 1.0, PLATE, "machine"
    if row["label_confidence"] and float(row["label_confidence"]) < _WEAK_LABEL:
        weight = _WEAK_WEIGHT
    if eye is not None:
        text, weight, origin = eye["text"], float(eye["weight"]), "eye"
    elif correction is not None:
        if correction["label"] != text:
            raise ValueError(f"{row['image']}: corrections.csv corrects another text than labels.csv holds")
        text, weight, origin = correction["text"], 1.0, "corrected"
        kind = PLATE if text else UNUSED
    elif other is not None:
        text, origin = "", f"eye, {other['kind']}"
        kind = other["kind"] if other["kind"] in REFUSED else _without_text(row)
    elif not text and row["image"] in added:
        found = added[row["image"]]
        text, weight, origin = found["text"], float(found["weight"]), "bundle"
    elif not text:
        kind, origin = _without_text(row), "no label"
    if row["set"] in _ZERO_FOR_O:
        text = folded(text)
    if not _TEXT.fullmatch(text):
        raise ValueError(f"{row['image']}: a text holds A-Z and 0-9 only")
    return Label(row["image"], text, weight, kind, origin, row["set"], row["state"], _box(row))


def _without_text(row: dict[str, str]) -> str:
    """A crop without a text still tells its state, where people said it."""
    return PLATE if row["set"] == _WITH_STATES and row["state"] else UNUSED
