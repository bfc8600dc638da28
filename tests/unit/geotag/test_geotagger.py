"""The geotagger: every track becomes one read or a counted re-read, in time, with the best geotag available."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geotag import Geotagger
from agent.geotag.deduplicate import Deduplicator
from agent.geotag.fixes import FixRing
from agent.geotag.read_maker import ReadMaker
from agent.geotag.timebase import Timebase, TimebaseConfig
from agent.pictures import PictureMaker
from agent.read_id import ReadIdMint
from protocol.wire.enums import GeotagMethod, TimeSource
from tests.builders import BOOT, NS_PER_S, UTC_NS, make_fix, make_track
from tests.strategies import plates, tracks

MS = 1_000_000


def make_geotagger(rereads=None):
    maker = ReadMaker(
        ids=ReadIdMint(lambda n: b"\x5a" * n),
        pictures=PictureMaker(),
        models=("plate-ocr@00000000",),
        software="patrol-lpr test",
        roles={"front": "front"},
    )
    return Geotagger(maker, ring=FixRing(), timebase=Timebase(BOOT, TimebaseConfig(confirm_s=0)), rereads=rereads)


def test_a_track_waits_for_the_fix_after_it_and_is_interpolated():
    """Between two fixes is better than beyond one."""
    geotagger = make_geotagger()
    geotagger.add_fix(make_fix(0))
    geotagger.add_track(make_track(t_mono_ns=NS_PER_S // 2))
    assert geotagger.tick(NS_PER_S) == []
    assert geotagger.waiting == 1
    geotagger.add_fix(make_fix(NS_PER_S))
    (read,) = geotagger.tick(NS_PER_S)
    assert read.body.place.method is GeotagMethod.INTERPOLATED
    assert read.body.utc_us == (UTC_NS + NS_PER_S // 2) // 1000
    assert (read.body.time.source, geotagger.waiting) == (TimeSource.GNSS, 0)


@pytest.mark.parametrize(("waited_ms", "n"), [(1499, 0), (1500, 1)])
def test_a_track_never_waits_longer_than_the_hold(waited_ms, n):
    """In a tunnel reads continue, with the geotag method of what is available."""
    geotagger = make_geotagger()
    geotagger.add_track(make_track(t_mono_ns=NS_PER_S))
    reads = geotagger.tick(NS_PER_S + waited_ms * MS)
    places = [(read.body.place.method, read.body.time.source) for read in reads]
    assert places == [(GeotagMethod.NONE, TimeSource.NONE)] * n


@given(st.lists(tracks(plates().map(lambda plate: plate.text)), max_size=6), st.lists(st.integers(0, 10**12)))
def test_every_track_becomes_exactly_one_read(taken, ticks):
    """Whatever the order of tracks and ticks; ids increase in the order in which reads come out."""
    geotagger = make_geotagger()
    for track in taken:
        geotagger.add_track(track)
    reads = [read for t_ns in sorted(ticks) for read in geotagger.tick(t_ns)] + geotagger.flush()
    assert sorted(read.body.text for read in reads) == sorted(track.plate.text for track in taken)
    assert [read.read_id for read in reads] == sorted({read.read_id for read in reads})
    assert (geotagger.waiting, geotagger.flush()) == (0, [])


def test_rereads_are_suppressed_and_counted():
    """The same plate again within the window."""
    rereads = Deduplicator()
    geotagger = make_geotagger(rereads)
    for second in range(3):
        geotagger.add_track(make_track(t_mono_ns=second * NS_PER_S))
    assert len(geotagger.flush()) == 1
    assert (rereads.counts.admitted, rereads.counts.suppressed) == (1, 2)


def test_read_has_the_values_of_its_track():
    """Text, box, confidence and pictures are from the frame that was read."""
    track = make_track("8XYZ999", t_mono_ns=3 * NS_PER_S)
    geotagger = make_geotagger()
    geotagger.add_track(track)
    (read,) = geotagger.flush()
    body = read.body
    assert read.plate == track.plate
    assert (body.text, body.raw, body.confidence_e4) == ("8XYZ999", "8XYZ999", track.plate.confidence * 10_000)
    assert list(body.char_confidence_u8) == [round(char.confidence * 255) for char in track.plate.chars]
    assert (body.box_px, body.mono_us) == ((10, 10, 42, 26), 3_000_000)
    assert (body.mono_first_us, body.mono_last_us) == (3_000_000, 3_000_000)
    assert (body.region, body.region_confidence_e4, body.track_id) == ("US-CA", 9000, 1)
    assert body.frame_px == (64, 48)
    assert (body.n_sightings, body.n_agreeing, body.single_frame) == (3, 3, False)
    assert (body.camera, body.camera_role, body.models) == ("front", "front", ("plate-ocr@00000000",))
    assert [(p.width_px, p.height_px) for p in read.pictures] == [(32, 16), (64, 48)]
    listed = [(p.kind, p.sha256, p.size_bytes, p.width_px, p.height_px) for p in body.pictures]
    assert listed == [(p.kind, p.sha256, len(p.jpeg), p.width_px, p.height_px) for p in read.pictures]
    assert (body.retention.policy_class, read.retention) == ("nonhit", "nonhit")
