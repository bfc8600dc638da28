"""Signs checkpoints of the audit log, if it continues the one before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.errors import CheckpointError
from protocol.merkle.checkpoint import parse_checkpoint, sign_checkpoint
from protocol.merkle.tree import is_consistent
from station.errors import LogAlteredError
from station.store.rows import CheckpointRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.merkle.checkpoint import Checkpoint
    from protocol.seal.keys import SigningKey
    from station.store import Store


class Checkpointer:
    """Signs with the log's key.  Used by one thread."""

    def __init__(self, store: Store, key: SigningKey, clock_us: Callable[[], int]) -> None:
        """``clock_us`` returns UTC."""
        self._store = store
        self._key = key
        self._clock_us = clock_us
        self._signed: Checkpoint | None = None
        """The last one of this process: a database that is replaced under it is noticed."""

    def make(self) -> CheckpointRow | None:
        """Sign the present state and return it; None for a log without entries.

        Raises LogAlteredError, and signs nothing, if the log does not continue its latest checkpoint.
        """
        log = self._store.log
        with self._store.transaction():
            size = log.size()
            before = self._latest()
            for known in (before, self._signed):
                self._check(known, size)
            if not size:
                return None
            row = log.checkpoint(size)
            if row is not None and before is not None and before.size == size:
                return row
            note = sign_checkpoint(self._key, size, log.root(size))
            row = CheckpointRow(size, note, self._clock_us())
            log.add_checkpoint(row)
        self._signed = parse_checkpoint(note).checkpoint
        return row

    def _latest(self) -> Checkpoint | None:
        """The latest one that this key signed; one of another key belongs to another log."""
        for row in reversed(self._store.log.checkpoints(latest=1)):
            try:
                found = parse_checkpoint(row.note)
            except CheckpointError as error:
                raise LogAlteredError(f"the checkpoint of {row.size} entries was altered: {error}") from error
            if found.is_signed_by(self._key.public):
                return found.checkpoint
        return None

    def _check(self, known: Checkpoint | None, size: int) -> None:
        if known is None or known.size == 0:
            return
        log = self._store.log
        if size < known.size:
            raise LogAlteredError(
                f"the audit log has {size} entries, and a checkpoint of {known.size} was signed: entries were removed, "
                "or the database is an old backup; run `patrol-lpr station check`"
            )
        root = log.root(size)
        if not is_consistent(known.size, size, known.root, root, log.consistency(known.size, size)):
            raise LogAlteredError(
                f"the audit log does not continue its checkpoint of {known.size} entries: it was altered; run "
                "`patrol-lpr station check`"
            )
