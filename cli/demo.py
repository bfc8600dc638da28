"""``patrol-lpr demo``: one drive live with real threads and a real broker, then all drives replayed."""

from __future__ import annotations

import shutil
import sys
import threading
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel as Frame
from rich.table import Table
from rich.text import Text

from agent.errors import DriveError
from agent.runtime import log
from agent.runtime.hardware import Hardware
from agent.runtime.service import Service
from cli.demo_console import show_page
from cli.demo_station import station_page
from cli.drive_lists import PLAN
from cli.report import check_libraries, write_report
from cli.show import print_table
from cli.simulate import config_for, file_name, fresh_keys, reader_for, show_replay, summary
from cli.station_tables import hits_table, reads_table
from cli.terminal import PlainConsole, shown_region
from cli.verify import examine_file, findings_table
from hw.clock import RealClock
from hw.config import MqttLinkConfig
from hw.drive_load import load_drive
from hw.link_gate import LinkGate
from hw.link_mqtt import LinkMqtt
from hw.open import open_board, open_cameras, open_gnss, open_panel
from hw.output import OutputError, output
from protocol.seal import load_keyring
from station.asker import Asker
from station.broker import EmbeddedBroker
from station.ingest import Ingest
from station.query import Query
from station.service import BrokerAddress, StationService
from station.store import open_store

if TYPE_CHECKING:
    from hw.config import HwConfig
    from hw.drive_format import Drive
    from hw.ports import Clock
    from station.store import Store

_NS_PER_S = 1_000_000_000
_CONNECT_S = 15.0
_DRAIN_S = 10.0
_SHOWN = 6
MARK = ".patrol-lpr-demo"
"""Marks a folder of the demo, whose contents the next demo may delete."""


class DriveClock(RealClock):
    """Real time on the monotonic clock; UTC starts at the drive's own date, so that its fixes agree with it."""

    def __init__(self, drive: Drive, *, at_ns: int = 0) -> None:
        """``at_ns``: how far the drive is already."""
        super().__init__()
        self._offset_ns = drive.header.start_utc_ns + at_ns - self.mono_ns()

    def utc_ns(self) -> int:
        """The drive's UTC."""
        return self.mono_ns() + self._offset_ns

    def synchronised(self) -> bool:
        """A unit without network time."""
        return False


@dataclass(frozen=True, slots=True)
class LiveResult:
    """Result of the live part."""

    committed: int
    at_station: int
    waiting: int
    first_read_s: float | None
    """From the start of the service to the first committed read."""

    @property
    def complete(self) -> bool:
        """True if every read is at the station or still pending."""
        return self.at_station + self.waiting == self.committed


def run(drives: Path, out: Path, *, page: bool = False) -> int:
    """Run the demo; with ``page`` the pages of station and console stay open at its end.

    Returns 1 if a read is unaccounted for.
    """
    console = PlainConsole()
    folders = sorted(p.parent for p in drives.glob("*/drive.toml"))
    if not folders:
        raise DriveError(
            f"{drives}: no drives; the demo's drives are part of the source, not of the installed package: run the "
            "command in the folder of a checkout, or give --drives FOLDER"
        )
    check_libraries()
    loaded = [load_drive(folder) for folder in folders]
    if any(folder.resolve().is_relative_to(out.resolve()) for folder in (drives, *folders)):
        raise OutputError(f"{out}: contains the drives; use another folder")
    take_folder(out)
    console.rule("1. live: real threads, a real MQTT broker, a station")
    live = show_live(loaded[0], out / "live", console)
    console.print(
        f"committed {live.committed}, at the station {live.at_station}, pending {live.waiting}; "
        f"first read after {live.first_read_s or 0:.1f} s"
    )
    console.rule("2. replay: all drives on simulated time, with scripted faults")
    outcomes = [show_replay(drive, out / "replay" / file_name(drive.header.name), console) for drive in loaded]
    print_table(summary(outcomes), console)
    for outcome in outcomes:
        target = out / f"{outcome.drive.header.name}.html"
        write_report(target, outcome.drive, outcome.result, outcome.station, outcome.truth)
        console.print(f"report: {target}")
    console.rule("3. hits: listed plates passed, an officer decided")
    show_hits(out / "replay", console)
    console.rule("4. verify: the station holds exactly what the unit signed")
    proven = prove(out / "live", console)
    listed = next((drive for drive in loaded if Path(drive.root, PLAN).exists()), loaded[0])
    console.rule("5. the station's map")
    station_db = out / "replay" / listed.header.name / "station.db"
    after = DriveClock(listed, at_ns=listed.duration_ns)
    with station_page(station_db, lambda: after.utc_ns() // 1000, console, keep=page):
        if page:
            console.rule("6. the page in the vehicle: the drive again, live; press Enter to end both")
            show_page(listed, out / "page", DriveClock(listed), sys.stdin.readline)
    if not page:
        console.print("to keep both pages open, with a hit to look at: patrol-lpr demo --page")
    return 0 if live.complete and proven and all(outcome.balanced for outcome in outcomes) else 1


def show_hits(folder: Path, console: Console) -> None:
    """Show the hits of all replays, as `patrol-lpr station hits` does."""
    for database in sorted(folder.glob("*/station.db")):
        with closing(open_store(database, must_exist=True)) as store:
            found = _asking(store).hits()
        if found:
            print_table(hits_table(found), console)
            console.print(f"to repeat: patrol-lpr station hits --db {database}")


def take_folder(out: Path) -> None:
    """Create the folder, or use one that is empty or of an earlier demo, which is emptied; raises OutputError."""
    mark = out / MARK
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = sorted(out.iterdir())
        if held and not mark.is_file():
            raise OutputError(
                f"{out}: holds {held[0].name}, which is not from an earlier demo; nothing was changed; use a new or"
                " empty folder, or delete it yourself"
            )
        # The mark stays while the rest goes: what is interrupted can be done again.
        mark.touch()
        for path in held:
            if path == mark:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
    except OSError as error:
        raise OutputError(f"{out}: cannot be used: {error.strerror}; use another folder") from error


def prove(folder: Path, console: Console) -> bool:
    """Export the signed series of the live part and verify it, as `patrol-lpr verify` does."""
    series = folder / "series.lpr"
    with closing(open_store(folder / "station.db", must_exist=True)) as store:
        ring = load_keyring(folder / "keys")
        with output(series) as out:
            _asking(store).export_evidence(out, ring)
    findings = examine_file(series)
    print_table(findings_table(findings), console)
    console.print(f"to repeat: patrol-lpr verify {series}")
    return all(unit.is_right for unit in findings)


def show_live(drive: Drive, folder: Path, console: Console) -> LiveResult:
    """Play one drive in real time and show its progress."""
    log.configure("error", "auto")
    with ExitStack() as stack:
        broker = EmbeddedBroker()
        port = broker.start()
        stack.callback(broker.close)
        seal, opener = fresh_keys(folder / "keys", drive.header.unit)
        store = open_store(folder / "station.db", open_picture=opener.picture)
        stack.callback(store.close)
        station_ingest = Ingest(store, "demo", _now_us, opener=opener)
        station = StationService(BrokerAddress(broker.host, port, five=False), station_ingest, station="demo")
        station.start()
        stack.callback(station.close)
        if not station.connected.wait(_CONNECT_S):
            raise DriveError("the demo's station could not reach the demo's broker")
        clock = DriveClock(drive)
        config = config_for(drive, folder / "unit", seal=seal)
        link_config = MqttLinkConfig(
            kind="mqtt", host=broker.host, port=port, unit=drive.header.unit, protocol="3.1.1"
        )
        gate = LinkGate(lambda: LinkMqtt(link_config), is_open=_up_at_start(drive))
        make_reader, models = reader_for(drive, config)
        started_ns = clock.mono_ns()
        origin_ns = started_ns + _NS_PER_S
        service = Service(config, _hardware(drive, config.hw, clock, gate, origin_ns), make_reader, models)
        weather = _Weather(drive, gate, clock, origin_ns)
        stack.callback(weather.close)
        view = _View(drive, clock, origin_ns, station_ingest)
        with Live(console=console, refresh_per_second=6, transient=True) as screen:
            service.run(until_cameras_end=True, drain_s=_DRAIN_S, on_watch=lambda s: screen.update(view.draw(s)))
        rows = _asking(store).records()
        print_table(reads_table(rows, title=f"reads at the station after {drive.header.name}"), console)
        progress = service.progress
        return LiveResult(
            progress.committed, len(rows), progress.waiting, _first_s(progress.first_mono_ns, started_ns)
        )


def _asking(store: Store) -> Query:
    return Query(store, Asker("demo"), _now_us)


def _now_us() -> int:
    return time.time_ns() // 1000


def _first_s(first_ns: int | None, started_ns: int) -> float | None:
    return None if first_ns is None else (first_ns - started_ns) / _NS_PER_S


def _up_at_start(drive: Drive) -> bool:
    return any(action.do == "link.up" and action.t_ns == 0 for action in drive.script)


def _hardware(drive: Drive, hw: HwConfig, clock: Clock, gate: LinkGate, origin_ns: int) -> Hardware:
    return Hardware(
        cameras=open_cameras(hw.cameras, clock, drive=drive, origin_ns=origin_ns),
        gnss=open_gnss(hw.gnss, clock, drive=drive, origin_ns=origin_ns),
        panel=open_panel(hw.panel, clock, drive=drive, origin_ns=origin_ns),
        link=gate,
        board=open_board(hw.board, clock, drive=drive, origin_ns=origin_ns),
        clock=clock,
    )


class _Weather:
    """Opens and closes the link according to the drive's script."""

    def __init__(self, drive: Drive, gate: LinkGate, clock: Clock, origin_ns: int) -> None:
        self._actions = [a for a in drive.script if a.do in {"link.up", "link.down"} and a.t_ns > 0]
        self._gate = gate
        self._clock = clock
        self._origin_ns = origin_ns
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="weather", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        for action in self._actions:
            due_ns = self._origin_ns + action.t_ns
            if self._stop.wait(max(0.0, (due_ns - self._clock.mono_ns()) / _NS_PER_S)):
                return
            if action.do == "link.up":
                self._gate.open()
            else:
                self._gate.shut()

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


class _View:
    """The live display."""

    def __init__(self, drive: Drive, clock: Clock, origin_ns: int, ingest: Ingest) -> None:
        self._drive = drive
        self._clock = clock
        self._origin_ns = origin_ns
        self._ingest = ingest

    def draw(self, service: Service) -> Group:
        """Return the screen."""
        t_s = max(0.0, (self._clock.mono_ns() - self._origin_ns) / _NS_PER_S)
        total_s = self._drive.duration_ns / _NS_PER_S
        stats = service.outbox_stats
        counts = [camera.counts for camera in service.cameras]
        frames, dropped = sum(c.processed for c in counts), sum(c.dropped for c in counts)
        ms = max(sum(median for median, _ in camera.times.summary().values()) for camera in service.cameras)
        link = Text("up", "green") if service.link_up else Text("down", "red")
        fix = service.read_path.committer.last_fix
        where = (
            "no fix"
            if fix is None
            else f"{fix.lat_deg:.5f} {fix.lon_deg:.5f} {(fix.speed_mps or 0) * 3.6:.0f} km/h"
        )
        head = Table.grid(padding=(0, 3))
        head.add_row(
            f"{self._drive.header.name}  {t_s:4.1f}/{total_s:.0f} s",
            f"frames {frames} (dropped {dropped})  {ms:.1f} ms",
            where,
            Text("link ") + link,
            f"outbox {stats.reads} reads, {stats.plates + stats.overviews} pictures",
            f"station {self._ingest.counts.reads}",
        )
        table = Table("plate", "region", "conf", "frames", "position", expand=True)
        for read in service.progress.reads[-_SHOWN:]:
            table.add_row(
                Text(read.body.text, "bold"),
                shown_region(read.plate.region, read.plate.region_confidence),
                f"{read.plate.confidence:.0%}",
                f"{read.body.n_agreeing}/{read.body.n_sightings}",
                read.body.place.method.value,
            )
        return Group(Frame(head), table)
