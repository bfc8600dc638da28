"""What can go wrong at the station."""

from __future__ import annotations

from agent.errors import AgentError


class StationError(AgentError):
    """Root of the station's errors."""


class StoreError(StationError):
    """The station's file cannot be used."""


class BrokerError(StationError):
    """The broker cannot be started or reached."""
