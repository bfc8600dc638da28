"""What can go wrong while a unit is made."""

from __future__ import annotations

from agent.errors import AgentError


class ProvisionError(AgentError):
    """A card, an image or a certificate cannot be made; the message says what to do."""
