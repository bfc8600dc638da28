"""What can go wrong while a unit is made."""

from __future__ import annotations

from protocol.errors import PatrolError


class ProvisionError(PatrolError):
    """A card, an image or a certificate cannot be made; the message says what to do."""
