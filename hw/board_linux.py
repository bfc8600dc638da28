"""The computer, read from /proc and /sys below a prefix, so that tests can use their own files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from hw.ports import HwConfigError, HwError, Vitals

if TYPE_CHECKING:
    from pathlib import Path

_UNDERVOLTAGE_NOW = 0x1
_SLOWED_NOW = 0x2 | 0x4 | 0x8
"""Arm frequency capped, throttled, soft temperature limit (Raspberry Pi documentation, ``get_throttled``)."""
_MILLI = 1000
_ANYWHERE = "00000000"
_METRIC = 6
"""Column of /proc/net/route."""


class BoardLinux:
    """Vitals from /proc, /sys and the file system of the state folder."""

    def __init__(self, *, root: Path, state_dir: Path) -> None:
        """Raises HwConfigError if the state folder or /proc is missing."""
        self._state_dir = root / state_dir.relative_to("/") if state_dir.is_absolute() else state_dir
        self._temperature = root / "sys/class/thermal/thermal_zone0/temp"
        self._throttled = root / "sys/devices/platform/soc/soc:firmware/get_throttled"
        self._statm = root / "proc/self/statm"
        self._loadavg = root / "proc/loadavg"
        self._io = root / "proc/self/io"
        self._routes = root / "proc/net/route"
        if not self._state_dir.is_dir():
            raise HwConfigError(f"board: state folder {self._state_dir} is missing; create it or set state_dir")
        if not self._statm.is_file():
            raise HwConfigError(f"board: {self._statm} is missing; patrol-lpr needs a Linux /proc")

    def vitals(self) -> Vitals:
        """See the port; raises HwError when /proc or the state folder can no longer be read."""
        flags = _number(self._throttled, base=16)
        milli_c = _number(self._temperature)
        try:
            disk = os.statvfs(self._state_dir)
            resident_pages = int(self._statm.read_text(encoding="ascii").split()[1])
            load_1min = float(self._loadavg.read_text(encoding="ascii").split()[0])
        except (OSError, ValueError, IndexError) as error:
            raise HwError(f"board: cannot be read: {error}") from error
        return Vitals(
            temperature_c=None if milli_c is None else milli_c / _MILLI,
            throttled=None if flags is None else bool(flags & _SLOWED_NOW),
            undervoltage=None if flags is None else bool(flags & _UNDERVOLTAGE_NOW),
            disk_free_bytes=disk.f_bavail * disk.f_frsize,
            rss_bytes=resident_pages * os.sysconf("SC_PAGE_SIZE"),
            load_1min=load_1min,
            written_bytes=self._written_bytes(),
            default_interface=self._way_out(),
        )

    def _way_out(self) -> str | None:
        """The default route with the smallest metric, as the kernel would choose."""
        try:
            rows = [line.split() for line in self._routes.read_text(encoding="ascii").splitlines()[1:]]
        except OSError:
            return None
        ways = [(int(row[_METRIC]), row[0]) for row in rows if len(row) > _METRIC and row[1] == _ANYWHERE]
        return min(ways)[1] if ways else None

    def _written_bytes(self) -> int | None:
        """From the kernel's own account; it is another name than the file's ``wchar``, which counts pipes as well."""
        try:
            lines = self._io.read_text(encoding="ascii").splitlines()
        except OSError:
            return None
        found = (line.removeprefix("write_bytes:") for line in lines if line.startswith("write_bytes:"))
        return next((int(value) for value in found if value.strip().isdecimal()), None)


def _number(path: Path, *, base: int = 10) -> int | None:
    """The number in a file; None if the board has no such file."""
    try:
        return int(path.read_text(encoding="ascii").strip(), base)
    except (OSError, ValueError):
        return None
