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


class LogAlteredError(StationError):
    """The audit log does not continue a checkpoint that was signed: it was altered or cut, or is an old backup."""


class DeploymentError(StationError, ValueError):
    """A person, zone, shift or setting is refused; nothing was changed.  The message says why."""


class PlanConflictError(DeploymentError):
    """A shift is in conflict with the plan; nothing was changed."""


class ExportError(StationError, ValueError):
    """An export cannot be requested, approved or fetched like this."""


class JobError(StationError):
    """Long work cannot be begun, or has failed."""


class BoundError(StationError):
    """A person would see more reads than one person may see in a day; nothing was returned."""


class AccountError(StationError, ValueError):
    """An account cannot be made or changed like this, or a log-in was refused."""


class BusyError(AccountError):
    """Too many people, or strangers, log in at this moment."""


class WebError(StationError):
    """The page cannot be served at its address."""


class HoldError(StationError, ValueError):
    """A hold is refused; nothing was changed.  The message says why."""


class StationConfigError(StationError, ValueError):
    """``station.toml`` is invalid; the message lists every error with its key."""


class DeliveryError(StationError):
    """An output cannot deliver at the moment; the records wait, and it tries again."""

    def __init__(self, reason: str, *, retry_after_s: float | None = None) -> None:
        """``retry_after_s`` is what the receiver asked for."""
        super().__init__(reason)
        self.retry_after_s = retry_after_s


class RecordRefusedError(StationError):
    """The receiver of an output refuses this record for good; it becomes a dead letter."""


class BackupError(StationError):
    """A backup cannot be made, is damaged, or cannot be restored; the message says what to do."""
