"""A week of driving without a fix: reads have no position and method none, and memory is bounded."""

from __future__ import annotations

import gc
import tracemalloc
from datetime import timedelta

import pytest

from agent.buffer import OutboxReader, Receipted
from agent.runtime.lamp import Condition, lamp_for
from agent.runtime.stages import build_read_path
from cli.simulate import config_for
from hw.drive_load import load_drive
from hw.ports import Lamp, NmeaLine
from protocol.wire.enums import GeotagMethod, TimeSource
from tests.builders import BOOT, make_track
from tests.drive_builder import write_drive
from tests.nmea_lines import NS_PER_S, START, gga, rmc, sentence

pytestmark = pytest.mark.slow

HOUR_NS = 3600 * NS_PER_S
DAYS = 7


def nothing(_t_ns: int) -> list[NmeaLine]:
    """The antenna cable is cut, or the receiver is defective."""
    return []


def no_sky(t_ns: int) -> list[NmeaLine]:
    """The receiver sends sentences without a fix."""
    at = START + timedelta(seconds=t_ns // NS_PER_S)
    void = sentence(f"GNRMC,{at:%H%M%S}.00,V,,,,,,,,,,N"), sentence(f"GNGGA,{at:%H%M%S}.00,,,,,0,00,99.99,,,,,,")
    return [NmeaLine(t_ns, text) for text in (*void, "\ufffd\ufffd$GPx", sentence("GPGSV,1,1,00"))]


@pytest.mark.parametrize("say", [nothing, no_sky])
def test_a_week_without_a_fix(tmp_path, say):
    config = config_for(load_drive(write_drive(tmp_path / "drive")), tmp_path / "state")
    read_path = build_read_path(config, boot_id=BOOT, models=("plate-det@00000000",))
    committer, reads, sizes = read_path.committer, [], {}
    tracemalloc.start()
    for hour in range(DAYS * 24):
        t_ns = hour * HOUR_NS
        for minute in (0, 30):
            now_ns = t_ns + minute * 60 * NS_PER_S
            for line in say(now_ns):
                committer.add_sentence(line)
            committer.add_track(make_track(f"{hour % 24}M{minute}", t_mono_ns=now_ns))
            result = committer.commit_ready(now_ns + 2 * NS_PER_S)
            reads += result.reads if hour < 3 else ()
            committer.add_command(
                Receipted(tuple((s, r.read_id) for s, r in zip(result.seqs, result.reads, strict=True)))
            )
            assert [read.body.place.method for read in result.reads] == [GeotagMethod.NONE]
            assert [read.body.place.lat_deg for read in result.reads] == [None]
            assert [(r.body.utc_us, r.body.time.source) for r in result.reads] == [(None, TimeSource.NONE)]
        assert lamp_for(Condition(False, True, False, True, committer.last_fix, True), t_ns) is Lamp.NO_FIX
        if hour in {48, DAYS * 24 - 1}:
            gc.collect()
            sizes[hour] = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert sizes[DAYS * 24 - 1] - sizes[48] < 64 * 1024, "memory grows by the day"
    assert committer.waiting == 0
    assert len(reads) == 6
    reader = OutboxReader(read_path.outbox.path)
    assert reader.stats().reads <= 1
    reader.close()
    back_ns = DAYS * 24 * HOUR_NS
    for second in range(6):
        at = START + timedelta(seconds=second)
        for text in (rmc(at), gga(at)):
            committer.add_sentence(NmeaLine(back_ns + second * NS_PER_S, text))
    committer.add_track(make_track("8XYZ987", t_mono_ns=back_ns + 4 * NS_PER_S))
    (read,) = committer.commit_ready(back_ns + 6 * NS_PER_S).reads
    assert (read.body.place.method, read.body.time.source) == (GeotagMethod.INTERPOLATED, TimeSource.GNSS)
    read_path.outbox.close()
