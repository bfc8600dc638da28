"""Contact sheets for reading labels by eye, and merging what was typed: `python -m models.training.ocr.sheets --help`.

`make` writes pages `sheet-001.png` and beside each a table `sheet-001.csv` with a row a crop: its number on the page,
the label it has, and two empty columns.  Type into them

- `typed`: the full-height serial, A-Z and 0-9, without blanks; the label itself where it is right;
- `kind`: nothing, or `stacked` (small characters stand beside the serial), `two` (serial in two lines), `none` (no
  plate), `cut` (part of it outside), `unread`, `other` (another script), `unsure` (a guess: it is not used).

A row left empty was not looked at.  `merge` puts the rest into `eye_labels.csv`, `corrections.csv` and `eye_others.csv`
of a folder with labels, newer over older.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from models.training.ocr.labels import folded, read_labels

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

SHEET_FIELDS = ("number", "image", "label", "typed", "kind")
READ, UNREAD = ("", "stacked"), ("two", "none", "cut", "unread", "other", "unsure")
_TABLES = {
    "eye_labels.csv": ("image", "text", "weight", "kind"),
    "corrections.csv": ("image", "label", "text", "kind"),
    "eye_others.csv": ("image", "text", "sure", "kind"),
}
_TILE_PX, _CAPTION_PX = (220, 110), 18
_INK, _GROUND = (20, 20, 20), 235


@dataclass(frozen=True, slots=True)
class Merged:
    """New rows by the table they belong to, and how many labels were found right."""

    rows: dict[str, list[dict[str, str]]]
    confirmed: int


def judged(typed: Iterable[dict[str, str]], machine: Mapping[str, str]) -> Merged:
    """Sort typed rows into the tables; `machine` are the texts of `labels.csv`, which a correction names.

    O and 0 count as one where a typed text is compared with a label.

    Raises ValueError for a text or a kind that is not one of those above; the message names the crop.
    """
    rows: dict[str, list[dict[str, str]]] = {name: [] for name in _TABLES}
    confirmed = 0
    for row in typed:
        text, kind = row["typed"].strip().upper(), row["kind"].strip().lower()
        if not text and not kind:
            continue
        if kind not in READ + UNREAD or not (text.isascii() and (text.isalnum() or not text)):
            raise ValueError(f"{row['image']}: typed {text!r}, kind {kind!r}: see --help for what may stand there")
        if not text and kind in READ:
            raise ValueError(f"{row['image']}: kind {kind!r} needs a text")
        image = row["image"]
        label = machine[image]
        if row["label"] and kind in READ and folded(text) == folded(row["label"]):
            confirmed += 1
        elif label:
            right = text if kind in READ else ""
            rows["corrections.csv"].append({"image": image, "label": label, "text": right, "kind": kind})
        elif kind in READ:
            rows["eye_labels.csv"].append({"image": image, "text": text, "weight": "1.0", "kind": kind})
        else:
            sure = "0" if kind == "unsure" else "1"
            rows["eye_others.csv"].append({"image": image, "text": text, "sure": sure, "kind": kind})
    return Merged(rows, confirmed)


def merge(folder: Path, merged: Merged) -> dict[str, int]:
    """Write the new rows over those the tables of `folder` hold for the same crops; returns rows added or replaced."""
    # A crop stands in one table: what is known now replaces what was known in any of them.
    fresh = {row["image"] for rows in merged.rows.values() for row in rows}
    for name, fields in _TABLES.items():
        path = folder / name
        kept = [row for row in _rows(path) if row["image"] not in fresh] if path.exists() else []
        both = sorted([*kept, *merged.rows[name]], key=lambda row: row["image"])
        part = path.with_suffix(".part")
        with part.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, fields)
            writer.writeheader()
            writer.writerows(both)
        part.replace(path)
    return {name: len(rows) for name, rows in merged.rows.items()}


def page(crops: Sequence[NDArray[np.uint8]], captions: Sequence[str], columns: int) -> NDArray[np.uint8]:
    """A BGR page of BGR crops, each fitted into its tile above its caption."""
    width, height = _TILE_PX[0] + 6, _TILE_PX[1] + _CAPTION_PX + 6
    rows = -(-len(crops) // columns)
    canvas = np.full((rows * height, columns * width, 3), _GROUND, np.uint8)
    for place, (crop, caption) in enumerate(zip(crops, captions, strict=True)):
        x, y = place % columns * width + 3, place // columns * height + 3
        scale = min(_TILE_PX[0] / crop.shape[1], _TILE_PX[1] / crop.shape[0])
        size = max(1, round(crop.shape[1] * scale)), max(1, round(crop.shape[0] * scale))
        canvas[y : y + size[1], x : x + size[0]] = cv2.resize(crop, size, interpolation=cv2.INTER_AREA)
        where = (x, y + _TILE_PX[1] + _CAPTION_PX - 4)
        cv2.putText(canvas, caption, where, cv2.FONT_HERSHEY_SIMPLEX, 0.5, _INK, 1, cv2.LINE_AA)
    return canvas


def make(folder: Path, items: Sequence[tuple[str, str]], out: Path, *, columns: int, rows: int) -> int:
    """Pages of (image, label) items of `folder`, with their tables; returns how many pages.

    Raises ValueError for an image that cannot be read, and where `out` already holds tables: somebody may have typed.
    """
    out.mkdir(parents=True, exist_ok=True)
    if any(out.glob("sheet-*.csv")):
        raise ValueError(f"{out}: holds sheets already; merge them and name another folder")
    size = columns * rows
    starts = range(0, len(items), size)
    for number, start in enumerate(starts, 1):
        part = items[start : start + size]
        crops = []
        for image, _ in part:
            crop = cv2.imread(str(folder / image), cv2.IMREAD_COLOR)
            if crop is None:
                raise ValueError(f"{folder / image}: not a readable image")
            crops.append(crop)
        captions = [f"{start + i} {label}" for i, (_, label) in enumerate(part)]
        cv2.imwrite(str(out / f"sheet-{number:03d}.png"), page(crops, captions, columns))
        with (out / f"sheet-{number:03d}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(SHEET_FIELDS)
            writer.writerows([start + i, image, label, "", ""] for i, (image, label) in enumerate(part))
    return len(starts)


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _wanted(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Crops to look at, with the labels they have now."""
    table = options.folder / "labels.csv"
    rows = _rows(table)
    if "text" not in rows[0]:  # finds of the detector
        return [(row["image"], "") for row in rows]
    now = {label.image: label.text for label in read_labels(options.folder)}
    if options.which == "without":
        seen = {row["image"] for row in _rows(options.folder / "eye_others.csv")} if options.unseen else set()
        chosen = [row for row in rows if not now[row["image"]] and row["image"] not in seen]
    elif options.which == "doubtful":
        chosen = [r for r in rows if r["label_confidence"] and float(r["label_confidence"]) < options.below]
    else:
        chosen = rows
    return [(row["image"], now[row["image"]]) for row in chosen if not options.set or row["set"] == options.set]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    maker = commands.add_parser("make", help="write sheets and their tables")
    maker.add_argument("folder", type=Path, help="folder with labels.csv and the crops")
    maker.add_argument("out", type=Path)
    maker.add_argument("--which", choices=("without", "doubtful", "all"), default="without", help="which crops")
    maker.add_argument("--unseen", action="store_true", help="leave out those of eye_others.csv")
    maker.add_argument("--below", type=float, default=0.8, help="label confidence under which a label is doubtful")
    maker.add_argument("--set", help="of one set only")
    maker.add_argument("--columns", type=int, default=8)
    maker.add_argument("--rows", type=int, default=8)
    merger = commands.add_parser("merge", help="put what was typed into the tables")
    merger.add_argument("sheets", type=Path, help="folder with sheet-*.csv")
    merger.add_argument("folder", type=Path, help="folder with labels.csv")
    options = parser.parse_args()
    if options.command == "make":
        items = _wanted(options)
        pages = make(options.folder, items, options.out, columns=options.columns, rows=options.rows)
        print(f"{len(items)} crops on {pages} sheets in {options.out}")
        return
    machine = {row["image"]: row["text"] for row in _rows(options.folder / "labels.csv")}
    typed = (row for path in sorted(options.sheets.glob("sheet-*.csv")) for row in _rows(path))
    merged = judged(typed, machine)
    counts = merge(options.folder, merged)
    print(
        f"{merged.confirmed} labels confirmed; " + ", ".join(f"{n} rows to {name}" for name, n in counts.items())
    )


if __name__ == "__main__":
    main()
