"""What can go wrong with the releases on a unit."""

from __future__ import annotations

from protocol.errors import PatrolError


class ReleaseError(PatrolError):
    """A release is not there, or cannot be switched to; what runs goes on running."""
