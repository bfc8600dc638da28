"""Whether a release on trial is well: cameras deliver, models are loaded, nobody hangs, the station is reached."""

from __future__ import annotations

from dataclasses import dataclass

_NS_PER_S = 1_000_000_000
_FRESH_S = 10.0


@dataclass(frozen=True, slots=True)
class HealthSample:
    """What the agent sees of itself at one moment."""

    cameras: int
    """How many are configured."""
    frames: tuple[int, ...]
    """Frames that reached each camera's models since the start; one number a camera whose models are loaded."""
    late: bool
    """A thread is past its deadline."""
    link_up: bool


class TrialWatch:
    """Waits until all has been well for long enough without a break.  Used by the main thread."""

    def __init__(self, *, well_s: float, needs_link: bool) -> None:
        """``needs_link``: the release before this one had a link in its last run, so this one must find it, too."""
        self._well_ns = round(well_s * _NS_PER_S)
        self._needs_link = needs_link
        self._linked = False
        self._since_ns: int | None = None
        self._frames: dict[int, tuple[int, int]] = {}
        """Camera -> its count and when that last grew."""

    def step(self, sample: HealthSample, t_mono_ns: int) -> bool:
        """Take one look; return True once everything has been well for long enough."""
        self._linked |= sample.link_up
        for camera, count in enumerate(sample.frames):
            if count > self._frames.get(camera, (0, 0))[0]:
                self._frames[camera] = (count, t_mono_ns)
        if not self._is_well(sample, t_mono_ns):
            self._since_ns = None
            return False
        if self._since_ns is None:
            self._since_ns = t_mono_ns
        return t_mono_ns - self._since_ns >= self._well_ns

    def _is_well(self, sample: HealthSample, t_mono_ns: int) -> bool:
        fresh = sum(t_mono_ns - at <= _FRESH_S * _NS_PER_S for _, at in self._frames.values())
        return fresh >= sample.cameras and not sample.late and (self._linked or not self._needs_link)
