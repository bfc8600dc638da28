"""Logs of real receivers through a terminal, the product's receiver, parser, fix ring, time base: no fix invented."""

from __future__ import annotations

import json
import os
import pty
import re
import tty
from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING

import pytest

from agent.geotag.fixes import FixRing
from agent.geotag.nmea import NmeaConfig, NmeaState
from agent.geotag.timebase import Timebase, TimebaseConfig
from hw.clock import NS_PER_S, SimClock
from hw.gnss_serial import GnssSerial
from hw.ports import GnssLostError
from protocol.wire.enums import GeotagMethod
from tests.conftest import ROOT
from tests.nmea_lines import sentence

if TYPE_CHECKING:
    from pathlib import Path

FOLDER = ROOT / "tests/nmea"
LOGS = sorted(FOLDER.glob("*.log"))
GOLDEN = FOLDER / "golden.json"
SYNC = sentence("PTEST,sync")
"""Sent after every line: when it is through, so is the line."""
ANY_DATE = NmeaConfig(not_before=date(2002, 7, 1), horizon_days=9200)
"""The logs are older than the software: their own dates are to be believed."""
NOISE = b"\xb5\x62\x0d\x01\x10\x00" + bytes(range(256)) * 3 + b"\x00\xff\xfe$GP\xf8\x80\r\n"
"""What receivers say before they settle: binary protocol, other speeds, half a sentence."""
TIMED = re.compile(rb"\$..(?:RMC|GGA|ZDA|GNS|GLL,[^,]*,.,[^,]*,.),(\d{6}(?:\.\d+)?),")
PLACE = rb"(\d\d)([\d.]+),([NS]),(\d{3})([\d.]+),([EW])"
SEEN = (
    re.compile(rb"\$..(?:GGA|GNS),(\d{6}(?:\.\d+)?)," + PLACE + rb",(?:[1-69]|[ADEFPR]+N*|N+[ADEFPR][A-Z]*),"),
    re.compile(rb"\$..RMC,(\d{6}(?:\.\d+)?),A," + PLACE + rb","),
)
SEEN_GLL = re.compile(rb"\$..GLL," + PLACE + rb",(\d{6}(?:\.\d+)?),A")
JOINED_S = 5
"""A step back by more than this is where two recordings were joined."""
GPSD_FINDS = {
    "ait250": 33, "beidou-bd": 4, "bt451": 12, "ericsson-gru04": 1, "firefly-II": 23, "garmin15x": 7,
    "haicom-305N": 67, "hemi": 6, "humminbird-M37": 22, "iTrek": 35, "magellan-ec10": 21, "mr-350p": 13,
    "nmea-fuzzy-cases": 14, "quectel": 34, "quectel-eg25-g": 23, "quectel-l76k-dual": 130, "saab-r4": 12,
    "telit-he910": 187, "tn204": 7, "tomtom-mkII": 4, "triton400": 4, "ublox-8": 72, "ublox-neo-f9v": 4,
    "unicore-um621": 16,
}  # fmt: skip
"""Instants with a place that gpsd 3.22 reports of each log; a first report without a time is not counted."""
FEWER = {
    "bt451": "two recordings joined: time runs back, and five fixes are refused before it is believed",
    "ublox-neo-f9v": "binary messages only: the receiver must be set to NMEA",
}
"""Where we find fewer, and why."""


class Wire:
    """A serial cable with a name that outlives it, as udev gives one; the test holds the receiver's end."""

    def __init__(self, name: Path) -> None:
        self._name = name
        self.plug_in()

    def plug_in(self) -> None:
        self._ours, self._theirs = pty.openpty()
        tty.setraw(self._theirs)
        self._name.unlink(missing_ok=True)
        self._name.symlink_to(os.ttyname(self._theirs))

    def unplug(self) -> None:
        os.close(self._ours)
        os.close(self._theirs)

    def say(self, data: bytes) -> None:
        os.write(self._ours, data)


class Vehicle:
    """Everything a sentence goes through on its way to a place."""

    def __init__(self, folder: Path) -> None:
        self.clock = SimClock()
        self.wire = Wire(folder / "patrol-gnss")
        self.gnss = GnssSerial(str(folder / "patrol-gnss"), 9600, self.clock)
        self.nmea, self.ring, self.time = (
            NmeaState(ANY_DATE),
            FixRing(),
            Timebase(bytes(16), TimebaseConfig(confirm_s=0, suspect_s=0)),
        )
        self.fixes, self.lines = [], 0
        self._tod_s: float | None = None
        self.gnss.next_line(timeout_s=0)

    def add_sentence(self, data: bytes) -> None:
        """Send bytes at the time they themselves tell, and take in all they become."""
        self._keep_time(data)
        self.wire.say(data + b"\r\n" + SYNC.encode() + b"\r\n")
        while (line := self.gnss.next_line(timeout_s=10.0)) is not None and line.text != SYNC:
            self.lines += 1
            for fix in self.nmea.take(line):
                self.fixes.append(fix)
                self.ring.add(fix)
                self.time.feed_fix(fix)
        assert line is not None, "the line never came through"

    def _keep_time(self, data: bytes) -> None:
        timed = TIMED.search(data)
        if timed is None:
            return
        text = timed[1]
        tod_s = int(text[:2]) * 3600 + int(text[2:4]) * 60 + float(text[4:])
        gone_s = 0.0 if self._tod_s is None else tod_s - self._tod_s
        # Where two recordings were joined, time runs on all the same.
        gone_s = 1.0 if gone_s < -JOINED_S else gone_s
        self._tod_s = tod_s
        if gone_s > 0:
            self.clock.advance(round(gone_s * NS_PER_S))

    def close(self) -> None:
        self.gnss.close()
        self.gnss.next_line(timeout_s=0)


@pytest.fixture
def vehicle(tmp_path):
    made = Vehicle(tmp_path)
    yield made
    made.close()
    made.wire.unplug()


def spoken(path: Path) -> list[bytes]:
    """What the receiver said, line by line; the log keeper's own remarks left out."""
    lines = path.read_bytes().splitlines(keepends=True)
    return [line for line in lines if not line.startswith(b"#")]


def believable(path: Path) -> set[tuple[float, float, float]]:
    """Time of day and place of every sentence in which the receiver claims both: found by other means."""
    data = b"\n".join(spoken(path))
    found = [match for seen in SEEN for match in seen.findall(data)]
    found += [(match[-1], *match[:-1]) for match in SEEN_GLL.findall(data)]
    return {
        (float(t), signed(lat, lat_min, ns), signed(lon, lon_min, ew))
        for t, lat, lat_min, ns, lon, lon_min, ew in found
    }


def signed(degrees: bytes, minutes: bytes, hemisphere: bytes) -> float:
    value = int(degrees) + float(minutes) / 60
    return round(-value if hemisphere in b"SW" else value, 9)


def place(fix) -> tuple[float, float, float]:
    seconds, rest = divmod(fix.utc_ns or 0, NS_PER_S)
    day_s = seconds % 86400
    clock = day_s // 3600 * 10000 + day_s // 60 % 60 * 100 + day_s % 60
    return round(clock + rest / NS_PER_S, 3), round(fix.lat_deg, 9), round(fix.lon_deg, 9)


def told(vehicle: Vehicle) -> dict[str, object]:
    """What is kept of a log."""
    ends = (vehicle.fixes[0], vehicle.fixes[-1]) if vehicle.fixes else ()
    told_ends = [[round(f.lat_deg, 7), round(f.lon_deg, 7), f.utc_ns and f.utc_ns // NS_PER_S] for f in ends]
    counts = {**asdict(vehicle.nmea.counts), "lines": vehicle.lines}
    return {"ends": told_ends, "counts": {name: count for name, count in counts.items() if count}}


@pytest.mark.parametrize("log", LOGS, ids=lambda p: p.stem)
def test_receiver_log_yields_expected_fixes(log, vehicle, bless):
    """Nothing raises; every fix is an epoch of the log that the receiver was sure of; counts and places as kept."""
    for data in spoken(log):
        vehicle.add_sentence(data)
    assert {place(fix) for fix in vehicle.fixes if fix.utc_ns} <= believable(log)
    lacking = GPSD_FINDS[log.stem] - len(vehicle.fixes)
    assert lacking <= 1 or log.stem in FEWER, "gpsd finds more"
    golden = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if bless:
        golden[log.stem] = told(vehicle)
        GOLDEN.write_text(json.dumps(golden, indent=1, sort_keys=True) + "\n")
    assert golden[log.stem] == told(vehicle)
    for fix in vehicle.fixes:
        where = vehicle.ring.locate(fix.t_mono_ns)
        assert where.method is GeotagMethod.INTERPOLATED
        assert 0 < where.error_m < 1000
    dated = [fix for fix in vehicle.fixes if fix.utc_ns is not None]
    assert all(vehicle.time.tag(fix.t_mono_ns).utc_ns is not None for fix in dated)


def test_all_receiver_logs_exist():
    """A golden without its log, or a log without its golden, proves nothing."""
    assert len(LOGS) == 24
    assert set(json.loads(GOLDEN.read_text())) == {log.stem for log in LOGS}


@pytest.mark.parametrize("log", LOGS, ids=lambda p: p.stem)
def test_leading_binary_noise_changes_no_fix(log, vehicle):
    """A binary greeting, other speeds and half a sentence are counted, and forgotten."""
    vehicle.add_sentence(NOISE)
    noise = vehicle.nmea.counts.garbage
    for data in spoken(log):
        vehicle.add_sentence(data)
    golden = json.loads(GOLDEN.read_text())[log.stem]
    assert noise > 0
    assert len(vehicle.fixes) == golden["counts"].get("fixes", 0)
    assert told(vehicle)["ends"] == golden["ends"]


def test_damaged_sentences_yield_no_wrong_fix(vehicle):
    """One bit flipped in every line: all are counted, none becomes a fix."""
    lines = [line for line in spoken(FOLDER / "haicom-305N.log") if line.startswith(b"$")]
    for line in lines:
        middle = len(line) // 2
        vehicle.add_sentence(line[:middle] + bytes([line[middle] ^ 1]) + line[middle + 1 :])
    assert vehicle.fixes == []
    assert vehicle.nmea.counts.bad_checksum + vehicle.nmea.counts.garbage == len(lines)


def test_replugged_receiver_continues(vehicle):
    """Lost is said; the same name leads to the new port; every epoch but the cut one is there."""
    log = FOLDER / "bt451.log"
    lines = spoken(log)
    half = len(lines) // 2
    for data in lines[:half]:
        vehicle.add_sentence(data)
    vehicle.wire.say(lines[half][: len(lines[half]) // 2])
    vehicle.wire.unplug()
    for _ in range(2):
        with pytest.raises(GnssLostError, match="check that it is connected"):
            vehicle.gnss.next_line(timeout_s=10.0)
    vehicle.wire.plug_in()
    vehicle.gnss.next_line(timeout_s=0)
    for data in lines[half + 1 :]:
        vehicle.add_sentence(data)
    kept = json.loads(GOLDEN.read_text())[log.stem]
    assert {place(fix) for fix in vehicle.fixes} <= believable(log)
    assert len(vehicle.fixes) >= kept["counts"]["fixes"] - 1
    assert told(vehicle)["ends"][-1] == kept["ends"][-1]
