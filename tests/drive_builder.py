"""Small drives for tests: grey frames, scripted plates, whatever sentences and script a test needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from tests.nmea_lines import epoch_lines

if TYPE_CHECKING:
    from pathlib import Path

WIDTH, HEIGHT, FPS = 320, 180, 5


def write_drive(
    root: Path,
    *,
    seconds: float = 6.0,
    plates: dict[str, tuple[float, float]] | None = None,
    script: list[tuple[int, str, dict[str, Any]]] | None = None,
    gnss_from_s: float = 0.0,
    recogniser: str = "scripted",
) -> Path:
    """``plates`` maps a text to the seconds in which it is in view; every plate stands at a place of its own."""
    plates = {"7ABC123": (1.0, 3.0)} if plates is None else plates
    (root / "frames").mkdir(parents=True)
    frames, truth = ["seq,t_ms,file,exposure_us,gain"], ["seq,x0,y0,x1,y1,plate,region"]
    for seq in range(int(seconds * FPS)):
        t_s = seq / FPS
        picture = np.full((HEIGHT, WIDTH, 3), 40 + seq % 100, np.uint8)
        cv2.imwrite(str(root / f"frames/{seq:04d}.jpg"), picture)
        frames.append(f"{seq},{t_s * 1000:.3f},frames/{seq:04d}.jpg,5000,1")
        for lane, (text, (first_s, last_s)) in enumerate(plates.items()):
            if first_s <= t_s < last_s:
                x, y = 20 + 60 * (lane % 4), 30 + 40 * (lane // 4 % 3)
                truth.append(f"{seq},{x},{y},{x + 48},{y + 24},{text},US-CA")
    _write(root / "frames.csv", frames)
    _write(root / "truth.csv", truth)
    lines = [
        f"{s * 1000 + 80:.3f}\t{line.text}"
        for s in range(int(seconds) + 1)
        if s >= gnss_from_s
        for line in epoch_lines(s)
    ]
    _write(root / "gnss.nmea", lines)
    entries = ""
    for t_ms, verb, arguments in script if script is not None else [(0, "link.up", {})]:
        entries += f'[[at]]\nt_ms = {t_ms}\ndo = "{verb}"\n' + "".join(
            f"{k} = {v}\n" for k, v in arguments.items()
        )
    (root / "script.toml").write_text(entries, encoding="utf-8")
    (root / "drive.toml").write_text(
        f'format = 1\nname = "{root.name}"\nsource = "synthetic"\ndate = 2026-05-12\nplace = "test"\n'
        f'licence = "Apache-2.0"\nunit = "unit-07"\nstart_utc = 2026-05-12T12:00:00+00:00\n'
        f'recogniser = "{recogniser}"\n'
        f'[camera]\nname = "front"\nrole = "front"\nfps = {FPS}\nwidth_px = {WIDTH}\nheight_px = {HEIGHT}\n',
        encoding="utf-8",
    )
    return root


def _write(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
