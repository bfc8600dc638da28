"""Errors of the station."""

from __future__ import annotations

from protocol.errors import PatrolError


class StationError(PatrolError):
    """Root of the station's errors."""


class StoreError(StationError):
    """The station's file cannot be used, or a write failed."""


class PurposeError(StationError, ValueError):
    """Records about employees were asked for without a purpose; nothing was returned."""


class ScopeError(StationError, LookupError):
    """Something outside what the asker may see; it is answered like something that does not exist."""


class BrokerError(StationError):
    """The broker cannot be started, or its address or credentials cannot be used."""


class ExportError(StationError, ValueError):
    """An export cannot be requested, approved or fetched like this."""


class AccountError(StationError, ValueError):
    """An account cannot be made or changed like this, or a log-in was refused."""


class WebError(StationError):
    """The page cannot be served at its address."""
