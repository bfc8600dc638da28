"""Appends reads with the code of release.zip on PYTHONPATH: `python append.py FOLDER KEYS FIRST COUNT`.

KEYS is the folder of the test keys, or ``-`` for records that are not sealed.
"""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

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
from agent.seal import Sealer, SigningKey, StationKey
from agent.sync.encoder import RecordEncoder

UNIT, AGENCY = "unit-07", "Example Sheriff"


def read(number: int) -> Read:
    jpeg = b"picture %d" % number * 20
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
        t_mono_ns=number * 10**9,
        t_first_mono_ns=number * 10**9,
        t_last_mono_ns=number * 10**9,
        when=TimeTag(1_780_000_000 * 10**9, TimeSource.GNSS, 150.0),
        where=Geotag(GeotagMethod.INTERPOLATED, 45.0, -100.0, 4.5, quality=FixQuality.GNSS),
        box=Box(1, 1, 9, 5),
        frame_width_px=64,
        frame_height_px=48,
        track_id=number,
        pictures=(Picture(PictureKind.PLATE, hashlib.sha256(jpeg).digest(), jpeg, 8, 4),),
        models=("none@00000000",),
        software="patrol-lpr 0.1.0",
    )


def main() -> None:
    assert "release.zip" in str(agent.__file__), f"not the last release: {agent.__file__}"
    folder, keys, first, count = sys.argv[1:]
    sealer = None
    if keys != "-":
        own, station = Path(keys) / "unit.key", Path(keys) / "station.pub"
        sealer = Sealer(UNIT, SigningKey.load(own), StationKey.load_public(station))
    encoder = RecordEncoder(UNIT, AGENCY, bytes([7] * 16), sealer)
    outbox, report = open_outbox(Path(folder), encoder, limits=Limits(min_free_bytes=0, ballast_bytes=0))
    assert report.moved_to is None, report
    print(*outbox.append([read(number) for number in range(int(first), int(first) + int(count))]))
    outbox.close()


if __name__ == "__main__":
    main()
