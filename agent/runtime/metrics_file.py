"""Writes the counters and gauges to a file for node_exporter's textfile collector.

A file, not a port: a unit opens no port, its firewall drops what comes in, and a file in memory costs the card nothing.
It has counters only, no plates and no ids of reads.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from protocol.metrics import exposition, samples_of

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX = "patrol_lpr_unit"
FILE_NAME = "patrol-lpr.prom"
_LOG = structlog.get_logger(__name__)


def metrics_path(configured: str | Path, environment: Mapping[str, str]) -> Path | None:
    """Return the file; None for none.  ``auto`` is the service's runtime directory."""
    if configured == "off":
        return None
    if configured != "auto":
        return Path(configured)
    folder = environment.get("RUNTIME_DIRECTORY", "").split(":")[0]
    return Path(folder) / FILE_NAME if folder else None


class MetricsFile:
    """Replaces the file as a whole; a failure is logged once until it succeeds again."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._failed = False

    def write(self, counters: Mapping[str, int], gauges: Mapping[str, int]) -> None:
        """Write the values of this moment; readable by everyone on the unit."""
        if self._path is None:
            return
        part = self._path.with_name(f"{self._path.name}.part")
        try:
            part.write_text(exposition(samples_of(PREFIX, counters, gauges)), encoding="utf-8")
            part.chmod(0o644)
            part.replace(self._path)
        except OSError as error:
            if not self._failed:
                _LOG.warning("metrics_not_written", path=str(self._path), reason=error.strerror)
            self._failed = True
        else:
            self._failed = False
