"""Hours and coverage of a month of 500 units: plan, worked shifts, and messages of coverage that are taken over.

What units send is taken over as it comes; a question finds the last minutes of it not yet taken over.  CPU time of this
process, SQLite included.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bench.measure import Figure, arguments, cpu_ms
from protocol.wire.record import Envelope, Record, encode_record
from station.asker import Asker
from station.deployment.hours import HoursBy, WorkedShift
from station.deployment.model import Assignment, PlannedShift, Settings
from station.query.deployment import DeploymentQuery
from station.query.take_over import take_over
from station.store import NewRecord, open_store
from station.store.deployment.port import CoveragePeriod
from tests.month import bodies
from tests.month.world import ACTIVITIES, AREAS, TIME_ZONE

if TYPE_CHECKING:
    from station.store import Store

UNITS, DAYS = 500, 30
LIMIT_S = 2.0
H_US = 3_600_000_000
DAY_US = 24 * H_US
FIRST_US = 1_803_859_200_000_000
QUARTER_US = H_US // 4
PERIODS = 40
"""A shift of ten hours tells its coverage every 15 minutes."""
SHIFT_S = 36_000


def shift_name(unit: int, day: int) -> str:
    return f"u{unit}-d{day}"


def fill_plan(store: Store, units: int, days: int) -> None:
    """A planned and a worked shift for each unit and day."""
    hours = tuple((name, SHIFT_S // len(ACTIVITIES)) for name in ACTIVITIES)
    for day in range(days):
        starts = FIRST_US + day * DAY_US + 6 * H_US
        planned, worked = [], []
        for unit in range(units):
            name, vehicle, zone = shift_name(unit, day), f"unit-{unit}", AREAS[unit % len(AREAS)].id
            part = Assignment(starts, zone, "", "patrol", vehicle)
            planned.append(
                PlannedShift(
                    name, f"b{unit}", starts, starts + SHIFT_S * 1_000_000, "regular", hours, (part,), version=1
                )
            )
            worked.append(
                WorkedShift(
                    vehicle, name.encode().ljust(16), 2, "ended", f"b{unit}", starts, starts + SHIFT_S * 1_000_000,
                    SHIFT_S, name, "regular", 0, vehicle, zone, "", "patrol", (),
                    tuple((activity, seconds, seconds) for activity, seconds in hours), 0, "signed_off", 0, 0, "valid",
                )
            )  # fmt: skip
        with store.transaction():
            store.deployment.put_shifts(planned)
            store.deployment.add_worked(worked)


def fill_coverage(store: Store, units: int, days: int, periods: int) -> None:
    """Messages of coverage, as they are taken over."""
    zones = (("", 100, 60_000, 2), (AREAS[0].id, 3_000, 500_000, 20), (AREAS[1].id, 1_000, 200_000, 9))
    for day in range(days):
        begin = FIRST_US + day * DAY_US + 6 * H_US
        made = [
            CoveragePeriod(
                f"unit-{unit}", f"{unit}/{day}/{n}".encode().ljust(16), None, begin + (n + 1) * QUARTER_US, zones,
                4_000, 700_000, 140_000, 0, 0,
            )
            for unit in range(units)
            for n in range(periods)
        ]  # fmt: skip
        with store.transaction():
            store.deployment.add_coverage(made)


def fresh_records(units: int) -> list[NewRecord]:
    """One message of coverage of each unit that was not taken over yet."""
    ends = FIRST_US + (DAYS - 1) * DAY_US + 20 * H_US
    made = []
    for unit in range(units):
        body = bodies.coverage_body(
            f"fresh{unit}".encode().ljust(16), bytes(16), ends, QUARTER_US,
            zones=((AREAS[0].id, 3_000, 500_000, 20),), totals=(3_000, 500_000, 400_000),
        )  # fmt: skip
        envelope = Envelope(
            schema_id=body.SCHEMA, unit=f"unit-{unit}", agency="Bench", boot_id=bytes(16), seq=1,
            record_id=f"rec{unit}".encode().ljust(16),
        )  # fmt: skip
        made.append(NewRecord(Record(envelope, body, encode_record(envelope, body))))
    return made


def main() -> None:
    """Print the figures."""
    options = arguments(__doc__).parse_args()
    units, days, periods = (5, 2, 4) if options.tiny else (UNITS, DAYS, PERIODS)
    with tempfile.TemporaryDirectory() as folder:
        store = open_store(Path(folder, "station.db"))
        with store.transaction():
            store.deployment.put_settings(Settings(time_zone=TIME_ZONE))
        fill_plan(store, units, days)
        start_s = time.process_time()
        fill_coverage(store, units, days, periods)
        per_s = units * days * periods / (time.process_time() - start_s)
        print(Figure("messages of coverage counted, of decoded ones", per_s, "1/s").as_json())
        now_us = FIRST_US + days * DAY_US
        fresh = fresh_records(units)
        with store.transaction():
            store.add_records(fresh, now_us)
        start_s = time.process_time()
        take_over(store)
        each_ms = (time.process_time() - start_s) * 1000 / units
        print(Figure("a message of coverage taken over", each_ms, "ms").as_json())
        query = DeploymentQuery(store, Asker("bench", "bench"), lambda: now_us)

        def month() -> None:
            query.hours(FIRST_US, now_us, HoursBy.PERSON)
            query.coverage(FIRST_US, now_us, "zone")

        rounds, warm_up = (1, 0) if options.tiny else (5, 1)
        taken_s = cpu_ms(month, rounds=rounds, warm_up=warm_up) / 1000
        name = f"hours and coverage of {units} units in {days} days"
        print(Figure(name, taken_s, "s", limit=LIMIT_S).as_json())
        for by in ("unit", "day"):
            ask = partial(query.coverage, FIRST_US, now_us, by)
            taken_s = cpu_ms(ask, rounds=rounds, warm_up=warm_up) / 1000
            print(Figure(f"coverage by {by}, the same", taken_s, "s", limit=LIMIT_S).as_json())
        store.close()


if __name__ == "__main__":
    main()
