"""Errors shared by unit and station, and the root of all errors of the project."""


class PatrolError(Exception):
    """Root of all errors of the project; messages say what happened and what to do."""


class WireError(PatrolError, ValueError):
    """Bytes from the network are not a message of the protocol."""


class UnknownSchemaError(WireError):
    """A message is well formed, but this version does not know its schema."""


class SealError(WireError):
    """A sealed record is damaged, altered, or not from the unit that it names: it is refused permanently."""


class KeyUnknownError(PatrolError):
    """A key is not in the station's key ring; the same bytes can be opened once it is added."""


class KeyFileError(PatrolError, ValueError):
    """A key file is missing, of the wrong kind, or readable by others."""


class UpdateError(PatrolError, ValueError):
    """An update is refused; the running release is not affected.  The message says why."""


class SignedFileError(PatrolError, ValueError):
    """A signed policy, hot list or roster is refused; what is in force is not affected.  The message says why."""


class PolicyError(PatrolError, ValueError):
    """A policy is refused; the one in force stays.  The message lists what is wrong with it."""


class HotlistError(PatrolError, ValueError):
    """A hot list is refused; the list in force is not affected.  The message says why and what to do."""


class PinError(PatrolError, ValueError):
    """A PIN does not open what it should, or does not meet the rules for PINs."""


class RosterError(PatrolError, ValueError):
    """A roster is refused; the installed one is not affected.  The message says why."""


class TokenError(PatrolError, ValueError):
    """A sign-on token is refused.  The message says why."""


class LogError(PatrolError, ValueError):
    """Root of the errors about an audit log that is given by somebody else."""


class ProofError(LogError):
    """A proof about the audit log cannot be made or read."""


class CheckpointError(LogError):
    """A checkpoint of the audit log is not one."""


class EntryError(LogError):
    """An entry of the audit log is not one, or is too long to be recorded."""


class DocumentError(LogError):
    """A certificate of a purge, a hold or a release is not one."""
