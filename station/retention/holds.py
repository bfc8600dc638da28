"""Legal holds of one operator: placed, listed, released; each is recorded in the audit log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from protocol.errors import DocumentError
from protocol.merkle.documents import HoldRelease, HoldScope, HoldStatement, document_hash, parse_document
from station.errors import HoldError, StoreError
from station.store.plates import normal
from station.store.rows import AuditRow, HoldRow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from station.asker import Asker
    from station.store import Store

MAX_TEXT = 256
_FIRST_PRINTED = " "


@dataclass(frozen=True, slots=True)
class StoredHold:
    """A hold."""

    statement: HoldStatement
    release: HoldRelease | None
    records: int
    """Records that it keeps; 0 after its release."""

    @property
    def is_in_force(self) -> bool:
        """False after its release."""
        return self.release is None


def hold_scope(
    *,
    ids: Sequence[str] = (),
    plate: str | None = None,
    unit: str | None = None,
    case: str | None = None,
    since_us: int | None = None,
    until_us: int | None = None,
) -> HoldScope:
    """Return what a hold is to keep.  Raises HoldError for anything but one kind of thing."""
    try:
        return HoldScope(
            ids=tuple(record_id.lower() for record_id in ids) or None,
            plate=None if plate is None else normal(plate),
            unit=unit,
            case=case,
            since_us=since_us,
            until_us=until_us,
        )
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        said = first["msg"].removeprefix("Value error, ")
        raise HoldError(f"this cannot be held: {f'{where}: ' if where else ''}{said}") from None


class HoldDesk:
    """Every method raises StoreError, and then nothing was changed."""

    def __init__(self, store: Store, asker: Asker, clock_us: Callable[[], int]) -> None:
        """``clock_us`` returns UTC."""
        self._store = store
        self._asker = asker
        self._clock_us = clock_us

    def place(self, scope: HoldScope, *, case_number: str, reason: str) -> StoredHold:
        """Place a hold; what it names is kept from now on, also what comes later.  Raises HoldError."""
        case_number, reason = _line("case number", case_number), _line("reason", reason)
        self._refuse_unless_all()
        now_us = self._clock_us()
        with self._store.transaction():
            number = self._store.holds.next_hold()
            statement = HoldStatement(
                number=number, utc_us=now_us, who=self._asker.who[:MAX_TEXT], case_number=case_number, reason=reason,
                scope=scope,
            )  # fmt: skip
            data = statement.encode()
            records = self._store.holds.place(HoldRow(number, data, None))
            self._note("place hold", f"hold={number} {scope}", records, now_us, reason, case_number, data)
        return StoredHold(statement, None, records)

    def release(self, number: int, *, case_number: str, reason: str) -> None:
        """Release a hold: the next purge deletes what is due.  Raises HoldError; StoreError if it is not in force."""
        case_number, reason = _line("case number", case_number), _line("reason", reason)
        self._refuse_unless_all()
        now_us = self._clock_us()
        with self._store.transaction():
            data = HoldRelease(
                number=number,
                utc_us=now_us,
                who=self._asker.who[:MAX_TEXT],
                case_number=case_number,
                reason=reason,
            ).encode()
            records = self._store.holds.release(number, data)
            self._note("release hold", f"hold={number}", records, now_us, reason, case_number, data)

    def holds(self) -> list[StoredHold]:
        """Return all holds by number, also released ones; recorded in the audit trail.

        Raises HoldError for an account that may see a part: a hold names plates and cases of every agency.
        """
        self._refuse_unless_all()
        counts = self._store.holds.counts()
        found = [stored_hold(row, counts.get(row.number, 0)) for row in self._store.holds.holds()]
        with self._store.transaction():
            now_us, asker = self._clock_us(), self._asker
            row = AuditRow(now_us, asker.who, "show holds", "", len(found), asker.purpose, asker.case_number)
            self._store.audit(row)
        return found

    def _refuse_unless_all(self) -> None:
        if not self._asker.scope.is_all:
            raise HoldError(
                "your account is limited to some agencies or units: somebody without a limit has to do this"
            )

    def _note(  # noqa: PLR0917 - one entry
        self, what: str, asked: str, count: int, now_us: int, reason: str, case_number: str, document: bytes
    ) -> None:
        self._store.audit(
            AuditRow(now_us, self._asker.who, what, asked, count, reason, case_number, document_hash(document))
        )


def stored_hold(row: HoldRow, records: int = 0) -> StoredHold:
    """Decode a hold.  Raises StoreError if it was altered."""
    try:
        statement = parse_document(row.statement, HoldStatement)
        release = None if row.release is None else parse_document(row.release, HoldRelease)
    except DocumentError as error:
        raise StoreError(f"hold {row.number} was altered in the database: {error}") from error
    return StoredHold(statement, release, records)


def _line(name: str, text: str) -> str:
    text = text.strip()
    if not 0 < len(text) <= MAX_TEXT or any(letter < _FIRST_PRINTED for letter in text):
        raise HoldError(f"give the {name} of the hold: one line of up to {MAX_TEXT} characters")
    return text
