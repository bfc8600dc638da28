"""Errors that unit and station share, and the root of all that the project raises on purpose."""


class PatrolError(Exception):
    """Root of all errors raised on purpose; messages say what happened and what a person can do."""


class WireError(PatrolError, ValueError):
    """Bytes from the network are not a message of the protocol."""


class UnknownSchemaError(WireError):
    """A message is well formed, but of a schema that this version does not know."""


class SealError(WireError):
    """A sealed record is damaged, altered, or not from the unit it names: it is refused for good."""


class KeyUnknownError(PatrolError):
    """A key is not in the station's ring yet: the same bytes can be opened once it is."""


class KeyFileError(PatrolError, ValueError):
    """A key file is missing, of the wrong kind, or readable by others."""


class UpdateError(PatrolError, ValueError):
    """An update is refused; what runs goes on running.  The message says why."""
