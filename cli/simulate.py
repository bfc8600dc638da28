"""``patrol-lpr simulate DRIVE``: replay a drive through agent, outbox and station, with a report."""

from __future__ import annotations

import itertools
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from agent.errors import ConfigError
from agent.recognise import load_active
from agent.recognise.models_folder import default_models_folder
from agent.runtime import log
from agent.runtime.config import parse_config
from agent.runtime.stages import build_recogniser
from cli.drive_lists import lists_of
from cli.quiet import library_lines_hidden
from cli.replay import Replay, ReplayResult
from cli.report import StationView, check_libraries, write_report
from cli.scripted import ScriptedReader
from cli.show import NOT_READ, TextTable, print_json, print_table
from cli.terminal import PlainConsole, plain, say
from hw.drive_format import DriveFormatError
from hw.drive_load import load_drive
from hw.output import check_output
from protocol.seal import Opener, SigningKey, StationKey, load_keyring
from protocol.seal.keys import RECEIPT_KEY, RECEIPT_PUBLIC
from station.asker import Asker
from station.ingest import Ingest
from station.query import Query
from station.store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from agent.pipeline import PlateRecognizer
    from agent.runtime.config import AgentConfig
    from hw.drive_format import Drive
    from station.ingest import IngestCounts

_SAMPLE_FIRST = 3


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of a replay, compared with the drive's ground truth."""

    drive: Drive
    result: ReplayResult
    station: StationView
    truth: frozenset[str]
    """Plates visible in at least three frames."""
    balanced: bool
    """True when every committed read is at the station, in the outbox, or counted as evicted."""

    @property
    def read_right(self) -> int:
        """Plates of the ground truth that were read."""
        return len(self.truth & {read.body.text for read in self.result.reads})

    @property
    def read_wrong(self) -> int:
        """Reads whose text is not a plate of the ground truth."""
        every = {t.plate for t in self.drive.truth}
        return sum(1 for read in self.result.reads if read.body.text not in every)


def config_for(drive: Drive, state_dir: Path, **tables: object) -> AgentConfig:
    """Return the configuration of a unit whose hardware is the drive."""
    camera = {"kind": "sim", "name": drive.header.camera.name, "role": drive.header.camera.role}
    hw = {
        "cameras": [camera],
        "gnss": {"kind": "sim"},
        "panel": {"kind": "sim"},
        "link": {"kind": "sim"},
        "board": {"kind": "sim"},
    }
    outbox = {"min_free_mib": 0, "ballast_mib": 0}
    table = {"unit": drive.header.unit, "agency": "Example Sheriff", "state_dir": str(state_dir), "hw": hw}
    return parse_config(
        {**table, "outbox": outbox, "seal": {"mode": "off"}, "policy": {"mode": "off"}, **tables}, str(drive.root)
    )


def fresh_keys(folder: Path, unit: str) -> tuple[dict[str, str], Opener]:
    """Create keys of a unit and a station for one run; return the unit's ``[seal]`` table and the station's opener."""
    folder.mkdir(parents=True, exist_ok=True)
    own, station, answers = SigningKey.generate(), StationKey.generate(), SigningKey.generate()
    own.save(folder / "unit.key")
    (folder / f"unit-{unit}.pub").write_bytes(own.public.pem())
    station.save(folder / "station.key")
    (folder / "station.pub").write_bytes(station.pem())
    answers.save(folder / RECEIPT_KEY)
    (folder / RECEIPT_PUBLIC).write_bytes(answers.public.pem())
    names = {"unit_key": "unit.key", "station_key": "station.pub", "receipt_key": RECEIPT_PUBLIC}
    table = {key: str(folder / name) for key, name in names.items()}
    return table, Opener(load_keyring(folder))


def reader_for(drive: Drive, config: AgentConfig) -> tuple[Callable[[], PlateRecognizer], tuple[str, ...]]:
    """Return a factory of recognisers, either models or ground truth as the drive says, and the model ids."""
    if drive.header.recogniser == "scripted":
        return lambda: ScriptedReader(drive), ScriptedReader.models
    bundles = load_active(config.recognise.models or default_models_folder())
    return lambda: build_recogniser(config), tuple(bundle.model_id for bundle in bundles)


def replay_drive(
    drive: Drive, state_dir: Path, on_frame: Callable[[int, ReplayResult], None] | None = None
) -> Outcome:
    """Play a drive on simulated time through agent, outbox and an in-process station in ``state_dir``."""
    seal, opener = fresh_keys(state_dir / "keys", drive.header.unit)
    config = config_for(drive, state_dir / "unit", seal=seal)
    make_reader, models = reader_for(drive, config)
    store = open_store(state_dir / "station.db", open_picture=opener.picture)
    ticks = iter(range(drive.header.start_utc_ns // 1000, 2**62))
    ingest = Ingest(store, "replay", lambda: next(ticks), opener=opener)
    lists = lists_of(drive, state_dir / "hotlist", config.agency)
    matcher = None if lists is None else lambda: lists.matcher
    replay = Replay(drive, config, make_reader, models, ingest.handle, matcher=matcher)
    result = replay.run(on_frame)
    outcome = judge(drive, result, Query(store, Asker("simulate"), lambda: next(ticks)), ingest.counts)
    store.close()
    return outcome


def judge(drive: Drive, result: ReplayResult, query: Query, counts: IngestCounts) -> Outcome:
    """Compare the reads with the ground truth, and check that all reads are accounted for."""
    stored = query.records()
    gaps = query.gaps(drive.header.unit)
    outbox = result.outbox
    waiting = outbox.reads if outbox else 0
    evicted = outbox.evicted_reads if outbox else 0
    at_station = {record.record_id for record in stored}
    committed = {read.read_id for read in result.reads}
    balanced = at_station <= committed and len(committed - at_station) <= waiting + evicted
    missing = max(0, len(committed - at_station) - waiting - evicted)
    seen: dict[str, int] = {}
    for truth in drive.truth:
        seen[truth.plate] = seen.get(truth.plate, 0) + 1
    view = StationView(
        reads=len(stored),
        duplicates=counts.duplicates,
        missing=missing + sum(g.last - g.first + 1 for g in gaps if not g.explained and not waiting),
        pictures=query.count_pictures(),
    )
    return Outcome(drive, result, view, frozenset(p for p, n in seen.items() if n >= _SAMPLE_FIRST), balanced)


def run(paths: list[Path], report: Path | None, keep: Path | None, *, as_json: bool = False) -> int:
    """Replay drives; returns 1 if one is invalid, a read is unaccounted for or a minimum result is not reached.

    With ``as_json`` the results are one document on standard output, and all else goes to standard error.
    """
    log.configure("error", "auto")
    with library_lines_hidden():
        return _run(paths, report, keep, as_json=as_json)


def _run(paths: list[Path], report: Path | None, keep: Path | None, *, as_json: bool) -> int:
    if report is not None:
        check_libraries()
    console = PlainConsole(stderr=as_json)
    drives = _loaded(paths)
    failed = len(drives) < len(paths)
    names = _names(drives)
    targets = [] if report is None else [_target(report, name, of=len(paths)) for name in names]
    for target in targets:
        check_output(target)
    folders = _folders(keep, names)
    outcomes = [show_replay(drive, folder, console) for drive, folder in zip(drives, folders, strict=True)]
    if as_json:
        print_json([values(outcome) for outcome in outcomes])
    elif outcomes:
        print_table(summary(outcomes), console)
    for number, outcome in enumerate(outcomes):
        failed |= not outcome.balanced
        for note in not_read(outcome):
            console.print(note)
        for line in broken_floors(outcome):
            failed = True
            console.print(f"{plain(outcome.drive.header.name)}: {line}", style="red")
        if targets:
            target = targets[number]
            write_report(target, outcome.drive, outcome.result, outcome.station, outcome.truth)
            console.print(f"report: {plain(str(target))}")
    return 1 if failed else 0


def _loaded(paths: list[Path]) -> list[Drive]:
    """The drives that are valid; of the others it is said why they are not."""
    drives = []
    for path in paths:
        try:
            drives.append(load_drive(path))
        except DriveFormatError as error:
            say(str(error))
    return drives


def _names(drives: list[Drive]) -> list[str]:
    """A file name for each drive; numbered where several drives have the same."""
    names: list[str] = []
    for drive in drives:
        first = file_name(drive.header.name)
        others = (f"{first}-{number}" for number in itertools.count(2))
        names.append(next(name for name in itertools.chain([first], others) if name not in names))
    return names


def _folders(keep: Path | None, names: list[str]) -> list[Path | None]:
    """A folder to keep for each drive; raises ConfigError if one is from an earlier run: before this one."""
    if keep is None:
        return [None] * len(names)
    folders = [keep / name for name in names]
    for folder in folders:
        if folder.exists():
            raise ConfigError(f"{folder}: exists already; name another folder with --keep")
    return list(folders)


def _target(report: Path, name: str, *, of: int) -> Path:
    """The report's own name, or one for each of several drives."""
    return report if of == 1 else report.with_stem(f"{report.stem}-{name}")


def file_name(name: str) -> str:
    """Return a drive's name as a safe file name."""
    return re.sub(r"[^\w.-]", "_", name).lstrip(".") or "drive"


def show_replay(drive: Drive, keep: Path | None, console: Console) -> Outcome:
    """Replay one drive under a progress bar; ``keep`` is the folder in which its state stays."""
    name = TextColumn("{task.description}", markup=False)
    columns = (name, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    folder = Path(tempfile.mkdtemp(prefix="patrol-lpr-")) if keep is None else keep
    try:
        with Progress(*columns, console=console) as progress:
            task = progress.add_task(f"{plain(drive.header.name):<18}", total=len(drive.frames))
            return replay_drive(drive, folder, lambda *_: progress.advance(task))
    finally:
        if keep is None:
            shutil.rmtree(folder)


def not_read(outcome: Outcome) -> list[str]:
    """Return which frames were not read, and why."""
    name, visions = plain(outcome.drive.header.name), outcome.result.visions
    told = (
        (outcome.result.unreadable, "cannot be decoded and were skipped"),
        (outcome.result.partial, "are damaged, decoded as far as possible"),
        (sum(counts.damaged for counts in visions), NOT_READ["damaged"]),
        (sum(counts.frozen for counts in visions), NOT_READ["frozen"]),
    )
    torn = outcome.drive.torn_lines
    lines = [f"{name}: incomplete last lines of {torn} files were ignored; a table must end with a line end"]
    return [f"{name}: {count} frames {why}" for count, why in told if count] + lines[: bool(torn)]


def broken_floors(outcome: Outcome) -> list[str]:
    """Return the minimum results of the drive that were not reached."""
    measured = {"plates_read": outcome.read_right / max(1, len(outcome.truth))}
    return [
        f"{name} is {measured[name]:.2f} but must be at least {floor:.2f}"
        for name, floor in outcome.drive.header.floors.items()
        if name in measured and measured[name] < floor
    ]


def values(outcome: Outcome) -> dict[str, object]:
    """The result of a drive for programs."""
    outbox, has_truth = outcome.result.outbox, bool(outcome.drive.truth)
    ms = sorted(outcome.result.frame_ms)
    return {
        "drive": outcome.drive.header.name,
        "path": str(outcome.drive.root),
        "plates": len(outcome.truth),
        "read_right": outcome.read_right if has_truth else None,
        "read_wrong": outcome.read_wrong if has_truth else None,
        "reads_stored": outcome.station.reads,
        "reads_missing": outcome.station.missing,
        "reads_in_outbox": outbox.reads if outbox else 0,
        "reads_evicted": outbox.evicted_reads if outbox else 0,
        "frame_ms": ms[len(ms) // 2] if ms else None,
        "accounted_for": outcome.balanced,
        "notes": not_read(outcome),
        "failures": broken_floors(outcome),
    }


def summary(outcomes: list[Outcome]) -> TextTable:
    """One row a drive."""
    table = TextTable(
        "drive", "plates", "read", "false", "stored", "lost", "outbox", "evicted", "ms", "ok",
        box=SIMPLE_HEAD, padding=(0, 1, 0, 0),
        caption="plates shown and read correctly, false reads; reads at the station, lost, in the outbox, evicted",
    )  # fmt: skip
    for outcome in outcomes:
        outbox = outcome.result.outbox
        ms = sorted(outcome.result.frame_ms)
        cells = (
            len(outcome.truth),
            outcome.read_right if outcome.drive.truth else "-",
            outcome.read_wrong if outcome.drive.truth else "-",
            outcome.station.reads,
            outcome.station.missing,
            outbox.reads if outbox else 0,
            outbox.evicted_reads if outbox else 0,
        )
        table.add_row(
            outcome.drive.header.name,
            *map(str, cells),
            f"{ms[len(ms) // 2]:.1f}" if ms else "-",
            Text("yes", "green") if outcome.balanced else Text("NO", "red"),
        )
    return table
