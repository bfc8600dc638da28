"""Drives through the whole product: whatever the script breaks, every read is accounted for."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.simulate import broken_floors, not_read, replay_drive
from hw.drive_load import load_drive
from protocol.wire.enums import GeotagMethod, TimeSource
from station.store import open_store
from tests.conftest import ROOT
from tests.drive_builder import write_drive
from tests.station_files import stored_reads

SHIPPED = sorted(path.parent for path in (ROOT / "tests" / "drives").glob("*/drive.toml"))
PLATES = {"7ABC123": (0.6, 2.0), "HJK4821": (1.0, 2.4), "8XYZ999": (3.0, 4.2), "LMN5678": (4.0, 5.4)}


def play(tmp_path, **options):
    drive = load_drive(write_drive(tmp_path / "drive", **options))
    return replay_drive(drive, tmp_path / "state")


def stored(tmp_path):
    store = open_store(tmp_path / "state" / "station.db")
    reads = stored_reads(store)
    store.close()
    return list(reads)


def test_replay_every_plate_is_one_read_at_station(tmp_path):
    """The straight case: what passed is read once, placed, dated, stored, and gone from the outbox."""
    outcome = play(tmp_path, plates=PLATES)
    assert sorted(r.body.text for r in stored(tmp_path)) == sorted(PLATES)
    assert outcome.balanced
    assert outcome.result.outbox.reads == 0
    assert {r.body.place.method for r in outcome.result.reads} == {GeotagMethod.INTERPOLATED}
    assert {r.body.time.source for r in outcome.result.reads} <= {TimeSource.GNSS, TimeSource.NONE}
    assert all(row.utc_us is not None for row in stored(tmp_path)), (
        "those before the time was sure are dated later"
    )


@pytest.mark.slow
def test_replay_is_deterministic(tmp_path):
    """Ids, numbers, places and times: a replay is a function of its drive."""
    drive = load_drive(write_drive(tmp_path / "drive", plates=PLATES))
    first, second = (replay_drive(drive, tmp_path / name) for name in ("a", "b"))
    assert [(r.read_id, r.plate, r.body) for r in first.result.reads] == [
        (r.read_id, r.plate, r.body) for r in second.result.reads
    ]
    assert first.result.seqs == second.result.seqs


@pytest.mark.slow
def test_replay_time_anchor_for_reads_before_first_fix(tmp_path):
    """The unit has no time yet; the station dates the read when the first fix ties the clocks."""
    outcome = play(tmp_path, plates={"7ABC123": (0.2, 1.0)}, gnss_from_s=4.0)
    (read,) = outcome.result.reads
    body = read.body
    assert (body.utc_us, body.time.source, body.place.method) == (None, TimeSource.NONE, GeotagMethod.NONE)
    (row,) = stored(tmp_path)
    # The sentences of the test say 2026-05-30 12:00:00 plus the seconds of the drive; the exposure was within it.
    assert row.utc_us is not None
    assert abs(row.utc_us / 1e6 - 1_780_142_400) < 2


@pytest.mark.slow
def test_replay_power_cut_loses_no_committed_read(tmp_path):
    """Committed before the cut, sent after it; the numbers go on, the boot is another."""
    script = [(0, "link.up", {}), (500, "link.down", {}), (3500, "power.cut", {}), (4000, "link.up", {})]
    outcome = play(tmp_path, plates=PLATES, script=script)
    assert outcome.result.boots == 2
    assert outcome.balanced
    assert {"7ABC123", "HJK4821"} <= {r.body.text for r in stored(tmp_path)}
    assert outcome.station.missing == 0


def test_a_recorded_drive_without_a_script_has_the_link_up(tmp_path):
    """A recorder writes no script: nothing breaks, and everything arrives."""
    outcome = play(tmp_path, plates=PLATES, script=[])
    assert sorted(r.body.text for r in stored(tmp_path)) == sorted(PLATES)
    assert outcome.result.outbox.reads == 0


def test_replay_without_link_keeps_all_reads(tmp_path):
    """No uplink: nothing at the station, everything in the outbox."""
    outcome = play(tmp_path, plates=PLATES, script=[(0, "link.down", {})])
    assert stored(tmp_path) == []
    assert outcome.result.outbox.reads == len(PLATES)


def test_what_is_damaged_or_left_out_of_a_drive_is_said(tmp_path):
    """A table that was written by hand often has no line end, and loses its last row."""
    root = write_drive(tmp_path / "drive")
    noise = np.random.default_rng(1).integers(0, 255, (180, 320, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", noise)[1].tobytes()
    (root / "frames/0001.jpg").write_bytes(jpeg[: len(jpeg) // 2])
    (root / "frames/0002.jpg").write_bytes(b"")
    (root / "truth.csv").write_text((root / "truth.csv").read_text().removesuffix("\n"))
    assert not_read(replay_drive(load_drive(root), tmp_path / "state")) == [
        "drive: 1 frames cannot be decoded and were skipped",
        "drive: 1 frames are damaged, decoded as far as possible",
        "drive: incomplete last lines of 1 files were ignored; a table must end with a line end",
    ]


@pytest.mark.slow
def test_replay_lost_acknowledgements_cause_no_duplicates(tmp_path):
    """The station has it, the unit does not know: it sends again, the station keeps one."""
    script = [(0, "link.up", {}), (1500, "link.drop_acks", {"n": 6})]
    play(tmp_path, plates=PLATES, script=script)
    texts = [r.body.text for r in stored(tmp_path)]
    assert sorted(texts) == sorted(PLATES)


@pytest.mark.slow
def test_replay_reread_is_suppressed_and_counted(tmp_path):
    """Seen, gone for two seconds, seen again at the same place: one read, one counted re-read."""
    drive = load_drive(write_drive(tmp_path / "drive", seconds=8, plates={"7ABC123": (0.5, 2.0)}))
    again = tuple(t.__class__(t.seq + 20, t.x0, t.y0, t.x1, t.y1, t.plate, t.region) for t in drive.truth)
    twice = drive.__class__(
        drive.root,
        drive.header,
        drive.frames,
        drive.sentences,
        drive.truth + again,
        drive.script,
        drive.torn_lines,
    )
    outcome = replay_drive(twice, tmp_path / "state")
    assert [r.body.text for r in outcome.result.reads] == ["7ABC123"]
    assert outcome.result.rereads == 1


VERBS = st.one_of(
    st.sampled_from(["link.up", "link.up", "link.down", "power.cut", "gnss.mute", "gnss.unmute"]).map(
        lambda v: (v, {})
    ),
    st.integers(1, 8).map(lambda n: ("link.drop_acks", {"n": n})),
    st.integers(1, 3).map(lambda n: ("link.refuse", {"n": n, "code": 0x97})),
    st.integers(1, 5).map(lambda n: ("gnss.corrupt", {"n": n})),
    st.just(("gnss.jump", {"north_m": 5000.0})),
    st.sampled_from([-3600.0, 86400.0]).map(lambda s: ("clock.step", {"seconds": s})),
    st.sampled_from(["camera.stall", "camera.resume"]).map(lambda v: (v, {})),
)


@pytest.mark.slow
@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 5900), VERBS), max_size=9))
def test_replay_all_reads_accounted_for_with_random_faults(tmp_path_factory, events):
    """Whatever breaks, and whenever: at the station, in the outbox, or counted as evicted; never lost, never twice."""
    script = [(t_ms, verb, arguments) for t_ms, (verb, arguments) in sorted(events, key=lambda e: e[0])]
    tmp_path = tmp_path_factory.mktemp("weather")
    outcome = play(tmp_path, plates=PLATES, script=script)
    reads = stored(tmp_path)
    ids = [r.record_id for r in reads]
    assert len(set(ids)) == len(ids)
    outbox = outcome.result.outbox
    committed = {r.read_id for r in outcome.result.reads}
    assert set(ids) <= committed
    assert len(committed - set(ids)) <= outbox.reads + outbox.quarantined + outbox.evicted_reads
    assert outbox.appended == len(outcome.result.reads)


@pytest.mark.slow
@pytest.mark.parametrize("folder", SHIPPED, ids=lambda p: p.name)
def test_shipped_drives_reach_minimum_results(tmp_path, folder):
    """The models read the drives that ship, as their headers promise, and the books balance."""
    outcome = replay_drive(load_drive(folder), tmp_path)
    assert outcome.balanced
    assert outcome.station.missing == 0
    assert broken_floors(outcome) == []


def test_three_drives_are_shipped():
    """One of them with a tunnel, an outage and a power cut."""
    assert len(SHIPPED) >= 3
    verbs = {action.do for action in load_drive(ROOT / "tests/drives/tunnel-outage").script}
    assert {"gnss.mute", "link.down", "power.cut"} <= verbs


def test_shipped_drives_are_small():
    """A clone stays quick: under 20 MB for all of them."""
    size = sum(f.stat().st_size for folder in SHIPPED for f in folder.rglob("*") if f.is_file())
    assert size < 20_000_000
