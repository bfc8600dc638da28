"""Whether a release on trial is healthy: cameras deliver, models are loaded, no thread hangs, the link is up."""

from __future__ import annotations

from dataclasses import dataclass

_NS_PER_S = 1_000_000_000
_FRESH_S = 10.0


@dataclass(frozen=True, slots=True)
class HealthSample:
    """State of the agent at one moment."""

    cameras: int
    """Number of configured cameras."""
    frames: tuple[int, ...]
    """Frames processed since the start; one number per camera whose models are loaded."""
    late: bool
    """True if a thread is past its deadline."""
    link_up: bool


class TrialWatch:
    """Waits until the release has been healthy without interruption for long enough.  Used by the main thread."""

    def __init__(self, *, well_s: float, needs_link: bool) -> None:
        """``needs_link``: the previous release had a link in its last run, so this one must have it, too."""
        self._well_ns = round(well_s * _NS_PER_S)
        self._needs_link = needs_link
        self._linked = False
        self._since_ns: int | None = None
        self._frames: dict[int, tuple[int, int]] = {}
        """Camera -> its count and the time of the last increase."""

    def step(self, sample: HealthSample, t_mono_ns: int) -> bool:
        """Add a sample; return True once the release has been healthy for long enough."""
        self._linked |= sample.link_up
        for camera, count in enumerate(sample.frames):
            if count > self._frames.get(camera, (0, 0))[0]:
                self._frames[camera] = (count, t_mono_ns)
        if not self._is_healthy(sample, t_mono_ns):
            self._since_ns = None
            return False
        if self._since_ns is None:
            self._since_ns = t_mono_ns
        return t_mono_ns - self._since_ns >= self._well_ns

    def _is_healthy(self, sample: HealthSample, t_mono_ns: int) -> bool:
        fresh = sum(t_mono_ns - at <= _FRESH_S * _NS_PER_S for _, at in self._frames.values())
        return fresh >= sample.cameras and not sample.late and (self._linked or not self._needs_link)
