"""What can go wrong, grouped by what the caller should do about it.

Every error of the agent derives from :class:`AgentError` and, where one fits, from the builtin a caller would
catch anyway.  Messages say what happened and what a person can do.  Errors raised by hardware live in
:mod:`hw.ports`, because ``hw`` never imports ``agent``.
"""

from protocol.errors import PatrolError


class AgentError(PatrolError):
    """Root of all errors the agent raises on purpose."""


class FatalError(AgentError):
    """The process must end; systemd restarts it."""


class ConfigError(FatalError, ValueError):
    """The configuration is wrong.  The message lists every wrong key with its path."""


class BundleError(FatalError, ValueError):
    """A model bundle does not match its contract and is refused."""


class ImageError(AgentError, ValueError):
    """A picture or video cannot be read."""


class DriveError(AgentError, ValueError):
    """A drive folder is incomplete or contradicts itself."""


class StateFolderInUseError(AgentError, OSError):
    """Another process works on the state folder, or the folder cannot be written."""


class OutboxError(AgentError):
    """The outbox refuses or fails an operation."""


class OutboxTypeError(OutboxError, LookupError):
    """A record is of a type that is not registered: a defect of the program, nothing was stored."""


class OutboxHeldError(OutboxError):
    """The disk did not take it: nothing was committed, the caller still holds it and tries again after a pause."""


class OutboxFullError(OutboxHeldError):
    """The disk is full."""


class OutboxDiskError(OutboxHeldError):
    """The disk fails, or has become read-only."""


class OutboxDamagedError(OutboxError, FatalError):
    """The outbox file is damaged and marked so: the process must end, the next start salvages what can be read."""


class OutboxVersionError(OutboxError, FatalError):
    """The outbox file was written by a newer version; it is left untouched."""
