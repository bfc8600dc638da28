"""Errors, grouped by what the caller should do.

Every error of the agent derives from :class:`AgentError` and, where one fits, from a builtin exception.  Messages say
what happened and what to do.  Errors raised by hardware are in :mod:`hw.ports`, because ``hw`` never imports
``agent``.
"""

from protocol.errors import PatrolError


class AgentError(PatrolError):
    """Root of all errors that the agent raises."""


class FatalError(AgentError):
    """The process must end; systemd restarts it."""


class ConfigError(FatalError, ValueError):
    """The configuration is invalid.  The message lists every invalid key with its path."""


class BundleError(FatalError, ValueError):
    """A model bundle does not match its contract."""


class ImageError(AgentError, ValueError):
    """A picture or video cannot be read."""


class DriveError(AgentError, ValueError):
    """A drive folder is incomplete or contradicts itself."""


class StateFolderInUseError(AgentError, OSError):
    """Another process works on the state folder, or the folder cannot be written."""


class OutboxError(AgentError):
    """An operation of the outbox failed."""


class OutboxTypeError(OutboxError, LookupError):
    """A record is of a type that is not registered: a defect of the program, nothing was stored."""


class OutboxHeldError(OutboxError):
    """A write failed: nothing was committed; the caller keeps the records and retries after a pause."""


class OutboxFullError(OutboxHeldError):
    """The disk is full."""


class OutboxDiskError(OutboxHeldError):
    """The disk fails or has become read-only."""


class OutboxDamagedError(OutboxError, FatalError):
    """The outbox file is damaged and marked as such: the process must end, the next start salvages readable rows."""


class OutboxVersionError(OutboxError, FatalError):
    """The outbox file was written by a newer version; it is not changed."""
