"""JSON instead of sentences: gpsd's reports become fixes, a site's place becomes one, anything else is counted."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.geotag.nmea import NmeaState
from hw.ports import NmeaLine
from protocol.wire.enums import FixQuality
from tests.nmea_lines import NS_PER_S, START

UTC_NS = int(START.timestamp()) * NS_PER_S


def tpv(second=0, **other):
    report = {
        "class": "TPV", "device": "/dev/ttyUSB0", "mode": 3, "time": f"2026-05-30T12:00:{second:02d}.000Z",
        "lat": 45.0, "lon": -100.0, "altMSL": 12.0, "track": 90.0, "speed": 10.0, "epx": 3.0, "epy": 4.0,
    }  # fmt: skip
    return json.dumps({key: value for key, value in {**report, **other}.items() if value is not None})


def fixes(*texts):
    state = NmeaState()
    lines = [NmeaLine(second * NS_PER_S, text) for second, text in enumerate(texts)]
    return [fix for line in lines for fix in state.take(line)], state.counts


def test_reports_of_gpsd_are_fixes():
    taken, counts = fixes(*(tpv(second) for second in range(3)))
    assert [fix.utc_ns for fix in taken] == [UTC_NS + second * NS_PER_S for second in range(3)]
    fix = taken[0]
    assert (fix.lat_deg, fix.lon_deg, fix.alt_m, fix.speed_mps, fix.course_deg) == (45.0, -100.0, 12.0, 10.0, 90.0)
    assert (fix.error_m, fix.quality) == (5.0, FixQuality.GNSS)
    assert (counts.reports, counts.fixes) == (3, 3)


@pytest.mark.parametrize(
    ("other", "error_m"),
    [
        ({}, 5.0), ({"eph": 9.0}, 9.0), ({"epx": None}, 25.0), ({"epx": None, "epy": None, "eph": 7.5}, 7.5),
        ({"epx": 0.0, "epy": 0.0}, 1.0),
    ],
)  # fmt: skip
def test_error_from_gpsd_or_a_conservative_default(other, error_m):
    assert fixes(tpv(**other))[0][0].error_m == error_m


@pytest.mark.parametrize(
    ("status", "quality"),
    [
        (None, FixQuality.GNSS),
        (1, FixQuality.GNSS),
        (2, FixQuality.DGNSS),
        (3, FixQuality.RTK),
        (5, FixQuality.ESTIMATED),
    ],
)
def test_the_quality_is_that_of_the_status(status, quality):
    assert fixes(tpv(status=status))[0][0].quality is quality


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (tpv(mode=1), "void"),
        (tpv(mode=0), "void"),
        (tpv(mode=None), "void"),
        (tpv(status=8), "void"),
        (tpv(lat=None), "bad_fields"),
        (tpv(lat=91.0), "bad_fields"),
        (tpv(lat="45"), "bad_fields"),
        (tpv(lon=True), "bad_fields"),
        (tpv(speed=-1.0), "bad_fields"),
        (tpv(time="yesterday"), "bad_fields"),
        (tpv(lat=0.0, lon=0.0), "impossible_places"),
        (tpv(altMSL=12_000.0), "impossible_places"),
        (tpv(speed=120.0), "jumps"),
        (tpv().replace("45.0", "NaN"), "bad_fields"),
        (tpv().replace("45.0", "1" * 400), "bad_fields"),
        ('{"class":"SKY","satellites":[]}', "other"),
        ('{"', "garbage"),
        ('{"a":' * 1500, "garbage"),
        ('{"' + "x" * 9000, "garbage"),
    ],
)
def test_lines_without_position_are_counted(text, count):
    taken, counts = fixes(text)
    assert taken == []
    assert getattr(counts, count) == 1


def test_leap_second_of_gpsd_is_a_fix():
    (fix,) = fixes(tpv(time="2026-12-31T23:59:60.000Z"))[0]
    assert fix.utc_ns == int(datetime(2027, 1, 1, tzinfo=UTC).timestamp()) * 10**9


def test_wrong_date_of_gpsd_is_corrected_or_dropped():
    """gpsd adds 1024 weeks to what it thinks too old, and does not always have a time."""
    (ahead,), _ = fixes(tpv(time="2046-01-13T12:00:00.000Z"))
    assert (ahead.utc_ns, ahead.date_corrected) == (UTC_NS, True)
    for time in ("2002-10-26T12:00:00.000Z", None):
        (dateless,), counts = fixes(tpv(time=time))
        assert (dateless.utc_ns, dateless.lat_deg, counts.dateless_fixes) == (None, 45.0, 1)


@given(st.text(max_size=200).map(lambda text: '{"' + text))
def test_any_text_is_taken(text):
    taken, counts = fixes(text)
    assert taken == []
    assert counts.lines == 1


def test_fixed_site_gives_fixes_without_time():
    (fix,), _ = fixes('{"class": "SITE", "lat": 38.9, "lon": -77.0, "error_m": 15.0}')
    assert (fix.lat_deg, fix.lon_deg, fix.error_m) == (38.9, -77.0, 15.0)
    assert (fix.utc_ns, fix.quality, fix.satellites) == (None, FixQuality.NONE, None)
