"""What the ignition and the board's temperature ask for: plain state machines, time comes in with each call."""

from __future__ import annotations

from enum import Enum

_NS_PER_S = 1_000_000_000


class Phase(Enum):
    """Where a drive stands."""

    DRIVING = "driving"
    HOLDING = "holding"
    """The ignition is off, the hold-up time runs: everything goes on, the engine may come back."""
    OVER = "over"
    """Finish, flush, and ask for the power to be cut."""


class HoldUp:
    """Ignition levels -> phases.  OVER is final: the next start begins a new drive."""

    def __init__(self, hold_up_s: float) -> None:
        self._hold_ns = round(hold_up_s * _NS_PER_S)
        self._off_since_ns: int | None = None
        self._phase = Phase.DRIVING

    def step(self, *, ignition_on: bool, t_mono_ns: int) -> Phase:
        """Take the debounced level and the time; return the phase."""
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
    """Temperature -> whether to look at fewer frames: before the SoC lowers its own clock, with hysteresis."""

    def __init__(self, slow_above_c: float, fast_below_c: float) -> None:
        """Raises ValueError when there is no room between the two."""
        if fast_below_c >= slow_above_c:
            raise ValueError(f"fast_below_c ({fast_below_c}) must lie below slow_above_c ({slow_above_c})")
        self._above_c, self._below_c = slow_above_c, fast_below_c
        self.slow = False

    def step(self, temperature_c: float | None) -> bool:
        """Take a temperature, None where none can be read; return whether to be slow."""
        if temperature_c is not None:
            if temperature_c >= self._above_c:
                self.slow = True
            elif temperature_c <= self._below_c:
                self.slow = False
        return self.slow
