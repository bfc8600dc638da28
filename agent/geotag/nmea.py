"""Lines of a receiver -> fixes: from the sentences of an epoch, a gpsd report, or the position of a fixed site.

A refused line does not change the state (https://github.com/adafruit/Adafruit_GPS/issues/128); every
refusal is counted by its reason.  A fix that contradicts the one before (time inconsistent with the monotonic clock,
impossible speed) is rejected a few times; if such fixes keep agreeing with each other, the parser resynchronises to
them, so that one bad fix cannot cause all later ones to be rejected.  Date and position are checked independently.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from agent.geotag.dates import HORIZON_DAYS, NOT_BEFORE, Dated, DateKeeper
from agent.geotag.epochs import EpochGatherer
from agent.geotag.geodesy import Position
from agent.geotag.reports import is_report, parse_report
from agent.geotag.sentences import NS_PER_S, Kind, RefusedError, find_sentences, parse_fields, refusal_of
from agent.records import Fix
from protocol.wire.enums import FixQuality

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from agent.geotag.epochs import Epoch
    from agent.geotag.reports import Report
    from agent.geotag.sentences import Found
    from hw.ports import NmeaLine

_NS_PER_MS = 1_000_000
_DAY_NS = 86_400 * NS_PER_S
_AFTER_MIDNIGHT_NS = 10 * NS_PER_S
"""Time of day, UTC, within which receivers may repeat a second: the leap second before it."""
_UNKNOWN_HDOP = 5.0
_NOWHERE = Position(0.0, 0.0)
"""Radius around 0 N 0 E, which some receivers report without a position: no land is within 500 km."""
_NOWHERE_M = 100_000.0

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
    """Plausibility limits for a receiver."""

    not_before: date = NOT_BEFORE
    """Earliest plausible date: the software did not exist before."""
    horizon_days: int = HORIZON_DAYS
    """Latest plausible date, relative to ``not_before``."""
    latency_ms: float = 0.0
    """Known delay from an epoch to the first byte of its first sentence."""
    max_speed_mps: float = 90.0
    max_rejects: int = 5
    """Consecutive contradicting fixes rejected before a resynchronisation."""
    clock_tolerance_ms: float = 500.0
    """Maximum difference between receiver time and monotonic clock from one fix to the next: sentences jitter."""
    epoch_span_ms: float = 2000.0
    """Time within which the sentences of one epoch arrive; a burst at 4800 baud takes a second."""
    max_disagreement_m: float = 50.0
    """Maximum distance between positions of one epoch: a second check, as the checksum has only 8 bits."""
    distrust_factor: float = 4.0
    """Factor for the error of a fix accepted by resynchronisation."""
    min_alt_m: float = -500.0
    max_alt_m: float = 9_000.0
    """Range of altitudes of roads."""


@dataclass(frozen=True, slots=True)
class NmeaCounts:
    """Counts of all lines by what became of them, since the start."""

    lines: int = 0
    """Sentences, and lines without one."""
    fixes: int = 0
    dateless_fixes: int = 0
    """Of these, fixes whose date is unknown or implausible: a position without a time."""
    binary_bytes: int = 0
    """Bytes that belong to no sentence or text line."""
    behind_binary: int = 0
    """Sentences preceded by bytes that belong to no sentence."""
    other: int = 0
    """Valid sentences of types that are not used, including proprietary ones."""
    garbage: int = 0
    bad_checksum: int = 0
    no_checksum: int = 0
    """Sentences without one."""
    bad_fields: int = 0
    void: int = 0
    """Sentences marked by the receiver as having no position."""
    taken: int = 0
    """Sentences of an epoch: RMC, GGA, GNS, GLL, ZDA and VTG."""
    reports: int = 0
    """Positions received as JSON: from gpsd, or of a fixed site."""
    duplicate: int = 0
    bad_date: int = 0
    date_out_of_range: int = 0
    date_jumps: int = 0
    """Dates rejected because the one before was days away."""
    rollovers_corrected: int = 0
    incomplete_epochs: int = 0
    """Epochs without a position."""
    disagreements: int = 0
    """Epochs whose sentences contradict each other: positions far apart, or one without a position."""
    impossible_places: int = 0
    """Impossible positions: around 0 N 0 E, or at an altitude without roads."""
    time_back: int = 0
    time_jumps: int = 0
    jumps: int = 0
    """Fixes rejected for the speed that they imply."""
    resyncs: int = 0
    """Contradicting fixes accepted after ``max_rejects`` rejections."""


@dataclass(frozen=True, slots=True)
class _Solution:
    """A fix and the time of day for which it was solved, if any."""

    fix: Fix
    tod_ns: int | None


class NmeaState:
    """NMEA lines in, fixes out.  One per receiver and per thread."""

    def __init__(self, config: NmeaConfig | None = None) -> None:
        self._config = config or NmeaConfig()
        self._counts: Counter[str] = Counter()
        self._kinds: Counter[Kind] = Counter()
        self._epochs = EpochGatherer(self._config.epoch_span_ms)
        self._dates = DateKeeper(
            self._config.not_before, self._config.horizon_days, max_rejects=self._config.max_rejects
        )
        self._last: _Solution | None = None
        self._suspect: _Solution | None = None
        self._suspects = 0

    @property
    def counts(self) -> NmeaCounts:
        """A snapshot."""
        return NmeaCounts(**self._counts)

    @property
    def kinds(self) -> Mapping[Kind, int]:
        """Number of sentences of each kind, including void ones."""
        return dict(self._kinds)

    @property
    def is_waiting(self) -> bool:
        """True while an epoch has begun and is not counted yet."""
        return self._epochs.is_waiting

    def feed(self, line: NmeaLine) -> Fix | None:
        """Add one line; return the newest fix that it completed.  Never raises, whatever the line contains."""
        fixes = self.take(line)
        return fixes[-1] if fixes else None

    def take(self, line: NmeaLine) -> list[Fix]:
        """Add one line; return the fixes that it completed: it may end one epoch and complete the next."""
        self._counts["binary_bytes"] += line.binary_bytes
        first_of_burst = self._epochs.note_line(line.t_mono_ns)
        if is_report(line.text):
            return self._take_report(line)
        found = find_sentences(line.text)
        if not found:
            self._count("lines", refusal_of(line.text).value)
            return []
        fixes: list[Fix] = []
        for at, sentence in enumerate(found):
            before = sentence.before + (line.binary_bytes if at == 0 else 0)
            self._counts["behind_binary"] += before > 0
            fixes += self._take_sentence(sentence, line.t_mono_ns, first_of_burst=first_of_burst and at == 0)
        return fixes

    def _take_report(self, line: NmeaLine) -> list[Fix]:
        self._count("lines")
        try:
            report = parse_report(line.text)
        except RefusedError as refused:
            self._count(refused.reason.value)
            return []
        self._count("reports")
        wrong = self._wrong_report(report)
        if wrong is not None:
            self._count(wrong)
            return []
        return self._judge(self._of_report(line.t_mono_ns, report))

    def _take_sentence(self, found: Found, t_mono_ns: int, *, first_of_burst: bool) -> list[Fix]:
        self._count("lines")
        try:
            part = parse_fields(found)
        except RefusedError as refused:
            self._count(refused.reason.value)
            return []
        is_new, epochs = self._epochs.add(part, t_mono_ns, first_of_burst=first_of_burst)
        self._kinds[part.kind] += 1
        self._count("void" if part.void else "taken" if is_new else "duplicate")
        self._counts["bad_date"] += part.bad_date
        return [fix for epoch in epochs for fix in self._solve(epoch)]

    def _solve(self, epoch: Epoch) -> list[Fix]:
        if epoch.is_void and not epoch.places:
            return []
        wrong = self._wrong(epoch)
        if wrong is not None:
            self._count(wrong)
            return []
        return self._judge(self._of_epoch(epoch))

    def _judge(self, new: _Solution) -> list[Fix]:
        if self._last is not None and new.fix.t_mono_ns <= self._last.fix.t_mono_ns:
            # A burst after a stall: two fixes with one arrival time; a resynchronisation would not help.
            self._count("time_back")
            return []
        contradiction = self._contradiction(self._last, new)
        if contradiction is None:
            return [self._accept(new)]
        self._count(contradiction)
        agrees = self._suspect is not None and self._contradiction(self._suspect, new) is None
        self._suspects = self._suspects + 1 if agrees else 1
        self._suspect = new
        if self._suspects <= self._config.max_rejects:
            return []
        self._count("resyncs")
        doubted = replace(new.fix, error_m=new.fix.error_m * self._config.distrust_factor)
        return [self._accept(_Solution(doubted, new.tod_ns))]

    def _wrong(self, epoch: Epoch) -> str | None:
        """Return why an epoch is invalid, regardless of the fix before, as the name of a count; None if it is valid."""
        places = epoch.places
        if not places:
            return "incomplete_epochs"
        positions = [Position(*part.place_deg) for part in places if part.place_deg is not None]
        apart_m = max(positions[0].distance_m(other) for other in positions)
        if epoch.is_void or apart_m > self._config.max_disagreement_m:
            return "disagreements"
        alts_m = [part.alt_m for part in places if part.alt_m is not None]
        motion = epoch.motion
        return self._impossible(positions[0], alts_m, None if motion is None else motion.speed_mps)

    def _wrong_report(self, report: Report) -> str | None:
        alts_m = [] if report.alt_m is None else [report.alt_m]
        return self._impossible(Position(report.lat_deg, report.lon_deg), alts_m, report.speed_mps)

    def _impossible(self, where: Position, alts_m: list[float], speed_mps: float | None) -> str | None:
        low_m, high_m = self._config.min_alt_m, self._config.max_alt_m
        if where.distance_m(_NOWHERE) < _NOWHERE_M or any(not low_m <= alt_m <= high_m for alt_m in alts_m):
            return "impossible_places"
        return "jumps" if speed_mps is not None and speed_mps > self._config.max_speed_mps else None

    def _accept(self, new: _Solution) -> Fix:
        self._last, self._suspect, self._suspects = new, None, 0
        self._count("fixes")
        self._counts["dateless_fixes"] += new.fix.utc_ns is None
        return new.fix

    def _contradiction(self, before: _Solution | None, new: _Solution) -> str | None:
        """Return why a fix cannot follow the one before, as the name of a count; None if it can."""
        if before is None:
            return None
        a, b = before.fix, new.fix
        gone_s = (b.t_mono_ns - a.t_mono_ns) / NS_PER_S
        if before.tod_ns is not None and new.tod_ns is not None:
            # Without the date: the difference between time of day and monotonic clock.
            apart_ns = new.tod_ns - before.tod_ns - (b.t_mono_ns - a.t_mono_ns)
            apart_s = ((apart_ns + _DAY_NS // 2) % _DAY_NS - _DAY_NS // 2) / NS_PER_S
            if new.tod_ns < _AFTER_MIDNIGHT_NS and abs(apart_s + 1) < abs(apart_s):
                apart_s += 1  # a leap second
            if gone_s + apart_s <= 0:
                return "time_back"
            if abs(apart_s) * 1000 > self._config.clock_tolerance_ms:
                return "time_jumps"
        moved_m = Position(a.lat_deg, a.lon_deg).distance_m(Position(b.lat_deg, b.lon_deg))
        noise_m = a.error_m + b.error_m
        if moved_m - noise_m > self._config.max_speed_mps * gone_s:
            return "jumps"
        return None

    def _of_epoch(self, epoch: Epoch) -> _Solution:
        best = epoch.places[0]
        lat_deg, lon_deg = best.place_deg or (0.0, 0.0)
        qualities = [part.quality for part in epoch.places if part.quality is not None]
        quality = best.quality or FixQuality.GNSS
        if FixQuality.ESTIMATED in qualities:
            quality = FixQuality.ESTIMATED
        hdop = _first([part.hdop for part in epoch.places])
        satellites = _first([part.satellites for part in epoch.places])
        motion, day = epoch.motion, epoch.day
        dated = self._dated(None if day is None else day.day, epoch.tod_ns, epoch.t_mono_ns)
        fix = Fix(
            t_mono_ns=self._solved_ns(epoch.t_mono_ns),
            utc_ns=dated.utc_ns,
            lat_deg=lat_deg,
            lon_deg=lon_deg,
            alt_m=_first([part.alt_m for part in epoch.places]),
            speed_mps=None if motion is None else motion.speed_mps,
            course_deg=None if motion is None else motion.course_deg,
            hdop=hdop,
            satellites=None if satellites is None else int(satellites),
            quality=quality,
            error_m=(_UNKNOWN_HDOP if hdop is None else hdop) * UERE_M[quality],
            date_corrected=dated.corrected,
        )
        return _Solution(fix, epoch.tod_ns)

    def _of_report(self, t_mono_ns: int, report: Report) -> _Solution:
        dated = Dated(None) if report.tod_ns is None else self._dated(report.day, report.tod_ns, t_mono_ns)
        fix = Fix(
            t_mono_ns=self._solved_ns(t_mono_ns),
            utc_ns=dated.utc_ns,
            lat_deg=report.lat_deg,
            lon_deg=report.lon_deg,
            alt_m=report.alt_m,
            speed_mps=report.speed_mps,
            course_deg=report.course_deg,
            hdop=None,
            satellites=None,
            quality=report.quality,
            error_m=report.error_m,
            date_corrected=dated.corrected,
        )
        return _Solution(fix, report.tod_ns)

    def _dated(self, day: date | None, tod_ns: int, t_mono_ns: int) -> Dated:
        dated = self._dates.judge(day, tod_ns, t_mono_ns)
        if dated.count is not None:
            self._count(dated.count)
        return dated

    def _solved_ns(self, t_mono_ns: int) -> int:
        return t_mono_ns - round(self._config.latency_ms * _NS_PER_MS)

    def _count(self, *names: str) -> None:
        for name in names:
            self._counts[name] += 1


def _first(values: list[float | None]) -> float | None:
    return next((value for value in values if value is not None), None)
