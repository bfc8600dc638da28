"""A fleet beyond one machine, here on one: shards of mosquitto, ingest workers, PostgreSQL with a streaming replica.

Units send records over real connections while workers and brokers are killed at random, and the primary once, with a
fail-over to the replica.  Afterwards every record is stored once, and every receipt was right: ``make scale``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from operator import itemgetter
from pathlib import Path
from typing import Any

import psycopg

from station.store import open_store
from tests.builders import make_read_record
from tests.light_units import LightUnit
from tests.mosquitto import Mosquitto
from tests.postgres import Postgres, program

_FILES = 20_000
_REPLICATED = "wal_level = replica\nsynchronous_standby_names = '*'\nhot_standby = on\n"


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes of a run."""

    units: int = 5_000
    records: int = 4
    """By each unit."""
    shards: int = 2
    workers: int = 3
    kills: int = 6
    """Of workers and brokers."""
    seed: int = 1
    start_s: float = 60.0
    """The units start within this time."""
    limit_s: float = 1_500.0
    calm: bool = False
    """Nothing is killed: for the delay of receipts."""


@dataclass(slots=True)
class Report:
    """What happened."""

    records: int
    probes: int = 0
    """The first units, whose delays are those of the start."""
    stored: int = 0
    receipted: int = 0
    sent: int = 0
    nacks: int = 0
    kills: list[str] = field(default_factory=list)
    wrong_receipts: int = 0
    left: int = 0
    seconds: float = 0.0
    median_delay_s: float = 0.0
    p99_delay_s: float = 0.0
    worst_delay_s: float = 0.0

    @property
    def is_right(self) -> bool:
        """Nothing lost, nothing twice, no receipt for what is not stored."""
        return self.stored == self.records and not (self.left or self.wrong_receipts)

    def __str__(self) -> str:
        """Lines for people."""
        return (
            f"{self.records:,} records: {self.stored:,} stored once, {self.left:,} without a receipt, "
            f"{self.wrong_receipts:,} receipts for records that are not stored\n"
            f"{self.sent:,} sent, {self.nacks:,} told to wait; killed: {', '.join(self.kills) or 'nothing'}\n"
            f"{self.seconds:.0f} s; receipt after {self.median_delay_s:.2f} s (median), "
            f"{self.p99_delay_s:.2f} s (99 %), {self.worst_delay_s:.1f} s (worst)"
        )


class Pair:
    """A primary and its synchronous replica on UNIX sockets."""

    def __init__(self) -> None:
        self.primary = Postgres(settings=_REPLICATED).create().start()
        self.replica = Postgres()
        os.chown(self.replica.folder, self.primary.owner, -1)
        # Without a replica yet, every commit would wait for one.
        self.primary.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.primary.execute("SELECT pg_reload_conf()")
        self.primary.run(
            program("pg_basebackup"), "--host", str(self.primary.folder), "--username", "station",
            "--pgdata", str(self.replica.data), "--write-recovery-conf", "--checkpoint", "fast", "--no-sync",
        )  # fmt: skip
        with (self.replica.data / "postgresql.conf").open("a", encoding="utf-8") as config:
            config.write(f"unix_socket_directories = '{self.replica.folder}'\n")
        self.replica.start()
        self.primary.execute("CREATE DATABASE lpr")
        self.primary.execute("ALTER SYSTEM RESET synchronous_standby_names")
        self.primary.execute("SELECT pg_reload_conf()")

    @property
    def address(self) -> str:
        """Whichever accepts writes."""
        hosts = f"{self.primary.folder},{self.replica.folder}"
        return f"postgresql://station@/lpr?host={hosts}&target_session_attrs=read-write"

    def fail_over(self) -> None:
        """The primary crashes, and the replica takes over, alone."""
        self.primary.stop("immediate")
        self.replica.run(program("pg_ctl"), "promote", "--pgdata", str(self.replica.data), "--wait", "--silent")
        self.replica.execute("ALTER SYSTEM SET synchronous_standby_names = ''")
        self.replica.execute("SELECT pg_reload_conf()")

    def remove(self) -> None:
        self.replica.remove()
        self.primary.remove()


class Worker:
    """An ingest worker: the station's own command, in a process of its own."""

    def __init__(self, number: int, address: str, brokers: list[Mosquitto], folder: Path) -> None:
        self.name = f"worker-{number}"
        ports = [word for broker in brokers for word in ("--broker", f"127.0.0.1:{broker.port}")]
        self._command = [
            sys.executable, "-m", "cli", "station", "--db", address, "--name", self.name, *ports,
        ]  # fmt: skip
        self._log = (folder / f"{self.name}.log").open("ab")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Worker:
        self._process = subprocess.Popen(self._command, stdout=self._log, stderr=subprocess.STDOUT)
        return self

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def kill(self, how: int = signal.SIGKILL) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait()

    def close(self) -> None:
        """For good."""
        self.kill()
        self._log.close()


def make_units(plan: Plan, brokers: list[Mosquitto]) -> list[LightUnit]:
    """Each on the shard that its card would name."""
    units = []
    for number in range(plan.units):
        name = f"u{number:05}"
        waiting = {}
        for seq in range(1, plan.records + 1):
            record = make_read_record(number * plan.records + seq, seq=seq, unit=name, pictures=())
            waiting[seq, record.envelope.record_id] = record.payload
        units.append(LightUnit(name, brokers[number % len(brokers)].port, waiting))
    return units


async def drive(plan: Plan, units: list[LightUnit], disturb: Any) -> None:
    """Run the units; what kills runs beside them, at shares of the receipts."""
    draw = random.Random(plan.seed)  # noqa: S311 - reproducible, not secret
    heard = asyncio.Event()

    async def watch() -> None:
        for share, action in disturb:
            while sum(not unit.waiting for unit in units) < share * plan.units:
                heard.clear()
                await heard.wait()
            await asyncio.to_thread(action)

    # The first unit of each shard shows that a worker listens there.
    await asyncio.gather(*(unit.run(heard.set, 0.0) for unit in units[: plan.shards]))
    tasks = [unit.run(heard.set, draw.uniform(0, plan.start_s)) for unit in units[plan.shards :]]
    await asyncio.wait_for(asyncio.gather(watch(), *tasks), plan.limit_s)


def run(plan: Plan, folder: Path) -> Report:
    """Run once."""
    draw = random.Random(plan.seed)  # noqa: S311 - as above
    report = Report(plan.units * plan.records, plan.shards)
    pair = Pair()
    brokers, workers = [], []
    try:
        open_store(pair.address).close()
        for number in range(plan.shards):
            home = folder / f"shard-{number}"
            home.mkdir()
            brokers.append(Mosquitto(home, "max_inflight_messages 512", "max_queued_messages 10000").start())
        workers += [Worker(n, pair.address, brokers, folder).start() for n in range(1, plan.workers + 1)]
        units = make_units(plan, brokers)

        def strike() -> None:
            if draw.random() < 0.6:
                worker = draw.choice(workers)
                worker.kill()
                worker.start()
                report.kills.append(worker.name)
            else:
                number = draw.randrange(len(brokers))
                brokers[number].kill()
                brokers[number].start()
                report.kills.append(f"shard {number}")

        def fail_over() -> None:
            pair.fail_over()
            report.kills.append("primary")

        # At shares of the units that are done.
        disturb = [(draw.uniform(0.05, 0.9), strike) for _ in range(plan.kills)] + [(0.4, fail_over)]
        if plan.calm:
            disturb = []
        start_s = time.monotonic()
        try:
            # In a thread of its own: whoever calls may have an event loop already.
            with ThreadPoolExecutor(1) as loop:
                loop.submit(asyncio.run, drive(plan, units, sorted(disturb, key=itemgetter(0)))).result()
        except TimeoutError:
            print("not done in time", file=sys.stderr)
        report.seconds = time.monotonic() - start_s
        audit(report, units, pair)
    finally:
        for worker in workers:
            worker.close()
        for broker in brokers:
            broker.kill()
        pair.remove()
    return report


def audit(report: Report, units: list[LightUnit], pair: Pair) -> None:
    """Compare what units believe with what is stored."""
    with psycopg.connect(pair.address) as connection:
        stored = connection.execute("SELECT unit, seq, record_id FROM records").fetchall()
    keys = {(unit, seq, bytes(record_id)) for unit, seq, record_id in stored}
    report.stored = len(keys) if len(keys) == len(stored) else -len(stored)
    report.left = sum(len(unit.waiting) for unit in units)
    receipts = [(unit.name, *key) for unit in units for key in unit.receipts]
    report.receipted = len(set(receipts))
    report.wrong_receipts = sum(key not in keys for key in receipts)
    report.sent = sum(unit.sent for unit in units)
    report.nacks = sum(unit.nacks for unit in units)
    delays = [delay for unit in units[report.probes :] for delay in unit.delays_s]
    if delays:
        report.median_delay_s, report.worst_delay_s = statistics.median(delays), max(delays)
        report.p99_delay_s = sorted(delays)[len(delays) * 99 // 100]


def main() -> None:
    """Print the report; exit 1 if something was lost, stored twice or receipted wrongly."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = Plan()
    for name in ("units", "records", "shards", "workers", "kills", "seed"):
        parser.add_argument(f"--{name}", type=int, default=getattr(defaults, name))
    parser.add_argument("--seconds", type=float, dest="start_s", default=defaults.start_s)
    parser.add_argument("--calm", action="store_true", help="kill nothing: for the delay of receipts")
    plan = Plan(**vars(parser.parse_args()))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, _FILES)), hard))
    with tempfile.TemporaryDirectory() as folder:
        report = run(plan, Path(folder))
        print(report)
        if not report.is_right:
            for log in sorted(Path(folder).glob("worker-*.log")):
                print(f"--- {log.name}", log.read_text(errors="replace")[-2_000:], sep="\n")
    sys.exit(not report.is_right)


if __name__ == "__main__":
    main()
