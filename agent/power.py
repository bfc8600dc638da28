"""State machines for the ignition and the board's temperature; the time is passed to each call."""

from __future__ import annotations

from enum import Enum

_NS_PER_S = 1_000_000_000


class Phase(Enum):
    """Phase of a drive."""

    DRIVING = "driving"
    HOLDING = "holding"
    """The ignition is off and the hold-up time is running: everything continues, the engine may be restarted."""
    OVER = "over"
    """Finish, flush, and request power-off."""


class HoldUp:
    """Ignition levels -> phases.  OVER is final: a new drive begins with the next start."""

    def __init__(self, hold_up_s: float) -> None:
        self._hold_ns = round(hold_up_s * _NS_PER_S)
        self._off_since_ns: int | None = None
        self._phase = Phase.DRIVING

    def step(self, *, ignition_on: bool, t_mono_ns: int) -> Phase:
        """Add the debounced level and the time; return the phase."""
        if self._phase is Phase.OVER:
            return self._phase
        if ignition_on:
            self._off_since_ns, self._phase = None, Phase.DRIVING
            return self._phase
        if self._off_since_ns is None:
            self._off_since_ns = t_mono_ns
        over = t_mono_ns - self._off_since_ns >= self._hold_ns
        self._phase = Phase.OVER if over else Phase.HOLDING
        return self._phase


class Cooler:
    """Temperature -> whether to reduce the frame rate, before the SoC throttles itself; with hysteresis."""

    def __init__(self, slow_above_c: float, fast_below_c: float) -> None:
        """Raises ValueError unless ``fast_below_c`` is below ``slow_above_c``."""
        if fast_below_c >= slow_above_c:
            raise ValueError(f"fast_below_c ({fast_below_c}) must lie below slow_above_c ({slow_above_c})")
        self._above_c, self._below_c = slow_above_c, fast_below_c
        self.slow = False

    def step(self, temperature_c: float | None) -> bool:
        """Add a temperature, None if it cannot be read; return whether to reduce the frame rate."""
        if temperature_c is not None:
            if temperature_c >= self._above_c:
                self.slow = True
            elif temperature_c <= self._below_c:
                self.slow = False
        return self.slow
