"""Labels of the crops: precedence of the tables, omissions, and merging of typed corrections."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from models.training.ocr.labels import NO_PLATE, PLATE, TWO_LINES, UNUSED, read_finds, read_labels, read_own
from models.training.ocr.sheets import SHEET_FIELDS, judged, make, merge

if TYPE_CHECKING:
    from pathlib import Path

FIELDS = ("image", "text", "label_confidence", "state", "set", "plate_box_in_crop")


def write_table(path: Path, fields: tuple[str, ...], *rows: tuple[str, ...]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(fields)
        writer.writerows(rows)


def typed(image: str, label: str, text: str, kind: str = "") -> dict[str, str]:
    return dict(zip(SHEET_FIELDS, ("0", image, label, text, kind), strict=True))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_table(
        tmp_path / "labels.csv",
        FIELDS,
        ("a.jpg", "ABC123", "0.9", "OHIO", "us_state", ""),
        ("b.jpg", "", "", "UTAH", "us_state", ""),
        ("c.jpg", "B1CDE", "0.4", "", "chirag", "[1, 2, 30, 20]"),
        ("d.jpg", "", "", "", "oi", "[1, 2, 30, 20]"),
        ("e.jpg", "", "", "", "oi", "[1, 2, 30, 20]"),
        ("f.jpg", "", "", "", "oi", "[1, 2, 30, 20]"),
    )
    write_table(tmp_path / "eye_labels.csv", ("image", "text", "weight", "kind"), ("b.jpg", "TOO1", "1.0", ""))
    write_table(
        tmp_path / "corrections.csv", ("image", "label", "text", "kind"), ("a.jpg", "ABC123", "BC123", "stacked")
    )
    write_table(
        tmp_path / "eye_others.csv",
        ("image", "text", "sure", "kind"),
        ("d.jpg", "", "1", "two"),
        ("e.jpg", "", "1", "none"),
    )
    return tmp_path


def by_image(folder: Path, extra: Path | None = None) -> dict[str, tuple[str, float, str]]:
    return {label.image: (label.text, label.weight, label.kind) for label in read_labels(folder, extra)}


def test_human_labels_override_machine_labels(folder):
    assert by_image(folder) == {
        "a.jpg": ("BC123", 1.0, PLATE),
        "b.jpg": ("T001", 1.0, PLATE),  # letter O is written as 0 in this set
        "c.jpg": ("B1CDE", 0.4, PLATE),
        "d.jpg": ("", 1.0, TWO_LINES),
        "e.jpg": ("", 1.0, NO_PLATE),
        "f.jpg": ("", 1.0, UNUSED),
    }


def test_machine_labels_fill_only_unlabelled_crops(folder):
    write_table(folder / "more.csv", ("image", "text", "weight"), ("a.jpg", "X", "0.6"), ("f.jpg", "FGH45", "0.6"))
    labels = by_image(folder, folder / "more.csv")
    assert labels["a.jpg"] == ("BC123", 1.0, PLATE)
    assert labels["f.jpg"] == ("FGH45", 0.6, PLATE)


def test_a_correction_of_another_text_is_refused(folder):
    write_table(folder / "corrections.csv", ("image", "label", "text", "kind"), ("a.jpg", "XYZ", "BC123", ""))
    with pytest.raises(ValueError, match=r"a\.jpg"):
        read_labels(folder)


def test_a_label_for_an_unknown_crop_is_refused(folder):
    write_table(folder / "eye_labels.csv", ("image", "text", "weight", "kind"), ("gone.jpg", "A1", "1.0", ""))
    with pytest.raises(ValueError, match=r"gone\.jpg"):
        read_labels(folder)


def test_own_crops_need_only_image_and_text(tmp_path: Path):
    """As people write plates: with spaces and dashes, in small letters, cells left empty."""
    write_table(
        tmp_path / "labels.csv", ("image", "text", "state"), ("a.jpg", "7abc-123", "US-CA"), ("b.jpg", "", "")
    )
    first, second = read_own(tmp_path)
    assert (first.text, first.weight, first.kind, first.state, first.box) == ("7ABC123", 1.0, PLATE, "US-CA", None)
    assert (second.text, second.kind) == ("", UNUSED)


def test_own_crops_without_a_table_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"needs a labels.csv with the columns image and text"):
        read_own(tmp_path)


def test_finds_of_one_photograph_stay_on_one_side(tmp_path):
    rows = [(f"{i}.png", str(i % 40), "0.7", "[1, 1, 20, 10]") for i in range(200)]
    write_table(tmp_path / "labels.csv", ("image", "gid", "score", "plate_box_in_crop"), *rows)
    sides: dict[int, set[bool]] = {}
    for label, held_out in read_finds(tmp_path):
        sides.setdefault(int(label.image.removesuffix(".png")) % 40, set()).add(held_out)
    assert {len(side) for side in sides.values()} == {1}
    assert {True, False} == set().union(*sides.values())


def test_typed_rows_update_their_labels(folder):
    rows = [
        typed("a.jpg", "BC123", "BC123", "stacked"),
        typed("c.jpg", "B1CDE", "8icde"),
        typed("d.jpg", "", "DF34G"),
        typed("e.jpg", "", "", ""),
        typed("f.jpg", "", "", "none"),
    ]
    machine = {"a.jpg": "ABC123", "b.jpg": "", "c.jpg": "B1CDE", "d.jpg": "", "e.jpg": "", "f.jpg": ""}
    merged = judged(rows, machine)
    assert merged.confirmed == 1
    assert merge(folder, merged) == {"eye_labels.csv": 1, "corrections.csv": 1, "eye_others.csv": 1}
    assert by_image(folder) == {
        "a.jpg": ("BC123", 1.0, PLATE),
        "b.jpg": ("T001", 1.0, PLATE),
        "c.jpg": ("8ICDE", 1.0, PLATE),
        "d.jpg": ("DF34G", 1.0, PLATE),  # no longer among those in two lines
        "e.jpg": ("", 1.0, NO_PLATE),
        "f.jpg": ("", 1.0, NO_PLATE),
    }


@pytest.mark.parametrize(("text", "kind"), [("AB-12", ""), ("", "stacked"), ("AB12", "sideways")])
def test_invalid_typed_row_names_its_crop(text, kind):
    with pytest.raises(ValueError, match=r"d\.jpg"):
        judged([typed("d.jpg", "", text, kind)], {"d.jpg": ""})


def test_sheets_hold_every_crop_once_and_are_not_overwritten(tmp_path):
    folder, out = tmp_path / "crops", tmp_path / "sheets"
    folder.mkdir()
    items = [(f"{i}.png", f"AB{i}") for i in range(7)]
    for name, _ in items:
        cv2.imwrite(str(folder / name), np.full((20, 44, 3), 128, np.uint8))
    assert make(folder, items, out, columns=2, rows=2) == 2
    listed = []
    for table in sorted(out.glob("*.csv")):
        assert cv2.imread(str(table.with_suffix(".png"))) is not None
        with table.open(encoding="utf-8") as file:
            listed += [(row["image"], row["label"]) for row in csv.DictReader(file)]
    assert listed == items
    with pytest.raises(ValueError, match="merge them"):
        make(folder, items, out, columns=2, rows=2)
