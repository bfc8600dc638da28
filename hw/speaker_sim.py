"""A simulated speaker."""

from __future__ import annotations


class SpeakerSim:
    """Remembers what it was asked to say."""

    def __init__(self) -> None:
        self._closed = False
        self.said: list[tuple[str, str]] = []
        """Language and text of each line."""
        self.hushed = 0
        """Number of calls to silence."""

    def say(self, text: str, *, language: str) -> None:
        """See the port."""
        if not self._closed:
            self.said.append((language, text))

    def hush(self) -> None:
        """See the port."""
        self.hushed += 1

    def close(self) -> None:
        """See the port."""
        self._closed = True
