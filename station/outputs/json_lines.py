"""Appends one JSON object in a line for each record, to a file or to standard output."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

from station.errors import DeliveryError
from station.outputs.events import document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from station.outputs.config import JsonLinesOutput
    from station.outputs.events import Event

STANDARD_OUTPUT = "-"
_MEBI = 2**20


class JsonLines:
    """The file is durable before a batch counts as delivered; it is readable by its owner only."""

    batch = 500

    def __init__(self, config: JsonLinesOutput, out: IO[bytes] | None = None) -> None:
        """``out`` replaces standard output."""
        self._config = config
        self._path = Path(config.path)
        self._out = out or sys.stdout.buffer

    @property
    def where(self) -> str:
        """For the audit trail."""
        return self._config.path

    def send(self, events: Sequence[Event]) -> int:
        """Append the events."""
        lines = [json.dumps(document(event, self._config), ensure_ascii=False) + "\n" for event in events]
        data = "".join(lines).encode()
        try:
            if self._config.path == STANDARD_OUTPUT:
                self._out.write(data)
                self._out.flush()
            else:
                self._append(data)
        except OSError as error:
            raise DeliveryError(f"{self._config.path}: {error.strerror or error}") from error
        return len(events)

    def close(self) -> None:
        """Nothing is open between batches: the file may be moved away at any time."""

    def _append(self, data: bytes) -> None:
        self._rotate()
        number = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(number, "r+b", buffering=0) as file:
            size = os.fstat(number).st_size
            is_file = stat.S_ISREG(os.fstat(number).st_mode)
            if is_file and size and os.pread(number, 1, size - 1) != b"\n":
                # A line that a power cut left incomplete is sent again, below it.
                data = b"\n" + data
            written = 0
            while written < len(data):
                written += file.write(data[written:]) or 0
            if is_file:
                os.fsync(number)

    def _rotate(self) -> None:
        if not self._path.is_file() or self._path.stat().st_size < self._config.max_mib * _MEBI:
            return
        if self._config.keep == 0:
            self._path.unlink()
            return
        for number in range(self._config.keep - 1, 0, -1):
            older = self._numbered(number)
            if older.exists():
                older.replace(self._numbered(number + 1))
        self._path.replace(self._numbered(1))

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
