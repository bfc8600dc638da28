"""NMEA lines -> fixes: one RMC and one GGA of the same epoch, in any order, from any GNSS talker.

A line that is refused leaves the state as it was (https://github.com/adafruit/Adafruit_GPS/issues/128); every
refusal is counted by its reason.  A fix that contradicts the one before (time running against the monotonic clock,
a speed no car reaches) is refused a few times; when such fixes keep agreeing with each other they become the new
truth, so that one bad fix can never lock the good ones out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from agent.geotag.geodesy import Position
from agent.geotag.sentences import NS_PER_S, Gga, RefusedError, Rmc, parse_sentence
from agent.records import Fix
from protocol.wire.enums import FixQuality

if TYPE_CHECKING:
    from hw.ports import NmeaLine

_NS_PER_MS = 1_000_000
_WEEK_ROLLOVER = timedelta(weeks=1024)
"""GPS counts weeks in ten bits (IS-GPS-200): a receiver unaware of a rollover is 1024 weeks behind."""
_UNKNOWN_HDOP = 5.0

UERE_M = {
    FixQuality.GNSS: 5.0,
    FixQuality.DGNSS: 2.5,
    FixQuality.RTK: 0.5,
    FixQuality.ESTIMATED: 25.0,
}
"""One-sigma user-equivalent range error by quality: ``error_m = HDOP x UERE``.  5 m is a single-frequency receiver
with the broadcast ionosphere model (GPS SPS Performance Standard, appendix on user error budgets); the others are what
corrections typically leave."""


@dataclass(frozen=True, slots=True)
class NmeaConfig:
    """What is believed of a receiver."""

    not_before: date = date(2026, 1, 1)
    """No date before this can be true: the software did not exist."""
    horizon_days: int = 3653
    """No date later than this after ``not_before`` is believed."""
    latency_ms: float = 0.0
    """Known delay from the instant of an epoch to the first byte of its first sentence."""
    max_speed_mps: float = 90.0
    patience: int = 5
    """Contradicting fixes refused in a row before they are the new truth."""
    clock_tolerance_ms: float = 500.0
    """Most by which receiver time and monotonic clock may differ between two fixes: sentences jitter."""
    epoch_span_ms: float = 2000.0
    """Sentences of one epoch arrive within this; a burst at 4800 baud takes a second."""
    max_disagreement_m: float = 50.0
    """RMC and GGA of one epoch must lie this close: a second check where the checksum has only 8 bits."""
    distrust_factor: float = 4.0
    """By how much the error of a fix grows that became the new truth by patience."""


@dataclass(frozen=True, slots=True)
class NmeaCounts:
    """Everything that came in and what became of it, since the start."""

    lines: int = 0
    fixes: int = 0
    other: int = 0
    """Sound sentences of kinds that are not used here, proprietary ones included."""
    garbage: int = 0
    bad_checksum: int = 0
    unknown_talker: int = 0
    bad_fields: int = 0
    bad_date: int = 0
    date_out_of_range: int = 0
    rollovers_corrected: int = 0
    void: int = 0
    """RMC or GGA in which the receiver itself says that it has no position."""
    timing: int = 0
    """GLL, GNS and ZDA: they say only when an epoch began to arrive."""
    duplicate: int = 0
    incomplete_epochs: int = 0
    disagreements: int = 0
    time_back: int = 0
    time_jumps: int = 0
    jumps: int = 0
    """Fixes refused for the speed they imply."""
    resyncs: int = 0
    """Contradicting fixes accepted after patience ran out."""


@dataclass(frozen=True, slots=True)
class _Epoch:
    tod_ns: int
    t_mono_ns: int
    rmc: Rmc | None = None
    gga: Gga | None = None
    done: bool = False

    @property
    def lost(self) -> bool:
        """True when one half of a fix came and its other half never did."""
        return not self.done and (self.rmc is None) != (self.gga is None)


class NmeaState:
    """Feeds on lines, yields fixes.  One per receiver and per thread."""

    def __init__(self, config: NmeaConfig | None = None) -> None:
        self._config = config or NmeaConfig()
        self._counts: Counter[str] = Counter()
        self._epoch: _Epoch | None = None
        self._last: Fix | None = None
        self._suspect: Fix | None = None
        self._suspects = 0

    @property
    def counts(self) -> NmeaCounts:
        """A snapshot."""
        return NmeaCounts(**self._counts)

    @property
    def is_waiting(self) -> bool:
        """True while half a fix waits for its other half; that line is in no count yet."""
        return self._epoch is not None and self._epoch.lost

    def feed(self, line: NmeaLine) -> Fix | None:
        """Take one line; return the fix that it completes.  Never raises, whatever the line holds."""
        self._counts["lines"] += 1
        try:
            sentence = parse_sentence(line.text)
        except RefusedError as refused:
            self._counts[refused.reason.value] += 1
            return None
        epoch = self._epoch_of(sentence.tod_ns, line.t_mono_ns)
        if isinstance(sentence, Rmc):
            if epoch.rmc is not None:
                self._counts["duplicate"] += 1
            else:
                epoch = replace(epoch, rmc=sentence)
        elif isinstance(sentence, Gga):
            if epoch.gga is not None:
                self._counts["duplicate"] += 1
            else:
                epoch = replace(epoch, gga=sentence)
        else:
            self._counts["timing"] += 1
        self._epoch = epoch
        if epoch.done or epoch.rmc is None or epoch.gga is None:
            return None
        self._epoch = replace(epoch, done=True)
        return self._judge(epoch.t_mono_ns, epoch.rmc, epoch.gga)

    def _epoch_of(self, tod_ns: int, t_mono_ns: int) -> _Epoch:
        epoch = self._epoch
        if epoch is not None and epoch.tod_ns == tod_ns:
            span_ns = t_mono_ns - epoch.t_mono_ns
            if 0 <= span_ns <= self._config.epoch_span_ms * _NS_PER_MS:
                return epoch
        if epoch is not None and epoch.lost:
            self._counts["incomplete_epochs"] += 1
        return _Epoch(tod_ns, t_mono_ns)

    def _judge(self, t_mono_ns: int, rmc: Rmc, gga: Gga) -> Fix | None:
        wrong = self._wrong(rmc, gga)
        if wrong is not None:
            self._counts[wrong] += 1
            return None
        day = self._believable(rmc.date)
        if day is None:
            self._counts["date_out_of_range"] += 1
            return None
        fix = self._fix(t_mono_ns, day, rmc, gga)
        if self._last is not None and fix.t_mono_ns <= self._last.t_mono_ns:
            # A burst after a stall: patience cannot make an instant come after itself.
            self._counts["time_back"] += 1
            return None
        contradiction = self._contradiction(self._last, fix)
        if contradiction is None:
            return self._accept(fix)
        self._counts[contradiction] += 1
        agrees = self._suspect is not None and self._contradiction(self._suspect, fix) is None
        self._suspects = self._suspects + 1 if agrees else 1
        self._suspect = fix
        if self._suspects <= self._config.patience:
            return None
        self._counts["resyncs"] += 1
        return self._accept(replace(fix, error_m=fix.error_m * self._config.distrust_factor))

    def _wrong(self, rmc: Rmc, gga: Gga) -> str | None:
        """What is wrong with a pair whatever came before it, as the name of a count."""
        apart_m = Position(rmc.lat_deg, rmc.lon_deg).distance_m(Position(gga.lat_deg, gga.lon_deg))
        if apart_m > self._config.max_disagreement_m:
            return "disagreements"
        return "jumps" if rmc.speed_mps > self._config.max_speed_mps else None

    def _accept(self, fix: Fix) -> Fix:
        self._last, self._suspect, self._suspects = fix, None, 0
        self._counts["fixes"] += 1
        return fix

    def _believable(self, day: date) -> date | None:
        """Correct a missed week rollover; None when no correction makes the date possible."""
        first = self._config.not_before
        last = first + timedelta(days=self._config.horizon_days)
        if first <= day <= last:
            return day
        corrected = day + _WEEK_ROLLOVER
        if not first <= corrected <= last:
            return None
        self._counts["rollovers_corrected"] += 1
        return corrected

    def _contradiction(self, before: Fix | None, fix: Fix) -> str | None:
        """Why ``fix`` cannot follow ``before``, as the name of a count; None when it can."""
        if before is None:
            return None
        mono_s = (fix.t_mono_ns - before.t_mono_ns) / NS_PER_S
        utc_s = (fix.utc_ns - before.utc_ns) / NS_PER_S
        if utc_s <= 0:
            return "time_back"
        if abs(utc_s - mono_s) * 1000 > self._config.clock_tolerance_ms:
            return "time_jumps"
        moved_m = Position(before.lat_deg, before.lon_deg).distance_m(Position(fix.lat_deg, fix.lon_deg))
        noise_m = before.error_m + fix.error_m
        if moved_m - noise_m > self._config.max_speed_mps * utc_s:
            return "jumps"
        return None

    def _fix(self, t_mono_ns: int, day: date, rmc: Rmc, gga: Gga) -> Fix:
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        quality = FixQuality.ESTIMATED if rmc.estimated else gga.quality
        hdop = _UNKNOWN_HDOP if gga.hdop is None else gga.hdop
        return Fix(
            t_mono_ns=t_mono_ns - round(self._config.latency_ms * _NS_PER_MS),
            utc_ns=int(midnight.timestamp()) * NS_PER_S + rmc.tod_ns,
            lat_deg=gga.lat_deg,
            lon_deg=gga.lon_deg,
            alt_m=gga.alt_m,
            speed_mps=rmc.speed_mps,
            course_deg=rmc.course_deg,
            hdop=gga.hdop,
            satellites=gga.satellites,
            quality=quality,
            error_m=hdop * UERE_M[quality],
        )
