"""What a receiver sent, for doctor and self-test: how much, which sentences, and why there is no fix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.geotag.nmea import NmeaState
from agent.geotag.sentences import Kind
from hw.clock import NS_PER_S
from protocol.wire.enums import FixQuality

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.records import Fix
    from hw.ports import Clock, Gnss

_PLACED = (Kind.RMC, Kind.GGA, Kind.GNS, Kind.GLL)
_LINE_S = 1.0


@dataclass(frozen=True, slots=True)
class Heard:
    """Result of listening."""

    nmea: NmeaState
    first_line_s: float | None
    """Time to the first line; None if there was none."""
    fix: Fix | None
    fix_s: float = 0.0
    """Time to the fix, if there was one."""


def listen(gnss: Gnss, clock: Clock, *, max_s: float, after_sentence_s: float | None = None) -> Heard:
    """Listen until a fix, at most ``max_s``, and at most ``after_sentence_s`` from the first sentence on.

    Raises GnssLostError when the receiver goes away.
    """
    nmea, start_ns = NmeaState(), clock.mono_ns()
    first_line_s: float | None = None
    until_s = max_s
    while (gone_s := (clock.mono_ns() - start_ns) / NS_PER_S) < until_s:
        line = gnss.next_line(timeout_s=min(_LINE_S, until_s - gone_s))
        if line is None:
            continue
        now_s = (clock.mono_ns() - start_ns) / NS_PER_S
        first_line_s = now_s if first_line_s is None else first_line_s
        fix = nmea.feed(line)
        if fix is not None:
            return Heard(nmea, first_line_s, fix, now_s)
        if after_sentence_s is not None and sentences(nmea):
            until_s, after_sentence_s = min(max_s, now_s + after_sentence_s), None
    return Heard(nmea, first_line_s, None)


def sentences(nmea: NmeaState) -> int:
    """Sentences with a right checksum, and reports of gpsd."""
    c = nmea.counts
    return c.taken + c.void + c.other + c.duplicate + c.bad_fields + c.reports


def amount(nmea: NmeaState) -> str:
    """Amount of data received: ``41 sentences, 38 behind binary data``."""
    c = nmea.counts
    parts = [f"{sentences(nmea)} sentences"]
    if c.behind_binary:
        parts.append(f"{c.behind_binary} behind binary data")
    elif c.binary_bytes:
        parts.append(f"{c.binary_bytes} bytes of binary data")
    if c.bad_checksum:
        parts.append(f"{c.bad_checksum} damaged")
    if c.no_checksum:
        parts.append(f"{c.no_checksum} without a checksum")
    return ", ".join(parts)


def why_no_fix(nmea: NmeaState) -> str:
    """Return why there is no fix, and what to do about it."""
    c, kinds = nmea.counts, nmea.kinds
    if not sentences(nmea):
        if c.binary_bytes:
            return "only binary data: enable NMEA in the receiver, or check the baud rate"
        if c.no_checksum:
            return "sentences without a checksum are not used: switch the checksum on in the receiver"
        return "no sentence: check port and baud rate"
    placed = [kind for kind in _PLACED if kind in kinds]
    reasons = [
        (c.impossible_places, "impossible position (near 0 N 0 E, or altitude out of range)"),
        (c.jumps + c.time_back + c.time_jumps, "fixes contradict each other"),
        (c.disagreements, "sentences contradict each other"),
        (
            c.void,
            f"no {_listed(placed) or 'report'} with a position; check that the antenna has a clear view of the sky",
        ),
        (c.bad_fields, "missing or invalid fields: check that the receiver is set to NMEA 0183"),
        (not placed, f"no {_listed(_PLACED)}: enable one of them in the receiver"),
    ]
    return next((text for is_so, text in reasons if is_so), f"no complete epoch of {_listed(placed)} yet")


def described(fix: Fix) -> str:
    """Quality of a fix: ``9 satellites, within 5 m``."""
    if fix.quality is FixQuality.NONE:
        return f"fixed site at {fix.lat_deg:.5f} {fix.lon_deg:.5f}, within {fix.error_m:.0f} m, from the configuration"
    sky = "" if fix.satellites is None else f"{fix.satellites} satellites, "
    date = "" if fix.utc_ns is not None else "; no plausible date: time comes from NTP"
    return f"{sky}within {fix.error_m:.0f} m{date}"


def _listed(kinds: Sequence[Kind]) -> str:
    *some, last = kinds or ("",)
    return f"{', '.join(some)} or {last}" if some else last
