"""Weeks of a unit in simulated time: what is due is deleted on time, never earlier, and every deletion is recorded.

Offline, with the unit off over an expiry, with a receiver that is lost, and with clocks that jump.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from agent.audit import AuditDraft, AuditLog
from agent.buffer import NewRecord, open_outbox
from agent.buffer.retention import Limits
from agent.commit import ReadCommitter
from agent.geotag import Geotagger
from agent.geotag.fixes import FixRing
from agent.geotag.nmea import NmeaConfig, NmeaState
from agent.geotag.read_maker import ReadMaker
from agent.geotag.timebase import Timebase, TimebaseConfig
from agent.pictures import PictureMaker
from agent.policy.policies import Policies
from agent.policy.reads import ReadPolicy
from agent.read_id import ReadIdMint
from agent.runtime.audit import CHAIN_FILE, ChainFile
from agent.runtime.policy_files import TIME_FILE, TimeFile
from protocol.policy.pack import strict_pack
from protocol.wire.record import decode_record
from protocol.wire.records.audit import AUDIT_START, Audit
from protocol.wire.records.coverage import Coverage
from protocol.wire.records.disposition import Disposition
from protocol.wire.records.hit import Hit
from protocol.wire.records.incident import Incident
from protocol.wire.records.purge import Purge
from protocol.wire.records.read import Read
from protocol.wire.records.shift import Shift
from protocol.wire.records.track_point import TrackPoints
from protocol.wire.released import released_registry
from tests.builders import UTC_NS, make_encoder, make_fix, make_picture, make_track
from tests.hit_builders import make_disposition, make_hit_body
from tests.shift_builders import make_coverage, make_incident, make_shift, make_track_points
from tests.unit.policy.packs import SQUARE, make_pack

if TYPE_CHECKING:
    from pathlib import Path

    from agent.records import Picture
    from protocol.wire.registry import RecordBody

S = 1_000_000_000
MINUTE, HOUR, DAY = 60 * S, 3600 * S, 86_400 * S
TYPES = released_registry()
FORTNIGHT_S = 14 * 86_400


class World:
    """True time, in which a unit is switched on and off."""

    def __init__(self, folder: Path, **pack) -> None:
        self.folder, self.now_ns, self.boots = folder, UTC_NS, 0
        self.policies = Policies([make_pack(**pack)], "Example Sheriff", strict_pack())
        self.error_ns = 0
        """Error of the receiver's time."""
        self.has_fix = True
        self.at = (45.5, -100.5)
        self.start()

    def start(self) -> None:
        self.boots += 1
        self.boot_ns = self.now_ns
        boot_id = self.boots.to_bytes(16, "big")
        self.outbox, _ = open_outbox(
            self.folder, make_encoder(boot_id=boot_id), limits=Limits(min_free_bytes=0, ballast_bytes=0)
        )
        self.timebase = Timebase(boot_id, TimebaseConfig(confirm_s=0))
        self.policy = ReadPolicy(lambda: self.policies)
        maker = ReadMaker(
            ids=ReadIdMint(lambda count: random.Random(self.now_ns).randbytes(count)),  # noqa: S311 - ids of a test
            pictures=PictureMaker(),
            models=(),
            software="test",
            roles={},
            policy=self.policy,
        )
        self.geotagger = Geotagger(maker, ring=FixRing(), timebase=self.timebase)
        self.audit = AuditLog(ChainFile(self.folder / CHAIN_FILE), self.outbox.holds)
        self.committer = ReadCommitter(
            NmeaState(NmeaConfig()), self.geotagger, self.timebase, self.outbox, audit=self.audit,
            policies=lambda: self.policies, times=TimeFile(self.folder / TIME_FILE),
            keep_s={Shift.SCHEMA: FORTNIGHT_S},
        )  # fmt: skip

    def off_for(self, ns: int) -> None:
        self.outbox.close()
        self.now_ns += ns
        self.start()

    @property
    def mono_ns(self) -> int:
        return self.now_ns - self.boot_ns + 10 * S

    def run(self, ns: int, *, step_ns: int = 5 * S) -> None:
        """Go on in steps, with a fix and a round of the committer each."""
        end = self.now_ns + ns
        while self.now_ns < end:
            self.now_ns += step_ns
            if self.has_fix:
                lat, lon = self.at
                utc_ns = self.now_ns + self.error_ns
                self.geotagger.add_fix(
                    make_fix(self.mono_ns, utc_ns=utc_ns, lat_deg=lat, lon_deg=lon, speed_mps=0.0)
                )
            self.committer.commit_ready(self.mono_ns)

    def read(self, *, hit: bool = False) -> None:
        self.committer.add_track(replace(make_track(t_mono_ns=self.mono_ns), is_hit=hit))
        self.run(5 * S)

    def bodies(self, kind: type) -> list:
        rows = self.outbox._con.execute("SELECT payload FROM records ORDER BY seq").fetchall()
        return [
            body for body in (decode_record(payload, TYPES).body for (payload,) in rows) if isinstance(body, kind)
        ]

    def put(self, body: RecordBody, *, period_s: int | None = None, pictures: tuple[Picture, ...] = ()) -> None:
        """Hand over a record other than a read, made now."""
        self.committer.add_record(Late(self.mono_ns, NewRecord(body, None, pictures, None, period_s)))
        self.run(5 * S)

    @property
    def reads(self) -> int:
        return len(self.bodies(Read))


@dataclass(frozen=True)
class Late:
    """See :class:`agent.commit.LateRecord`."""

    t_mono_ns: int
    record: NewRecord

    def complete(self, *_: object) -> NewRecord:
        return self.record

    def stored(self, seq: int) -> None:
        """Nothing to do."""


@pytest.fixture
def world(tmp_path):
    made = []

    def make(**pack) -> World:
        made.append(World(tmp_path, **pack))
        return made[-1]

    yield make
    for one in made:
        one.outbox.close()


def deleted(world: World) -> int:
    return sum(count for purge in world.bodies(Purge) for schema, count in purge.records if schema == "read/1")


def test_read_is_deleted_within_seconds_of_its_three_minutes(world):
    unit = world()
    unit.run(MINUTE)
    unit.read()
    (read,) = unit.bodies(Read)
    assert (read.policy, read.expires_utc_us - read.utc_us) == ("us-xx/3", 180_000_000)
    unit.run(170 * S)
    assert unit.reads == 1
    unit.run(15 * S)
    assert unit.reads == 0
    (purge,) = unit.bodies(Purge)
    assert (purge.policy, purge.records, purge.pictures, purge.reason) == (
        "us-xx/3",
        (("read/1", 1),),
        2,
        "expired",
    )
    assert purge.late_s <= 10


def test_offline_without_a_receiver_reads_are_deleted_all_the_same(world):
    """The time was known once in this boot; the monotonic clock goes on."""
    unit = world()
    unit.run(MINUTE)
    unit.has_fix = False
    unit.read()
    unit.run(4 * MINUTE)
    assert (unit.reads, deleted(unit)) == (0, 1)


def test_unit_that_was_off_over_the_expiry_deletes_at_its_next_known_time(world):
    unit = world()
    unit.run(MINUTE)
    unit.read()
    unit.off_for(10 * HOUR)
    unit.has_fix = False
    unit.run(MINUTE)
    assert unit.reads == 1, "it cannot know yet"
    unit.has_fix = True
    unit.run(30 * S)
    assert unit.reads == 0
    (purge,) = unit.bodies(Purge)
    assert purge.late_s == pytest.approx(10 * 3600 - 60, abs=60)


def test_unit_that_was_off_for_months_deletes_when_the_time_has_stayed(world):
    """A step of more than a day may be a wrong clock."""
    unit = world()
    unit.run(MINUTE)
    unit.read()
    unit.off_for(60 * DAY)
    unit.run(10 * MINUTE)
    assert unit.reads == 1
    unit.run(6 * MINUTE)
    assert unit.reads == 0


@pytest.mark.parametrize("error", [400 * DAY, 30 * DAY, 2 * DAY])
def test_clock_that_jumps_over_an_expiry_deletes_nothing(world, error):
    """For ten minutes the receiver reports a time far ahead; hits are kept for thirty days."""
    unit = world()
    unit.run(MINUTE)
    unit.read(hit=True)
    unit.error_ns = error
    unit.run(10 * MINUTE)
    unit.error_ns = 0
    unit.run(HOUR)
    assert (unit.reads, unit.bodies(Purge)) == (1, [])


def test_read_without_a_time_is_deleted_by_its_real_age(world):
    """No fix for two minutes after the start: the read's three minutes count from the read."""
    unit = world()
    unit.has_fix = False
    unit.run(30 * S)
    unit.read()
    unit.run(2 * MINUTE)
    (read,) = unit.bodies(Read)
    assert (read.utc_us, read.expires_utc_us) == (None, 0)
    unit.has_fix = True
    unit.run(45 * S)
    assert unit.reads == 1
    unit.run(20 * S)
    assert unit.reads == 0


def test_read_that_never_had_a_time_is_kept_no_longer_than_one_made_after_the_restart(world):
    unit = world()
    unit.has_fix = False
    unit.read()
    unit.off_for(HOUR)
    unit.has_fix = True
    unit.run(170 * S)
    assert unit.reads == 1
    unit.run(30 * S)
    assert unit.reads == 0


@pytest.mark.parametrize(
    "pack", [{}, {"keep": "nothing", "retain": {}}, {"retain": {"nonhit": {"minutes": 3}, "hit": {"minutes": 3}}}]
)
def test_what_officers_report_does_not_expire_with_hits(world, pack):
    """Incidents, coverage and tracks have classes of their own: no policy is about them, and they may be unsent."""
    unit = world(**pack)
    unit.run(MINUTE)
    for body in (make_incident(), make_coverage(), make_track_points()):
        unit.put(body)
    unit.run(HOUR, step_ns=MINUTE)
    assert [len(unit.bodies(kind)) for kind in (Incident, Coverage, TrackPoints)] == [1, 1, 1]


def test_hit_that_never_had_a_time_is_kept_like_one_made_after_the_restart(world):
    """With what was decided and its pictures: not for ever, and not only as long as reads that are no hits."""
    unit = world()
    unit.has_fix = False
    unit.put(make_hit_body(), pictures=(make_picture(),))
    unit.put(make_disposition())
    unit.read()
    unit.off_for(HOUR)
    unit.has_fix = True
    unit.run(10 * MINUTE)
    assert (len(unit.bodies(Hit)), len(unit.bodies(Disposition)), unit.outbox.stats().plates) == (1, 1, 1)
    assert unit.reads == 0
    unit.run(31 * DAY, step_ns=HOUR)
    assert (unit.bodies(Hit), unit.bodies(Disposition), unit.outbox.stats().plates) == ([], [], 0)


@pytest.mark.parametrize("restarts", [False, True])
def test_shift_that_began_before_the_time_was_known_is_deleted_after_its_days(world, restarts):
    """In the same boot, and of one that never had a time."""
    unit = world()
    unit.has_fix = False
    unit.put(make_shift(utc_us=None), period_s=FORTNIGHT_S)
    if restarts:
        unit.off_for(HOUR)
    unit.has_fix = True
    unit.run(13 * DAY, step_ns=HOUR)
    assert len(unit.bodies(Shift)) == 1
    unit.run(2 * DAY, step_ns=HOUR)
    assert unit.bodies(Shift) == []


def test_reads_in_a_fence_are_not_kept_and_counted(world):
    unit = world(fences=[{"name": "clinic", "polygon": SQUARE}])
    unit.run(MINUTE)
    unit.at = (45.005, -99.995)
    unit.run(30 * S)
    unit.read()
    assert (unit.reads, unit.policy.counts.in_pause, unit.policy.counts.kept) == (0, 1, 0)
    unit.at = (45.5, -100.5)
    unit.run(30 * S)
    unit.read()
    assert (unit.reads, unit.policy.counts.kept) == (1, 1)


@pytest.mark.slow
def test_hits_only_keeps_hits_for_their_period(world):
    unit = world(keep="hits_only", retain={"hit": {"days": 2}})
    unit.run(MINUTE)
    for hit in (True, False, False):
        unit.read(hit=hit)
    assert (unit.reads, unit.policy.counts.not_kept) == (1, 2)
    assert unit.bodies(Read)[0].retention.policy_class == "hit"
    unit.run(47 * HOUR, step_ns=MINUTE)
    assert unit.reads == 1
    unit.run(2 * HOUR, step_ns=MINUTE)
    assert (unit.reads, deleted(unit)) == (0, 1)


@pytest.mark.slow
def test_three_weeks_with_drives_outages_and_restarts(world):
    """Every read is deleted, none before it was due, and the purge records account for all of them."""
    rng = random.Random(7)  # noqa: S311 - a seeded plan
    unit, made = world(retain={"nonhit": {"hours": 6}, "hit": {"days": 5}}), []
    n_entries = 0
    for day in range(21):
        unit.has_fix = True
        unit.run(MINUTE)
        for _ in range(rng.randint(1, 6)):
            hit = rng.random() < 0.3
            unit.read(hit=hit)
            made.append(unit.now_ns // 1000 + (5 * 86_400 if hit else 6 * 3600) * 1_000_000)
            unit.committer.add_audit(AuditDraft("4711", "look_up", f"day {day}", t_mono_ns=unit.mono_ns))
            n_entries += 1
            unit.has_fix = rng.random() < 0.7
            unit.run(rng.randint(1, 50) * MINUTE, step_ns=MINUTE)
            due = sum(end <= unit.now_ns // 1000 - 70_000_000 for end in made)
            kept = sum(end > unit.now_ns // 1000 for end in made)
            assert kept <= unit.reads <= len(made) - due, f"day {day}"
        unit.off_for(rng.randint(1, 20) * HOUR)
    unit.has_fix = True
    unit.run(6 * DAY, step_ns=10 * MINUTE)
    assert (unit.reads, deleted(unit)) == (0, len(made))
    entries, prev = unit.bodies(Audit), AUDIT_START
    assert [entry.n for entry in entries] == list(range(1, n_entries + 1))
    for entry in entries:
        assert entry.prev == prev
        prev = entry.digest()
