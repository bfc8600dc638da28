"""Draw drives: `python -m models.training.render all --out tests/drives`; `sheet` makes a contact sheet of them."""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np

from models.training.plates import PlateRenderer
from models.training.plates.fonts import DEFAULT_CACHE
from models.training.render.drives import PLANS, render


def main() -> None:
    """Draw what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=[*PLANS, "all", "sheet"])
    parser.add_argument("--out", type=Path, required=True, help="folder of the drives, or the sheet's file")
    parser.add_argument("--drives", type=Path, default=Path("tests/drives"), help="what the sheet shows")
    parser.add_argument("--fonts", type=Path, default=DEFAULT_CACHE)
    options = parser.parse_args()
    if options.what == "sheet":
        sheet(options.drives, options.out)
        return
    plates = PlateRenderer(options.fonts)
    for name in PLANS if options.what == "all" else [options.what]:
        render(PLANS[name], plates, options.out / name)


def sheet(drives: Path, out: Path, *, columns: int = 4) -> None:
    """Some frames of every drive on one picture, a row each."""
    rows = []
    for name in PLANS:
        files = sorted((drives / name / "frames").glob("*.jpg"))
        chosen = [files[i] for i in np.linspace(8, len(files) - 8, columns).astype(int)]
        rows.append(
            np.hstack([cv2.resize(cv2.imread(str(f)), (480, 270), interpolation=cv2.INTER_AREA) for f in chosen])
        )
    cv2.imwrite(str(out), np.vstack(rows))


if __name__ == "__main__":
    main()
