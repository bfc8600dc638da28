"""What can go wrong at the station."""

from __future__ import annotations

from protocol.errors import PatrolError


class StationError(PatrolError):
    """Root of the station's errors."""


class StoreError(StationError):
    """The station's file cannot be used, or did not take what it was given."""


class BrokerError(StationError):
    """The broker cannot be started, or its address or credentials cannot be used."""
