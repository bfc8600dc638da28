"""``patrol-lpr read``: JSON lines for programs, tables and a progress bar for people."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from agent.errors import ImageError
from agent.recognise import Recogniser, RecogniserConfig, RuntimeKind, load_active
from agent.recognise.models_folder import default_models_folder
from agent.recognise.photo import Refusal
from cli.quiet import library_lines_hidden
from cli.read_files import ImageResult, PlateResult, read_images
from cli.read_inputs import Inputs, expand
from cli.read_video import VideoRead, VideoSummary, read_video
from cli.show import TextTable, print_table
from cli.terminal import plain, say, shown_region

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from pathlib import Path

    from hw.ports import Scene

_REFUSED = {
    Refusal.CUT: "- (cut off by the picture's edge)",
    Refusal.TWO_LINES: "- (text in two lines, or no plate)",
    Refusal.IGNORED: "- (ignored)",
}
"""Shown for detected plates without a text; unsure ones are not shown."""


class OutputForm(Enum):
    """How the command prints its results."""

    TABLES = "tables"
    LINES = "lines"
    """One JSON object per line, as soon as it is known."""
    DOCUMENT = "document"
    """One JSON document, a list of the same objects."""


@dataclass(frozen=True, slots=True)
class ReadOptions:
    """Options of the command."""

    crops: bool = False
    form: OutputForm = OutputForm.TABLES
    formats: bool = False
    scene: Scene | None = None


def run(names: Sequence[str], options: ReadOptions, *, models: Path | None, runtime: str) -> int:
    """Read all inputs; returns 0, or 1 if an input could not be read."""
    with library_lines_hidden():
        return _run(names, options, models=models, runtime=runtime)


def _run(names: Sequence[str], options: ReadOptions, *, models: Path | None, runtime: str) -> int:
    inputs = expand(names)
    if options.crops:
        inputs.wrong += [(str(v), f"{v}: a video is not read with --crops: give pictures") for v in inputs.videos]
        inputs.videos.clear()
    config = RecogniserConfig(runtime=RuntimeKind(runtime))
    recogniser = Recogniser(*load_active(models or default_models_folder()), config)
    for note in inputs.notes:
        say(note)
    failed = _Run(recogniser, inputs, options).read()
    return 1 if failed or inputs.wrong else 0


class _Run:
    """Reads the inputs in turn."""

    def __init__(self, recogniser: Recogniser, inputs: Inputs, options: ReadOptions) -> None:
        self._recogniser = recogniser
        self._inputs = inputs
        self._options = options
        self._failed = False
        self._for_programs = options.form is not OutputForm.TABLES
        self._document: list[str] = []
        self._done = 0
        """Inputs that were read to their end, or could not be read."""

    def read(self) -> bool:
        """Return whether an input could not be read.  What was read before an interruption is printed."""
        try:
            self._read_all()
        except KeyboardInterrupt:
            self._end()
            inputs = len(self._inputs.images) + len(self._inputs.videos)
            say(f"interrupted; {self._done} of {inputs} inputs were read")
            raise
        self._end()
        return self._failed

    def _end(self) -> None:
        if self._options.form is OutputForm.DOCUMENT:
            sys.stdout.write("[" + ",\n".join(self._document) + "]\n")

    def _read_all(self) -> None:
        for name, why in self._inputs.wrong:
            self._tell(json.dumps({"input": name, "error": why}), why)
        bar = (
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        several = len(self._inputs.images) > 1 or bool(self._inputs.videos)
        with Progress(
            *bar, console=Console(stderr=True), disable=not several or not sys.stderr.isatty(), transient=True
        ) as progress:
            self._read_images(progress)
            for video in self._inputs.videos:
                self._read_video(video, progress)

    def _read_images(self, progress: Progress) -> None:
        images = self._inputs.images
        if not images:
            return
        task = progress.add_task("reading", total=len(images))
        results: list[ImageResult] = []
        try:
            self._take_images(images, results, lambda: progress.advance(task))
        finally:
            progress.remove_task(task)
            if results:
                _print_images(results)
            for result in results:
                if said := result.error or result.warning:
                    say(said)

    def _take_images(
        self, images: Sequence[Path], results: list[ImageResult], on_image: Callable[[], None]
    ) -> None:
        o = self._options
        for result in read_images(self._recogniser, images, crops=o.crops, formats=o.formats, scene=o.scene):
            self._failed |= result.error is not None
            if self._for_programs:
                self._print(result.as_json())
            else:
                results.append(result)
            self._done += 1
            on_image()

    def _read_video(self, path: Path, progress: Progress) -> None:
        task = progress.add_task(plain(path.name), total=None)
        summary = VideoSummary()

        def on_frame() -> None:
            progress.update(task, total=summary.n_frames, completed=summary.frames)

        reads: list[VideoRead] = []
        try:
            self._take_video(path, reads, summary, on_frame)
        except KeyboardInterrupt:
            if reads and not self._for_programs:
                _print_video(path, reads)
            raise
        except ImageError as error:
            self._failed = True
            self._done += 1
            self._tell(json.dumps({"video": str(path), "error": str(error)}), str(error))
            return
        finally:
            progress.remove_task(task)
        self._done += 1
        if not self._for_programs:
            _print_video(path, reads)
        elif not reads or summary.notes:
            # Programs must see that the video was read and contained no plate.
            line: dict[str, object] = {"video": str(path), "frames": summary.frames, "reads": summary.reads}
            notes = {"notes": summary.notes} if summary.notes else {}
            self._print(json.dumps(line | notes))
        for note in summary.notes:
            say(note)

    def _take_video(
        self, path: Path, reads: list[VideoRead], summary: VideoSummary, on_frame: Callable[[], None]
    ) -> None:
        o = self._options
        for read in read_video(
            self._recogniser, path, formats=o.formats, scene=o.scene, summary=summary, on_frame=on_frame
        ):
            reads.append(read)
            if self._for_programs:
                self._print(read.as_json())

    def _tell(self, line: str, why: str) -> None:
        """Report an error: as JSON on request, and always on standard error."""
        if self._for_programs:
            self._print(line)
        say(why)

    def _print(self, line: str) -> None:
        if self._options.form is OutputForm.DOCUMENT:
            self._document.append(line)
        else:
            sys.stdout.write(line + "\n")
            sys.stdout.flush()


def _print_images(results: list[ImageResult]) -> None:
    columns = ("picture", "plate", "confidence", "region", "box (px)", "ms")
    rows = [row for result in results for row in _image_rows(result)]
    _print_rows(columns, rows)


def _image_rows(result: ImageResult) -> list[tuple[str, ...]]:
    """A row for each plate and for each refused one; at least one."""
    name, ms = str(result.path), f"{result.ms:.1f}"
    told = [p for p in result.plates if p.text or p.refused in _REFUSED]
    if not told:
        return [(name, "unreadable file" if result.error else "-", "", "", "", ms)]
    return [(name if i == 0 else "", *_plate_cells(plate), ms if i == 0 else "") for i, plate in enumerate(told)]


def _plate_cells(plate: PlateResult) -> tuple[str, str, str, str]:
    box = " ".join(f"{v:.0f}" for v in (plate.box.x0, plate.box.y0, plate.box.x1, plate.box.y1))
    if plate.refused is not None:
        return _REFUSED[plate.refused], "", "", box
    region = shown_region(plate.region, plate.region_confidence)
    return _with_proposal(plate.text, plate.in_format), f"{plate.confidence:.2f}", region, box


def _with_proposal(text: str, in_format: str | None) -> str:
    return text if in_format in {None, text} else f"{text} ({in_format}?)"


def _print_video(path: Path, reads: list[VideoRead]) -> None:
    columns = ("from s", "to s", "plate", "confidence", "region", "frames", "agreeing")
    rows = [
        (
            f"{r.t_first_s:.1f}",
            f"{r.t_last_s:.1f}",
            _with_proposal(r.plate.text, r.in_format),
            f"{r.plate.confidence:.2f}",
            shown_region(r.plate.region, r.plate.region_confidence),
            str(r.n_sightings),
            str(r.n_agreeing),
        )
        for r in reads
    ]
    _print_rows(columns, rows, title=str(path))


def _print_rows(columns: Sequence[str], rows: Iterable[tuple[str, ...]], *, title: str = "") -> None:
    table = TextTable(*columns, title=title)
    for row in rows:
        table.add_row(*row)
    print_table(table)
