"""Errors of provisioning."""

from __future__ import annotations

from protocol.errors import PatrolError


class ProvisionError(PatrolError):
    """A card, an image or a certificate cannot be created; the message says what to do."""
