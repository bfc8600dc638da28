"""Comparing a list with the reads that are kept already: only those whose own policy allows it, and in the trail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.wire.records.read import Read
from station.errors import PurposeError, StoreError
from station.query.query import READ_SCHEMA, Query

if TYPE_CHECKING:
    from collections.abc import Iterable

    from protocol.policy.pack import PolicyPack
    from station.query.stored import StoredRecord


@dataclass(frozen=True, slots=True)
class RetainedReads:
    """Reads that a list may be compared with."""

    records: list[StoredRecord]
    left_out: int
    """Number of reads whose policy was not given, or does not allow it."""


class ListSearch(Query):
    """Questions about retained reads for the sake of a list."""

    def reads_for_list(
        self, told: str, packs: Iterable[PolicyPack], *, unit: str | None = None, limit: int | None = None
    ) -> RetainedReads:
        """Return of the latest ``limit`` reads those that were kept by a policy of ``packs`` which allows it.

        ``told`` names the list in the audit trail.  Raises PurposeError without purpose and case number, StoreError if
        no policy allows it.
        """
        if not self._asker.has_case:
            raise PurposeError("looking for listed plates in retained reads needs a purpose and a case number")
        allowing = sorted(pack.name for pack in packs if pack.lists.retained_reads)
        if not allowing:
            raise StoreError(
                "no policy that was given allows lists to be compared with retained reads (lists.retained_reads)"
            )
        rows = self._store.latest(READ_SCHEMA, unit=unit, limit=limit, scope=self._asker.scope)
        seen = self._visible(rows)
        kept = [one for one in seen if isinstance(one.body, Read) and one.body.policy in allowing]
        left_out = len(seen) - len(kept)
        self._note(
            "compare list with reads", len(kept), list=told, policies=",".join(allowing), unit=unit, limit=limit,
            left_out=left_out,
        )  # fmt: skip
        return RetainedReads(kept, left_out)
