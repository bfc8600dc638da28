"""Speech by espeak-ng, a program of its own: one process a line."""

from __future__ import annotations

import os
import subprocess
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import structlog

from hw.ports import HwConfigError

if TYPE_CHECKING:
    from hw.config import EspeakSpeakerConfig

_LOG = structlog.get_logger(__name__)
_VOICES = {"en": "en-us", "es": "es-419"}
_END_S = 1.0


class SpeakerEspeak:
    """Says the newest line; one that is still spoken is cut off."""

    def __init__(self, config: EspeakSpeakerConfig) -> None:
        """Raises HwConfigError if the program is missing."""
        if not os.access(config.program, os.X_OK):
            raise HwConfigError(
                f'speaker: {config.program} is missing: sudo apt-get install espeak-ng, or set kind = "none"'
            )
        self._config = config
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self.failures = 0
        """Lines that could not be spoken, or whose program reported an error."""

    def say(self, text: str, *, language: str) -> None:
        """See the port."""
        with self._lock:
            self._stop()
            if self._closed:
                return
            try:
                self._process = self._start(language)
                self._write(self._process, text)
            except OSError as error:
                self.failures += 1
                _LOG.error("speaker_failed", reason=str(error))

    def hush(self) -> None:
        """See the port."""
        with self._lock:
            self._stop()

    def close(self) -> None:
        """See the port."""
        with self._lock:
            self._closed = True
            self._stop()

    def _start(self, language: str) -> subprocess.Popen[bytes]:
        config = self._config
        command = (
            *(str(config.program), "--stdin", "-v", _VOICES.get(language, _VOICES["en"])),
            *("-s", str(config.words_per_minute), "-a", str(config.volume)),
        )
        return subprocess.Popen(  # noqa: S603 - a fixed program, and no text of strangers among the arguments
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    @staticmethod
    def _write(process: subprocess.Popen[bytes], text: str) -> None:
        """The text goes through a pipe: command lines can be read by every user.  It fits into the pipe's buffer."""
        if process.stdin is not None:
            with suppress(BrokenPipeError), process.stdin as pipe:
                pipe.write(text.encode())

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if (code := process.poll()) is None:
            process.kill()
            process.wait(_END_S)
        elif code:
            self.failures += 1
            _LOG.warning("speaker_failed", code=code)
