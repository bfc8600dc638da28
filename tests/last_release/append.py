"""A unit of the last release, run with PYTHONPATH=release.zip: `python append.py STATE KEYS FIRST COUNT`.

Opens the outbox, appends reads with pictures, and prints the numbers that they got.  KEYS may be `-`: none.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

from agent.seal import Sealer, SigningKey, StationKey

import agent
from agent.buffer import Limits, open_outbox
from agent.records import (
    Box,
    FixQuality,
    Geotag,
    GeotagMethod,
    Picture,
    PictureKind,
    Read,
    TimeSource,
    TimeTag,
)
from agent.sync.encoder import RecordEncoder

UNIT, AGENCY, BOOT = "unit-07", "Example Sheriff", b"the last release"
SECOND_NS = 1_000_000_000


def picture(kind: PictureKind, content: bytes) -> Picture:
    return Picture(kind, hashlib.sha256(content).digest(), content, 32, 16)


def make_read(number: int) -> Read:
    when_ns = number * SECOND_NS
    return Read(
        read_id=number.to_bytes(16, "big"),
        camera="front",
        camera_role="front",
        text="7ABC123",
        raw="7ABC123",
        confidence=0.95,
        char_confidence=(0.98,) * 7,
        alternatives=(),
        region="US-CA",
        region_confidence=0.9,
        single_look=False,
        n_sightings=3,
        n_agreeing=3,
        t_mono_ns=when_ns,
        t_first_mono_ns=when_ns,
        t_last_mono_ns=when_ns,
        when=TimeTag(1_780_000_000 * SECOND_NS + when_ns, TimeSource.GNSS, 150.0),
        where=Geotag(GeotagMethod.INTERPOLATED, 45.0, -100.0, 4.5, 100, 10.0, 90.0, 12.0, 0.9, 9, FixQuality.GNSS),
        box=Box(10, 10, 42, 26),
        frame_width_px=64,
        frame_height_px=48,
        track_id=number,
        pictures=(
            picture(PictureKind.PLATE, b"plate %d" % number * 40),
            picture(PictureKind.OVERVIEW, b"scene %d" % number * 400),
        ),
        models=("none@00000000",),
        software="patrol-lpr test",
    )


def main() -> None:
    assert "release.zip" in str(agent.__file__), f"not the last release: {agent.__file__}"
    state, keys, first, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
    sealer = None
    if keys != "-":
        station = StationKey.load_public(Path(keys) / "station.pub")
        sealer = Sealer(UNIT, SigningKey.load(Path(keys) / "unit.key"), station)
    encoder = RecordEncoder(UNIT, AGENCY, BOOT, sealer)
    outbox, report = open_outbox(state, encoder, limits=Limits(min_free_bytes=0, ballast_bytes=0))
    seqs = outbox.append([make_read(number) for number in range(first, first + count)])
    moved = report.moved_to
    outbox.close()
    print(json.dumps({"created": report.created, "moved_to": moved, "seqs": seqs}))


if __name__ == "__main__":
    main()
