"""Errors of releases on a unit."""

from __future__ import annotations

from protocol.errors import PatrolError


class ReleaseError(PatrolError):
    """A release is missing or cannot be switched to; the running release continues."""
