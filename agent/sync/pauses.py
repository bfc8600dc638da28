"""Growing pauses: nothing is sent again without a pause, and each pause is longer than the one before."""

from __future__ import annotations

from dataclasses import dataclass

_NS_PER_S = 1_000_000_000
_MAX_HELD = 256


class GrowingPause:
    """A pause that doubles each time, up to a limit, until something succeeds."""

    def __init__(self, first_s: float, max_s: float) -> None:
        self._first_ns = round(first_s * _NS_PER_S)
        self._max_ns = round(max_s * _NS_PER_S)
        self._next_ns = self._first_ns
        self._until_ns: int | None = None

    def begin(self, t_mono_ns: int) -> bool:
        """Start a pause; False if one is already running."""
        if self.is_on(t_mono_ns):
            return False
        self._until_ns = t_mono_ns + self._next_ns
        self._next_ns = min(self._max_ns, self._next_ns * 2)
        return True

    def is_on(self, t_mono_ns: int) -> bool:
        """True until the pause is over."""
        return self._until_ns is not None and t_mono_ns < self._until_ns

    def succeeded(self) -> None:
        """End the pause; the next one is short again."""
        self._until_ns = None
        self._next_ns = self._first_ns


@dataclass(slots=True)
class _Hold:
    pause_ns: int
    due_ns: int | None
    """End of the pause; None while it is being sent again."""


class Holds:
    """Records that the broker does not accept at present; each is retried after its own pause, which doubles."""

    def __init__(self, first_s: float = 60.0, max_s: float = 3600.0) -> None:
        self._first_ns = round(first_s * _NS_PER_S)
        self._max_ns = round(max_s * _NS_PER_S)
        self._held: dict[int, _Hold] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, seq: int, t_mono_ns: int) -> bool:
        """Hold a record; False if there are too many already."""
        known = self._held.get(seq)
        if known is None and len(self._held) >= _MAX_HELD:
            return False
        pause_ns = self._first_ns if known is None else min(self._max_ns, known.pause_ns * 2)
        self._held[seq] = _Hold(pause_ns, t_mono_ns + pause_ns)
        return True

    def is_held(self, seq: int, t_mono_ns: int) -> bool:
        """True until its pause is over."""
        hold = self._held.get(seq)
        return hold is not None and hold.due_ns is not None and t_mono_ns < hold.due_ns

    def due(self, t_mono_ns: int) -> int | None:
        """Return a record whose pause is over."""
        for seq, hold in self._held.items():
            if hold.due_ns is not None and t_mono_ns >= hold.due_ns:
                return seq
        return None

    def sent(self, seq: int) -> None:
        """Note that it was sent again."""
        if seq in self._held:
            self._held[seq].due_ns = None

    def done(self, seq: int) -> None:
        """Forget a record."""
        self._held.pop(seq, None)

    def reconnected(self, t_mono_ns: int) -> None:
        """A new connection may be to another broker: reset the pauses to the first length."""
        for hold in self._held.values():
            if hold.due_ns is not None:
                hold.due_ns = min(hold.due_ns, t_mono_ns + self._first_ns)
