"""Hours of driving against ground truth: positions, times, their errors, and bounded memory."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from agent.geotag.fixes import FixRing
from agent.geotag.nmea import NmeaState
from agent.geotag.timebase import Timebase
from protocol.wire.enums import GeotagMethod, TimeSource
from tests.long_drive import NS_PER_S, Plan, State, course, distance_m, spoken

pytestmark = pytest.mark.slow

HOUR_S = 3600
HOLD_S = 1.5
TUNNELS = ((1200, 1215), (2400, 2520), (5000, 5004), (7200, 8100))
MUTE = ((3600, 3660), (9000, 9003))
PLANS = {
    "an evening in May": Plan(datetime(2026, 5, 12, 18, 0, tzinfo=UTC), 3 * HOUR_S, tunnels=TUNNELS, mute=MUTE),
    "New Year's Eve": Plan(datetime(2026, 12, 31, 22, 30, tzinfo=UTC), 3 * HOUR_S, tunnels=TUNNELS, mute=MUTE),
    "into a leap day": Plan(datetime(2028, 2, 28, 23, 0, tzinfo=UTC), 3 * HOUR_S, tunnels=TUNNELS, mute=MUTE),
    "the weeks run over": Plan(
        datetime(2026, 11, 21, 22, 0, tzinfo=UTC),
        3 * HOUR_S,
        tunnels=TUNNELS,
        mute=MUTE,
        forgets_weeks_from_s=7190,
    ),
}


class Journey:
    """The product's geotagging along a drive, asked about instants as tracks would."""

    def __init__(self, plan: Plan, seed: int) -> None:
        self.plan = plan
        self.states = course(plan)
        self.nmea, self.ring, self.time = NmeaState(), FixRing(), Timebase(bytes(16))
        self.answers = []
        for second, lines in spoken(plan, self.states, seed):
            for line in lines:
                fix = self.nmea.feed(line)
                if fix is not None:
                    self.ring.add(fix)
                    self.time.feed_fix(fix)
            # A track of a moment ago is asked about when its hold is over.
            exposed_ns = round((second + 0.7 - HOLD_S) * NS_PER_S)
            if exposed_ns >= 0:
                self.answers.append((exposed_ns, self.ring.locate(exposed_ns), self.time.tag(exposed_ns)))

    def truth(self, t_ns: int) -> State:
        """Between two seconds, along the straight line: a few centimetres beside the curve."""
        second, share = divmod(t_ns / NS_PER_S, 1)
        a, b = self.states[int(second)], self.states[int(second) + 1]
        return State(
            a.lat_deg + share * (b.lat_deg - a.lat_deg),
            a.lon_deg + share * (b.lon_deg - a.lon_deg),
            a.speed_mps,
            a.course_deg,
        )


@pytest.fixture(scope="module", params=PLANS, ids=lambda name: name.replace(" ", "_"))
def journey(request):
    return Journey(PLANS[request.param], seed=7)


def test_position_errors_on_long_drives(journey):
    """Never off by more than four times its one-sigma error, and 19 of 20 within two."""
    within_two = []
    for t_ns, where, _ in journey.answers:
        if where.method is GeotagMethod.NONE:
            continue
        real = journey.truth(t_ns)
        off_m = distance_m(where.lat_deg, where.lon_deg, real.lat_deg, real.lon_deg)
        assert off_m <= 4 * where.error_m, (t_ns / NS_PER_S, where)
        within_two.append(off_m <= 2 * where.error_m)
    assert sum(within_two) / len(within_two) > 0.95


def test_geotag_methods_on_long_drives(journey):
    """None before the first fix; interpolated under open sky; stale or extrapolated in a tunnel."""
    plan = journey.plan
    dark = (*plan.tunnels, *plan.mute)
    for t_ns, where, _ in journey.answers:
        t_s = t_ns / NS_PER_S
        if t_s < plan.cold_s - 6:
            assert where.method is GeotagMethod.NONE
        elif any(first + 7 <= t_s < last - 3 for first, last in dark):
            assert where.method in {GeotagMethod.STALE, GeotagMethod.NONE}
            assert where.fix_age_ms is None or where.fix_age_ms > 5000
        elif t_s > plan.cold_s + 3 and not any(first - 3 <= t_s < last + 3 for first, last in dark):
            assert where.method is GeotagMethod.INTERPOLATED
    methods = {where.method for _, where, _ in journey.answers}
    assert methods == set(GeotagMethod), "the drive meets every case"


def test_time_errors_on_long_drives(journey):
    """Over midnight, New Year, a leap day, a missed rollover and a quarter of an hour without fixes."""
    start_ns = int(journey.plan.start.timestamp()) * NS_PER_S
    dated = [(t_ns, when) for t_ns, _, when in journey.answers if when.utc_ns is not None]
    assert len(dated) >= len(journey.answers) - journey.plan.cold_s - 3
    for t_ns, when in dated:
        assert abs(when.utc_ns - start_ns - t_ns) <= 2 * when.uncertainty_ms * 1_000_000
        assert when.source in {TimeSource.GNSS, TimeSource.HELD}
    assert journey.time.counts.steps == 0


def test_every_epoch_is_counted_on_long_drives(journey):
    """Nothing refused that was right, nothing kept but the last ten minutes."""
    counts = journey.nmea.counts
    plan = journey.plan
    dark_s = sum(last - first for first, last in plan.tunnels)
    mute_s = sum(last - first for first, last in plan.mute)
    assert counts.fixes == plan.seconds - plan.cold_s - dark_s - mute_s
    assert counts.void == 2 * (plan.cold_s + dark_s)
    assert counts.other == plan.seconds - mute_s
    contradicted = (
        counts.time_back + counts.time_jumps + counts.jumps + counts.disagreements + counts.incomplete_epochs
    )
    assert (contradicted, counts.garbage, counts.bad_fields, counts.date_out_of_range) == (0, 0, 0, 0)
    behind = plan.forgets_weeks_from_s
    assert bool(counts.rollovers_corrected) is (behind is not None)
    assert len(journey.ring._fixes) == 600
