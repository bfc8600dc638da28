"""``patrol-lpr read``: JSON lines for programs, a table and a progress bar for people."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import track as progress
from rich.table import Table

from agent.recognise import Recogniser, RecogniserConfig, RuntimeKind, load_active
from agent.recognise.models_folder import default_models_folder
from cli.read_files import ImageResult, PlateResult, expand, read_images
from cli.read_video import VideoRead, read_video

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def run(inputs: list[Path], *, crops: bool, jsonl: bool, formats: bool, models: Path | None, runtime: str) -> int:
    """Read all inputs; returns 0, or 1 if an input could not be read."""
    images, videos = expand(inputs)
    config = RecogniserConfig(runtime=RuntimeKind(runtime))
    recogniser = Recogniser(*load_active(models or default_models_folder()), config)
    results = read_images(recogniser, images, crops=crops, formats=formats)
    if jsonl:
        return _print_lines(recogniser, results, videos)
    return _print_tables(recogniser, results, len(images), videos)


def _print_lines(recogniser: Recogniser, results: Iterator[ImageResult], videos: list[Path]) -> int:
    failed = 0
    for result in results:
        sys.stdout.write(result.as_json() + "\n")
        failed += result.error is not None
    for video in videos:
        for found in read_video(recogniser, video):
            sys.stdout.write(found.as_json() + "\n")
    return 1 if failed else 0


def _print_tables(recogniser: Recogniser, reading: Iterator[ImageResult], total: int, videos: list[Path]) -> int:
    console = Console()
    results = list(
        progress(
            reading,
            total=total,
            description="reading",
            console=Console(stderr=True),
            disable=total < 2,  # noqa: PLR2004 - one picture needs no bar
        )
    )
    if total:
        console.print(_image_table(results))
    for video in videos:
        console.print(_video_table(video, list(read_video(recogniser, video))))
    for result in results:
        if result.error:
            sys.stderr.write(f"patrol-lpr: {result.error}\n")
    return 1 if any(r.error for r in results) else 0


def _image_table(results: list[ImageResult]) -> Table:
    table = Table("picture", "plate", "confidence", "region", "box (px)", "ms")
    for result in results:
        rows: list[PlateResult | None] = [p for p in result.plates if p.text]
        for i, plate in enumerate(rows or [None]):
            name, ms = (result.path.name, f"{result.ms:.1f}") if i == 0 else ("", "")
            if plate is None:
                table.add_row(name, "[red]unreadable file[/]" if result.error else "-", "", "", "", ms)
                continue
            box = " ".join(f"{v:.0f}" for v in (plate.box.x0, plate.box.y0, plate.box.x1, plate.box.y1))
            text = f"[bold]{plate.text}[/]"
            if plate.in_format not in {None, plate.text}:
                text += f" ({plate.in_format}?)"
            table.add_row(name, text, f"{plate.confidence:.2f}", plate.region, box, ms)
    return table


def _video_table(path: Path, reads: list[VideoRead]) -> Table:
    table = Table("from s", "to s", "plate", "confidence", "region", "frames", "agreeing", title=path.name)
    for r in reads:
        table.add_row(
            f"{r.t_first_s:.1f}",
            f"{r.t_last_s:.1f}",
            f"[bold]{r.plate.text}[/]",
            f"{r.plate.confidence:.2f}",
            r.plate.region,
            str(r.n_sightings),
            str(r.n_agreeing),
        )
    return table
