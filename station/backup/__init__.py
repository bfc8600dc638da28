"""Backups of the station's store: made while it runs, checked, restored, and deleted when they expire."""

from __future__ import annotations

from station.backup.backups import Backup, expire, made_after, make_backup, read_backup, restore, verify

__all__ = ["Backup", "expire", "made_after", "make_backup", "read_backup", "restore", "verify"]
