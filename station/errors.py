"""Errors of the station."""

from __future__ import annotations

from protocol.errors import PatrolError


class StationError(PatrolError):
    """Root of the station's errors."""


class StoreError(StationError):
    """The station's file cannot be used, or a write failed."""


class PurposeError(StationError, ValueError):
    """Records about employees were asked for without a purpose; nothing was returned."""


class BrokerError(StationError):
    """The broker cannot be started, or its address or credentials cannot be used."""


class LogAlteredError(StationError):
    """The audit log does not continue a checkpoint that was signed: it was altered or cut, or is an old backup."""
