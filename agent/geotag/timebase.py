"""Monotonic clock -> UTC, disciplined by GNSS fixes, else by the operating system's NTP clock, else held.

A sentence arrives after the instant of its fix, never before: of the recent samples of ``UTC - monotonic`` the
largest credible one has the least delay (the minimum filter of NTP's clock filter algorithm, RFC 5905 section 10);
samples far from the median are not credible.  Small corrections are slewed at no more than 500 ppm, so that reads
taken one after the other stay in order; a correction above 128 ms steps (RFC 5905, STEPT).

A receiver that has just started may report a wrong date as valid for seconds.  Its time is accepted once it agrees with
NTP, or has been consistent for a while, which is longer for an unlikely date.  Until then there is no time, rather than
a wrong one: reads are dated afterwards, by the time anchor.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from statistics import median
from typing import TYPE_CHECKING

from agent.geotag.dates import NOT_BEFORE
from agent.geotag.units import time_quality, to_us
from agent.records import TimeTag
from protocol.wire.enums import TimeSource
from protocol.wire.records.time_anchor import TimeAnchor

if TYPE_CHECKING:
    from agent.records import Fix

_NS_PER_S = 1_000_000_000
_NS_PER_MS = 1_000_000
_PPM = 1e-6
_DAY_NS = 86_400 * _NS_PER_S


@dataclass(frozen=True, slots=True)
class TimebaseConfig:
    """Parameters of the clocks."""

    window: int = 32
    """Number of fixes kept."""
    window_s: float = 120.0
    """Maximum age of a fix that is used."""
    drift_ppm: float = 50.0
    """Bound on the rate error of the board's crystal."""
    gnss_uncertainty_ms: float = 150.0
    """One sigma of the receiver's unknown latency; less if it was calibrated or a pulse per second is wired."""
    ntp_uncertainty_ms: float = 100.0
    gnss_fresh_s: float = 30.0
    ntp_fresh_s: float = 300.0
    credible_ms: float = 500.0
    """Samples farther from the median are ignored."""
    slew_ppm: float = 500.0
    step_ms: float = 128.0
    held_max_ms: float = 60_000.0
    """Held time with more uncertainty than this is not used."""
    confirm_s: float = 3.0
    """Time for which a receiver's first time must be consistent to be accepted ..."""
    suspect_s: float = 120.0
    """... and the time if its date was corrected, is years ahead, or contradicts the known time."""
    ntp_agreement_ms: float = 1_000.0
    """Maximum difference between receiver and NTP at which the receiver is accepted at once."""
    likely_until: date = date(NOT_BEFORE.year + 5, 1, 1)
    """Later dates are possible but unlikely."""


@dataclass(frozen=True, slots=True)
class TimebaseCounts:
    """Since the start of the process."""

    fixes: int = 0
    ntp_samples: int = 0
    contradictions: int = 0
    """NTP samples that differ from fresh GNSS time by more than both uncertainties allow; GNSS wins."""
    steps: int = 0
    """Corrections too large to slew, without the first setting."""
    unconfirmed: int = 0
    """Fixes whose time was not accepted, or not yet, because it was not consistent for long enough."""


_REMEMBERED = 32
"""Number of corrections kept: reads are tagged a second or two after their exposure, with fixes in between."""


@dataclass(frozen=True, slots=True)
class _Discipline:
    """``UTC - monotonic`` as a line that slews from one value to another."""

    source: TimeSource
    t_mono_ns: int
    offset_ns: int
    target_ns: int
    uncertainty_ms: float


@dataclass(frozen=True, slots=True)
class _Claim:
    """A consistent time of a receiver, not accepted yet."""

    t_mono_ns: int
    offset_ns: int
    is_doubtful: bool


class Timebase:
    """The time of one boot.  One per process; used by one thread."""

    def __init__(self, boot_id: bytes, config: TimebaseConfig | None = None) -> None:
        self._boot_id = boot_id
        self._config = config or TimebaseConfig()
        self._samples: deque[tuple[int, int]] = deque(maxlen=self._config.window)
        self._disciplines: deque[_Discipline] = deque(maxlen=_REMEMBERED)
        """Since the last step, oldest first: an instant keeps its tag after a later correction."""
        self._t_gnss_ns: int | None = None
        self._ntp_offset_ns: int | None = None
        self._taken: _Claim | None = None
        """The receiver's time when it was accepted; None before."""
        self._claim: _Claim | None = None
        self._claimed: deque[tuple[int, int]] = deque(maxlen=self._config.window)
        """Samples of the claim, which may include the one with the least delay."""
        self._likely_until_ns = (
            round(datetime.combine(self._config.likely_until, time(), UTC).timestamp()) * _NS_PER_S
        )
        self._unconfirmed = 0
        self._dated_ms: float | None = None
        self._due: TimeAnchor | None = None
        self._fixes = 0
        self._ntp_samples = 0
        self._contradictions = 0
        self._steps = 0

    @property
    def counts(self) -> TimebaseCounts:
        """A snapshot."""
        return TimebaseCounts(self._fixes, self._ntp_samples, self._contradictions, self._steps, self._unconfirmed)

    def feed_fix(self, fix: Fix) -> None:
        """Add the time of a fix, if it has one that is accepted."""
        if fix.utc_ns is None:
            return
        self._fixes += 1
        if not self._is_confirmed(fix, fix.utc_ns):
            self._unconfirmed += 1
            return
        self._samples.append((fix.t_mono_ns, fix.utc_ns - fix.t_mono_ns))
        self._t_gnss_ns = fix.t_mono_ns
        oldest_ns = fix.t_mono_ns - round(self._config.window_s * _NS_PER_S)
        offsets = [offset for t_ns, offset in self._samples if t_ns >= oldest_ns]
        centre = median(offsets)
        credible = [o for o in offsets if abs(o - centre) <= self._config.credible_ms * _NS_PER_MS]
        if not credible:
            # An even number of samples in two groups: the newer group is right, receivers only get better.
            credible = offsets[-1:]
        best = max(credible)
        spread_ms = (best - median(credible)) / _NS_PER_MS
        self._steer(TimeSource.GNSS, fix.t_mono_ns, best, self._config.gnss_uncertainty_ms + spread_ms)

    def settle(self) -> None:
        """Accept a likely time that is still pending: the agent stops, and its reads would never be dated."""
        claim = self._claim
        if self._taken is not None or claim is None or claim.is_doubtful or self._ntp_offset_ns is not None:
            return
        self._taken = claim
        t_mono_ns = self._claimed[-1][0]
        best = max(offset for _, offset in self._claimed)
        self._steer(TimeSource.GNSS, t_mono_ns, best, self._config.gnss_uncertainty_ms + self._config.credible_ms)

    def _is_confirmed(self, fix: Fix, utc_ns: int) -> bool:
        """Return whether a fix's time is accepted: it was, is of the same day, or was consistent for long enough."""
        claim = _Claim(fix.t_mono_ns, utc_ns - fix.t_mono_ns, self._is_doubtful(fix, utc_ns))
        apart_ntp_ns = None if self._ntp_offset_ns is None else abs(claim.offset_ns - self._ntp_offset_ns)
        if apart_ntp_ns is not None and apart_ntp_ns > _DAY_NS // 2:
            # NTP may be off by seconds, receivers by weeks: a date that contradicts NTP is never accepted in this boot.
            self._contradictions += 1
            self._claim = None
            return False
        if self._taken is not None and abs(claim.offset_ns - self._taken.offset_ns) <= _DAY_NS // 2:
            self._claim = None
            return True
        agrees = apart_ntp_ns is not None and apart_ntp_ns <= self._config.ntp_agreement_ms * _NS_PER_MS
        if not agrees and not self._has_kept_on(claim, contradicts=apart_ntp_ns is not None):
            return False
        kept = () if agrees else tuple(self._claimed)
        self._samples.clear()
        self._samples.extend(kept)
        self._taken, self._claim = claim, None
        return True

    def _has_kept_on(self, claim: _Claim, *, contradicts: bool) -> bool:
        first = self._claim
        if first is None or abs(claim.offset_ns - first.offset_ns) > self._config.credible_ms * _NS_PER_MS:
            self._claim = first = claim
            self._claimed.clear()
        # A likely date replaces an unlikely one as quickly as if there was none.
        established = self._taken is not None and not self._taken.is_doubtful
        slow = claim.is_doubtful or contradicts or established
        needed_s = self._config.suspect_s if slow else self._config.confirm_s
        if claim.t_mono_ns - first.t_mono_ns >= needed_s * _NS_PER_S:
            return True
        self._claimed.append((claim.t_mono_ns, claim.offset_ns))
        return False

    def _is_doubtful(self, fix: Fix, utc_ns: int) -> bool:
        return fix.date_corrected or utc_ns >= self._likely_until_ns

    def feed_ntp(self, t_mono_ns: int, utc_ns: int) -> None:
        """Add a sample of the operating system's clock, taken while it was synchronised."""
        self._ntp_samples += 1
        self._ntp_offset_ns = utc_ns - t_mono_ns
        if self._taken is not None and abs(self._taken.offset_ns - self._ntp_offset_ns) > _DAY_NS // 2:
            self._contradictions += 1
            self._taken = self._t_gnss_ns = None
            self._samples.clear()
        if self._fresh(self._t_gnss_ns, t_mono_ns, self._config.gnss_fresh_s):
            tag = self.tag(t_mono_ns)
            allowed_ms = (tag.uncertainty_ms or 0.0) + self._config.ntp_uncertainty_ms
            if tag.utc_ns is not None and abs(tag.utc_ns - utc_ns) > 3 * allowed_ms * _NS_PER_MS:
                self._contradictions += 1
            return
        self._steer(TimeSource.NTP, t_mono_ns, utc_ns - t_mono_ns, self._config.ntp_uncertainty_ms)

    def tag(self, t_mono_ns: int) -> TimeTag:
        """Return the UTC of an instant of this boot, including instants before the first fix.  Any thread."""
        disciplines = tuple(self._disciplines)
        if not disciplines:
            return TimeTag(None, TimeSource.NONE, None)
        known = disciplines[-1]
        age_ns = abs(t_mono_ns - known.t_mono_ns)
        uncertainty_ms = known.uncertainty_ms + age_ns * self._config.drift_ppm * _PPM / _NS_PER_MS
        if uncertainty_ms > self._config.held_max_ms:
            return TimeTag(None, TimeSource.NONE, None)
        offset_ns = self._offset_by(disciplines, t_mono_ns)
        # While a correction is being slewed in, the tag is off by the rest of it.
        uncertainty_ms += abs(known.target_ns - offset_ns) / _NS_PER_MS
        fresh_s = self._config.gnss_fresh_s if known.source is TimeSource.GNSS else self._config.ntp_fresh_s
        source = known.source if age_ns <= fresh_s * _NS_PER_S else TimeSource.HELD
        return TimeTag(t_mono_ns + offset_ns, source, uncertainty_ms)

    def time_anchor(self) -> TimeAnchor | None:
        """Return the time anchor of this boot if a new one is due, else None.

        One is due when time first becomes known, when its uncertainty is ten times smaller than in the last one, and
        after a step: records dated by the last anchor should then be dated again.
        """
        due, self._due = self._due, None
        return due

    def _steer(self, source: TimeSource, t_mono_ns: int, target_ns: int, uncertainty_ms: float) -> None:
        offset_ns = self._offset_ns(t_mono_ns) if self._disciplines else target_ns
        stepped = abs(target_ns - offset_ns) > self._config.step_ms * _NS_PER_MS
        if stepped:
            self._steps += 1
            offset_ns = target_ns
            self._disciplines.clear()
        self._disciplines.append(_Discipline(source, t_mono_ns, offset_ns, target_ns, uncertainty_ms))
        better = self._dated_ms is None or uncertainty_ms * 10 <= self._dated_ms
        if better or stepped:
            self._dated_ms = uncertainty_ms
            self._due = TimeAnchor(
                anchored_boot_id=self._boot_id,
                mono_us=to_us(t_mono_ns),
                utc_us=to_us(t_mono_ns + target_ns),
                time=time_quality(source, uncertainty_ms),
            )

    def _offset_ns(self, t_mono_ns: int) -> int:
        return self._offset_by(tuple(self._disciplines), t_mono_ns)

    def _offset_by(self, disciplines: tuple[_Discipline, ...], t_mono_ns: int) -> int:
        earlier = (known for known in reversed(disciplines) if known.t_mono_ns <= t_mono_ns)
        known = next(earlier, disciplines[0])
        max_ns = round(max(0, t_mono_ns - known.t_mono_ns) * self._config.slew_ppm * _PPM)
        change_ns = known.target_ns - known.offset_ns
        return known.offset_ns + max(-max_ns, min(max_ns, change_ns))

    @staticmethod
    def _fresh(t_sample_ns: int | None, t_mono_ns: int, fresh_s: float) -> bool:
        return t_sample_ns is not None and abs(t_mono_ns - t_sample_ns) <= fresh_s * _NS_PER_S
