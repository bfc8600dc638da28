"""Power cuts and kill -9 at named points of the flow, thousands if asked: `python -m tests.torture --faults 2000`.

A unit lives in a chain of starts.  Each start plays a drive with a real outbox and a real station in one process that
is struck at the n-th passing of a point: the power of the outbox's disk is cut (EXT4_IOC_SHUTDOWN) or the process is
killed.  After each strike the outbox must open, be whole, and hold, or have delivered, every read that had been
reported committed; at the end of the chain the station must have them all, none twice, with a proven series and an
audit log that was never forked.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import gc
import io
import itertools
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.audit import AuditDraft
from agent.buffer import NewRecord, OutboxReader, open_outbox, schema
from agent.buffer.outbox import FILE_NAME, Outbox
from agent.buffer.rows import PurgeNote
from agent.commit import ReadCommitter
from agent.errors import OutboxError
from agent.hits.bodies import HitBodies
from agent.hits.records import DECIDED
from agent.hotlist import store as hotlist_store
from agent.hotlist.store import ListsInForce, Terms
from agent.records import CharRead, PlateText
from agent.runtime import log
from agent.runtime.alarm import Alarm
from agent.runtime.audit import ChainFile
from agent.runtime.hit_files import FOLDER, PURPOSE, HitFiles
from agent.runtime.hits import HitService
from agent.runtime.stages import build_sealer, load_unit_key
from agent.sync.encoder import RecordEncoder
from cli.replay import Replay
from cli.scripted import ScriptedReader
from cli.simulate import config_for, fresh_keys
from hw.drive_load import load_drive
from protocol.hotlist.entry import Entry
from protocol.seal import Opener, SigningKey, StationKey, load_keyring
from protocol.seal.series import Proof, examine
from protocol.wire.enums import DispositionAction, TimeSource
from protocol.wire.parts import TimeQuality
from protocol.wire.records.read import Read
from protocol.wire.released import released_registry
from station.asker import Asker
from station.errors import StoreError
from station.ingest import Ingest
from station.query import Query
from station.store import open_store
from tests.builders import make_encoder, make_read, make_read_record
from tests.drive_builder import write_drive
from tests.hotlist_builder import AS_OF_US, make_package
from tests.listed import listed
from tests.postgres import Postgres
from tests.power_cut import CuttableDisk
from tests.station_files import stored_reads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.audit import ChainState
    from agent.runtime.config import AgentConfig
    from hw.drive_format import Drive
    from station.store import Store

UNIT = "unit-07"
CHAIN = 6
"""Starts of one unit before its books are closed."""
OPENINGS = 3
"""Times that a start opens the database; one crash of the server is between two of them."""
STATEMENTS = {
    "commit": "COMMIT",
    "group": "INSERT INTO records",
    "picture": "INSERT INTO jpegs",
    "counters": "UPDATE meta",
    "freed": "DELETE FROM records",
    "evict": "DELETE FROM jpegs",
    "checkpoint": "PRAGMA wal_checkpoint",
}
"""Points inside SQLite: struck before such a statement runs."""
HIT_POINTS = ("hit file", "hit file written", "heard", "disposition", "hit settled")
"""Points of a hit: before and after its file is replaced, right after its alert, before a decision's record is
appended, and after that.
"""
HEAD = ("head", "head_stored")
"""Before and after the head of the audit log is stored."""
POINTS = ("frame", "track", *STATEMENTS, *HIT_POINTS, *HEAD, "sent", "receipt", "anytime")
MAX_PASSINGS = {"frame": 30, "track": 30, "checkpoint": 1, "evict": 6, "picture": 10, "anytime": 120}
LISTED = ("HJK4821", "LMN5678")
VERIFIED = {"agency": '"Example Police"', "reference": '"2026-17"'}
SCRIPT = [
    (0, "link.up", {}), (2900, "button.acknowledge", {}), (3100, "officer.confirm", VERIFIED),
    (3500, "officer.outcome", {"code": '"recovered"'}), (5600, "officer.reject", {"reason": '"misread"'}),
]  # fmt: skip
PLATES = {"7ABC123": (0.4, 1.4), "HJK4821": (1.0, 2.0), "8XYZ999": (2.2, 3.2), "LMN5678": (3.4, 4.4)}
MIGRATION_STATEMENTS, PURGE_STATEMENTS, INSTALL_STEPS = 8, 20, 14
ALONE = ("migration", "purge", "installation")
"""What is struck step by step, besides the chains: a file of an old version, expired records, a newer hot list."""


class BrokenPromiseError(AssertionError):
    """A read was lost, or the file was not whole."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Where and how one start ends."""

    number: int
    point: str
    passing: int
    cut: bool


@dataclass(slots=True)
class Unit:
    """One unit's folder, station and what it reported."""

    config: AgentConfig
    drive: Drive
    station: Path | str
    """File, or address of a database."""
    keys: Path
    disk: CuttableDisk | None
    server: Postgres | None = None
    committed: set[bytes] = field(default_factory=set)
    starts: int = 0
    crashes: int = 0
    """Of the database server."""

    def crash_server(self) -> None:
        """End the database server as a defect would, and start it again."""
        assert self.server is not None
        with self._restarting():
            self.server.stop("immediate")
            self.server.start()
        self.crashes += 1

    def wait_for_server(self) -> None:
        """Wait until the server is not being started again, by this process or the one that made it."""
        with self._restarting():
            pass

    @contextlib.contextmanager
    def _restarting(self) -> Iterator[None]:
        """One at a time, over all processes; the lock ends with the file, also if its process is killed."""
        assert self.server is not None
        with (self.server.folder / "restarting").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @property
    def heard(self) -> Path:
        """Ids of the hits that were heard; not on the disk whose power is cut."""
        return self.keys.with_name("heard")

    def strike(self, fault: Fault) -> Callable[[], None]:
        """Return what kills the process; called in the child."""

        def end() -> None:
            if fault.cut and self.disk is not None:
                self.disk.cut()
            os.kill(os.getpid(), signal.SIGKILL)

        return end

    def encoder(self) -> RecordEncoder:
        return RecordEncoder(
            self.config.unit, self.config.agency, bytes(16), released_registry(), build_sealer(self.config)
        )


class StruckReader(ScriptedReader):
    """Strikes while a frame or a track is in hand."""

    def __init__(self, drive: Drive, passed: Callable[[str], None]) -> None:
        super().__init__(drive)
        self._passed = passed

    def detect(self, frame):
        self._passed("frame")
        return super().detect(frame)

    def read(self, frame, detections):
        self._passed("track")
        return super().read(frame, detections)


def opened(unit: Unit, opener: Opener) -> Store:
    """The store; while its server starts again, as often as systemd would start the station."""
    for _ in range(OPENINGS):
        try:
            return open_store(unit.station, open_picture=opener.picture)
        except StoreError:
            if unit.server is None:
                raise
            # Whatever ended it, the server has begun to stop: the lock is held until it answers again.
            unit.wait_for_server()
    raise BrokenPromiseError("the database did not come back")


def child(unit: Unit, fault: Fault | None, report: int) -> None:
    """One start: play the drive, tell what was committed, be struck.  Never returns."""
    left = Counter({fault.point: fault.passing}) if fault else Counter()
    strike = unit.strike(fault) if fault else None

    def passed(point: str) -> None:
        if strike is not None and point in left:
            left[point] -= 1
            if not left[point]:
                strike()

    def traced(path: Path) -> sqlite3.Connection:
        con = connect(path)
        con.set_trace_callback(lambda sql: [passed(p) for p, start in STATEMENTS.items() if sql.startswith(start)])
        return con

    def append(outbox: Outbox, records):
        seqs = plain_append(outbox, records)
        os.write(report, b"".join(record.record_id for record in records if isinstance(record.body, Read)))
        return seqs

    def save(file: ChainFile, state: ChainState) -> None:
        passed(HEAD[0])
        plain_save(file, state)
        passed(HEAD[1])

    def add_track(committer: ReadCommitter, track) -> None:
        plain_add(committer, track)
        committer.add_audit(AuditDraft("4711", "look_up", "torture", t_mono_ns=track.t_last_mono_ns))

    connect, plain_append = schema.connect, Outbox.append
    schema.connect, Outbox.append = traced, append
    plain_save, plain_add = ChainFile.save, ReadCommitter.add_track
    ChainFile.save, ReadCommitter.add_track = save, add_track
    if fault is not None and fault.point == "anytime":
        signal.signal(signal.SIGALRM, lambda *_: strike())
        signal.setitimer(signal.ITIMER_REAL, fault.passing / 1000)
    opener = Opener(load_keyring(unit.keys))
    store = opened(unit, opener)
    ticks = iter(range(10**15, 2**62))
    ingest = Ingest(store, "torture", lambda: next(ticks), opener=opener)

    def station(topic: str, payload: bytes):
        passed("sent")
        answers = ingest.handle(topic, payload)
        passed("receipt")
        return answers

    with hit_points(passed, unit.heard):
        replay = Replay(
            unit.drive,
            unit.config,
            lambda: StruckReader(unit.drive, passed),
            ScriptedReader.models,
            station,
            earlier_boots=unit.starts,
            matcher=lambda: listed(*LISTED),
        )
        replay.run()
    os._exit(0)


@contextlib.contextmanager
def hit_points(passed: Callable[[str], None], heard: Path):
    """Points of hits are passed while this lasts, and what was heard is noted where no power is cut."""
    write, disposition, settle = HitFiles._write, HitBodies.disposition, HitService.settle
    alert = Alarm.alert

    def alerted(alarm: Alarm, hits, t_mono_ns: int) -> None:
        alert(alarm, hits, t_mono_ns)
        with heard.open("ab") as file:
            file.write(b"".join(hit.hit_id for hit in hits))
        passed("heard")

    def written(files: HitFiles, path: Path, data: bytes) -> None:
        passed("hit file")
        write(files, path, data)
        passed("hit file written")

    def decided(decision, when, where):
        passed("disposition")
        return disposition(decision, when, where)

    def settled(service, record, seq):
        passed("hit settled")
        settle(service, record, seq)

    HitFiles._write, HitBodies.disposition, HitService.settle = written, staticmethod(decided), settled
    Alarm.alert = alerted
    try:
        yield
    finally:
        HitFiles._write, HitBodies.disposition, HitService.settle = write, staticmethod(disposition), settle
        Alarm.alert = alert


def start(unit: Unit, fault: Fault | None) -> bool:
    """Run one start in a process of its own; return whether it was struck."""
    listen, report = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(listen)
        try:
            child(unit, fault, report)
        except BaseException:  # noqa: BLE001 - whatever it is, it must not run on as a second parent
            sys.excepthook(*sys.exc_info())
        os._exit(3)
    os.close(report)
    # After the fork, which copies no threads.
    crash = (
        None if unit.server is None or fault is None else threading.Timer(fault.passing / 50, unit.crash_server)
    )
    if crash is not None:
        crash.start()
    with os.fdopen(listen, "rb") as pipe:
        told = pipe.read1()
        if told and unit.starts % 2:
            look(unit)
        told += pipe.read()
    _, status = os.waitpid(pid, 0)
    if crash is not None:
        crash.join()
    unit.starts += 1
    unit.committed |= {told[i : i + 16] for i in range(0, len(told) - len(told) % 16, 16)}
    if unit.disk is not None:
        unit.disk.power_off()
        unit.disk.power_on()
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        raise BrokenPromiseError(f"start {unit.starts} with {fault} failed by itself: see above")
    return os.WIFSIGNALED(status)


def look(unit: Unit) -> None:
    """As `patrol-lpr doctor` does beside the running agent; the fault may come at this moment."""
    path = unit.config.state_dir / FILE_NAME
    with contextlib.suppress(OutboxError), contextlib.closing(OutboxReader(path)) as reader:
        reader.stats()


def check(unit: Unit, fault: Fault | None) -> None:
    """The file opens and is whole; every committed read is in it, at the station, or counted as evicted."""
    state = unit.config.state_dir
    outbox, found = open_outbox(state, unit.encoder())
    if found.moved_to is not None:
        raise BrokenPromiseError(f"{fault}: the outbox was damaged: {found.damage}")
    con = sqlite3.connect(state / FILE_NAME)
    whole = con.execute("PRAGMA integrity_check").fetchone()[0]
    con.close()
    if whole != "ok":
        raise BrokenPromiseError(f"{fault}: integrity_check says {whole}")
    reader = OutboxReader(state / FILE_NAME)
    here = {row.record_id for row in reader.records(after_seq=0, limit=10**6)}
    here |= {row.record_id for row, _ in reader.quarantined(limit=10**6)}
    evicted = reader.stats().evicted_reads
    reader.close()
    outbox.close()
    there = at_station(unit)
    lost = len(unit.committed - here - there)
    if lost > evicted:
        raise BrokenPromiseError(
            f"{fault}: {lost} committed records are neither here nor there, {evicted} evicted"
        )
    check_hits(unit, fault)


def check_hits(unit: Unit, fault: Fault | None) -> None:
    """Every file of a hit opens, and none is left of a hit that is over."""
    files = HitFiles(unit.config.state_dir / FOLDER, load_unit_key(unit.config).derive(PURPOSE))
    for found in files.load():
        over = not found.hit.is_open and found.hit.state not in DECIDED
        if over and not found.pending:
            raise BrokenPromiseError(f"{fault}: a file is left of a hit that is {found.hit.state}")
    if files.unreadable:
        raise BrokenPromiseError(f"{fault}: {files.unreadable} files of hits cannot be read")


def check_decisions(unit: Unit) -> None:
    """What the unit says was decided is at the station, complete, and nothing else is decided there."""
    store = open_store(unit.station)
    at_the_station = Query(store, Asker("torture"), lambda: 0).hits()
    store.close()
    files = HitFiles(unit.config.state_dir / FOLDER, load_unit_key(unit.config).derive(PURPOSE))
    here = {found.hit.hit_id: found.hit.state.value for found in files.load()}
    for hit in at_the_station:
        if hit.hit.hit_id in here and here[hit.hit.hit_id] != hit.state:
            raise BrokenPromiseError(f"a hit is {here[hit.hit.hit_id]} on the unit and {hit.state} at the station")
        confirmed = [made for _, made in hit.decisions if made.action is DispositionAction.CONFIRMED]
        if any(not made.checks.all_equal or not made.reference for made in confirmed):
            raise BrokenPromiseError("a hit was confirmed without a verification")
    told = unit.heard.read_bytes() if unit.heard.exists() else b""
    heard = {told[first : first + 16] for first in range(0, len(told), 16)}
    if silent := heard - {hit.hit.hit_id for hit in at_the_station}:
        raise BrokenPromiseError(f"{len(silent)} of {len(heard)} hits that were heard are in no book")
    if unknown := set(here) - {hit.hit.hit_id for hit in at_the_station}:
        raise BrokenPromiseError(f"{len(unknown)} hits of the unit are not at the station")


def at_station(unit: Unit) -> set[bytes]:
    if isinstance(unit.station, Path) and not unit.station.exists():
        return set()
    store = open_store(unit.station)
    names = [read.record_id for read in stored_reads(store)]
    names += [row.record_id for schema_id in ("hit/1", "disposition/1") for row in store.latest(schema_id)]
    store.close()
    if len(names) != len(set(names)):
        raise BrokenPromiseError("the station holds a record twice")
    return set(names)


def close_books(unit: Unit) -> None:
    """After a last undisturbed start everything is at the station, and the series proves itself."""
    start(unit, None)
    check(unit, None)
    store = open_store(unit.station)
    missing = [gap for gap in store.gaps(UNIT) if not gap.explained]
    proofs = [Proof(row.evidence, row.salt, row.record, row.life) for row in store.each_evidence(UNIT)]
    store.close()
    (proven,) = examine(proofs, {UNIT: load_keyring(unit.keys).units[UNIT].values()})
    if missing or not proven.is_right or not proven.audit_entries:
        raise BrokenPromiseError(f"the station misses {missing}; the series says {proven}")
    check_decisions(unit)


def new_unit(folder: Path, *, cut: bool, small: bool, server: Postgres | None = None) -> Unit:
    folder.mkdir(parents=True)
    drive = load_drive(write_drive(folder / "drive", plates=PLATES, script=SCRIPT))
    disk = CuttableDisk(folder, mib=16) if cut else None
    root = disk.mount if disk else folder
    seal, _ = fresh_keys(folder / "keys", UNIT)
    outbox = {"min_free_mib": 0, "ballast_mib": 1, "max_mib": 1 if small else 8}
    config = config_for(drive, root / "state", seal=seal, outbox=outbox)
    station = folder / "station.db" if server is None else server.new_database()
    return Unit(config, drive, station, folder / "keys", disk, server)


def migration(folder: Path, passing: int, *, cut: bool) -> None:
    """A file of version 1 with reads in it is struck while it becomes the present version."""
    folder.mkdir(parents=True)
    disk = CuttableDisk(folder, mib=16) if cut else None
    state = (disk.mount if disk else folder) / "state"
    state.mkdir()
    encoder = make_encoder()
    con = schema.connect(state / FILE_NAME)
    schema.migrate(con, schema.MIGRATIONS[:1])
    for seq in range(1, 6):
        record = make_read_record(seq, seq=seq)
        values = (seq, record.envelope.record_id, record.payload)
        con.execute("INSERT INTO records VALUES (?, 0, ?, ?)", values)
    con.execute("UPDATE meta SET next_seq = 6, reads = 5, appended = 5")
    con.close()
    struck_child(lambda: open_outbox(state, encoder), trace_statements, passing, disk)
    outbox, found = open_outbox(state, encoder)
    reads = outbox.stats().reads
    outbox.close()
    if disk is not None:
        disk.release()
    if found.moved_to is not None or reads != 5:
        raise BrokenPromiseError(f"migration struck at statement {passing}: {reads} of 5 reads, {found.damage}")


def struck_child(
    act: Callable[[], object],
    patch: Callable[[Callable[[str], None]], object],
    passing: int,
    disk: CuttableDisk | None,
) -> None:
    """Do something in a process of its own, which is killed at the n-th step that ``patch`` reports."""
    pid = os.fork()
    if not pid:
        left = [passing]

        def passed(_: str) -> None:
            left[0] -= 1
            if not left[0]:
                if disk is not None:
                    disk.cut()
                os.kill(os.getpid(), signal.SIGKILL)

        patch(passed)
        with contextlib.suppress(BaseException):
            act()
        os._exit(0)
    os.waitpid(pid, 0)
    if disk is not None:
        disk.power_off()
        disk.power_on()


def trace_statements(passed: Callable[[str], None], *, since: str = "") -> None:
    """Each statement of SQLite is a step, from the first one with the words ``since`` on."""
    connect, begun = schema.connect, [not since]

    def step(sql: str) -> None:
        begun[0] = begun[0] or since in sql
        if begun[0]:
            passed(sql)

    def traced(path: Path) -> sqlite3.Connection:
        made = connect(path)
        made.set_trace_callback(step)
        return made

    schema.connect = traced


def purge(folder: Path, passing: int, *, cut: bool) -> None:
    """Struck while expired records are deleted: all are gone and one record says so, or none is and nothing does."""
    folder.mkdir(parents=True)
    disk = CuttableDisk(folder, mib=16) if cut else None
    state = (disk.mount if disk else folder) / "state"
    state.mkdir()
    encoder = make_encoder()
    outbox, _ = open_outbox(state, encoder)
    outbox.append([NewRecord(make_read(number).body, expires_utc_us=1000) for number in range(1, 6)])
    outbox.close()
    note = PurgeNote("us-xx/3", TimeQuality(source=TimeSource.GNSS, uncertainty_ms=None), 0)

    def act() -> None:
        struck, _ = open_outbox(state, encoder)
        struck.expire(2000, note)

    struck_child(act, partial(trace_statements, since="min(expires_us)"), passing, disk)
    outbox, found = open_outbox(state, encoder)
    reads = outbox.stats().reads
    outbox.close()
    reader = OutboxReader(state / FILE_NAME)
    purges = sum(row.schema == "purge/1" for row in reader.records(after_seq=0, limit=100))
    reader.close()
    if disk is not None:
        disk.release()
    if found.moved_to is not None or (reads, purges) not in {(5, 0), (0, 1)}:
        raise BrokenPromiseError(f"purge struck at statement {passing}: {reads} reads, {purges} purge records")


def trace_file_steps(passed: Callable[[str], None]) -> None:
    """Each step on the disk of an installation is one."""

    def stepping(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            passed("step")
            return real(*args, **kwargs)

        return call

    hotlist_store.os.fsync, hotlist_store.sync_folder = stepping(os.fsync), stepping(hotlist_store.sync_folder)
    Path.replace, Path.unlink = stepping(Path.replace), stepping(Path.unlink)


@dataclass(frozen=True, slots=True)
class HotLists:
    """The hot lists of a unit: opened for one act at a time, because whoever has them open has their files mapped."""

    folder: Path
    authority: SigningKey = field(default_factory=SigningKey.generate)
    key: StationKey = field(default_factory=StationKey.generate)

    def _open(self) -> ListsInForce:
        lists = ListsInForce(self.folder, Terms("pd", (self.authority.public,)), self.key, lambda: AS_OF_US)
        lists.unlock(self.key)
        return lists

    def install(self, version: int) -> None:
        """Put the version in force; its only entry has the version as its id."""
        package = make_package([Entry(str(version), "ABC123")], self.authority, version=version)
        self._open().install(io.BytesIO(package))

    def in_force(self) -> tuple[list[str], bool]:
        """What ABC123 matches, and whether all files are whole."""
        lists = self._open()
        plate = PlateText(tuple(CharRead(char, 0.9) for char in "ABC123"), 0.9)
        return [match.entry.entry_id for match in lists.matcher.match(plate, now_utc_us=None)], not lists.faults


def installation(folder: Path, passing: int, *, cut: bool) -> None:
    """Struck while a newer hot list replaces the one in force: the old one or the new one is in force, whole."""
    folder.mkdir(parents=True)
    disk = CuttableDisk(folder, mib=16) if cut else None
    lists = HotLists((disk.mount if disk else folder) / "lists")
    lists.install(1)
    gc.collect()
    struck_child(lambda: lists.install(2), trace_file_steps, passing, disk)
    found, whole = lists.in_force()
    gc.collect()
    if disk is not None:
        disk.release()
    if not whole or found not in (["1"], ["2"]):
        raise BrokenPromiseError(f"installation struck at step {passing}: in force is {found}, whole {whole}")


def plan(faults: int, seed: int) -> list[Fault]:
    """Points in turn, so that each gets its share; the passing at random."""
    rng = random.Random(seed)  # noqa: S311 - reproducible, not secret
    points = [POINTS[number % len(POINTS)] for number in range(faults)]
    rng.shuffle(points)
    made = []
    for number, point in enumerate(points):
        made.append(Fault(number, point, rng.randint(1, MAX_PASSINGS.get(point, 8)), number // CHAIN % 2 == 0))
    return made


def run(faults: int, seed: int, console: Console, server: Postgres | None = None) -> Counter[tuple[str, str]]:
    """Strike again and again; return how often each point was struck, by kind.

    With a server the station is on PostgreSQL, which crashes meanwhile, too.
    """
    cv2.setNumThreads(1)
    struck: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory(prefix="torture-") as temporary:
        folder = Path(temporary)
        for what, steps in (
            (migration, MIGRATION_STATEMENTS),
            (purge, PURGE_STATEMENTS),
            (installation, INSTALL_STEPS),
        ):
            name = what.__name__
            for number, cut in itertools.product(range(1, steps + 1), (True, False)):
                what(folder / f"{name}-{number}-{cut}", number, cut=cut)
                struck[name, "cut" if cut else "kill"] += 1
        planned = plan(faults, seed)
        chains = [planned[first : first + CHAIN] for first in range(0, faults, CHAIN)]
        for number, chain in enumerate(track(chains, console=console, description="chains of strikes")):
            unit = new_unit(folder / str(number), cut=chain[0].cut, small=number % 3 == 0, server=server)
            try:
                for fault in chain:
                    if start(unit, fault):
                        struck[fault.point, "cut" if fault.cut else "kill"] += 1
                    check(unit, fault)
                close_books(unit)
            finally:
                if server is not None:
                    struck["database", "kill"] += unit.crashes
                if unit.disk is not None:
                    unit.disk.release()
                if server is not None:
                    server.drop_databases()
    return struck


@contextlib.contextmanager
def postgres_server() -> Iterator[Postgres]:
    """A server of this run; a crash of the server is no crash of the machine, so that it need not wait for its disk."""
    server = Postgres(settings="fsync = off").create().start()
    try:
        server.make_template(lambda address: open_store(address).close())
        yield server
    finally:
        server.remove()


def main() -> None:
    """Strike, print a table and, as the last line, JSON; exit 1 on a broken promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--postgres", action="store_true", help="the station's store is PostgreSQL, which crashes, too"
    )
    options = parser.parse_args()
    console = Console(stderr=True)
    log.configure("error", "auto")
    try:
        with postgres_server() if options.postgres else contextlib.nullcontext() as server:
            struck = run(options.faults, options.seed, console, server)
    except BrokenPromiseError as error:
        console.print(f"[red]seed {options.seed}: {error}[/]")
        sys.exit(1)
    table = Table(
        "point", "power cuts", "kill -9", title=f"{sum(struck.values())} strikes, no read lost, none twice"
    )
    for point in ("database", *ALONE, *POINTS):
        table.add_row(point, str(struck[point, "cut"]), str(struck[point, "kill"]))
    console.print(table)
    print(json.dumps({f"{point} {kind}": count for (point, kind), count in sorted(struck.items())}))


if __name__ == "__main__":
    main()
