"""Certificates of purges, holds and their releases: canonical JSON whose hash is in the audit log."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from protocol.errors import DocumentError

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_DOCUMENT_BYTES = 2**20
FORMAT = 1
_Whole = Annotated[int, Field(strict=True, ge=0, le=2**63 - 1)]
_Text = Annotated[str, StringConstraints(strict=True, max_length=256)]
_Sha256 = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{64}$")]
_Id = Annotated[str, StringConstraints(strict=True, pattern=r"^[0-9a-f]{32}$")]
_Unit = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9_-]{1,36}$")]
MAX_HELD_IDS = 1_024


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, validate_by_name=True, validate_by_alias=True)


class _Document(_Part):
    KIND: ClassVar[str]

    def encode(self) -> bytes:
        """Return the bytes whose hash is in the log.  Raises DocumentError if there are too many."""
        told = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        data = json.dumps({**told, "v": FORMAT, "kind": self.KIND}, sort_keys=True, separators=(",", ":"))
        if len(data) > MAX_DOCUMENT_BYTES:
            raise DocumentError(f"a {self.KIND} of {len(data)} bytes; at most {MAX_DOCUMENT_BYTES} are possible")
        return data.encode("ascii")


class Rule(_Part):
    """Which records a purge was to delete."""

    retention: Annotated[_Text | None, Field(alias="class")] = None
    """None: all classes."""
    before_us: Annotated[_Whole, Field(alias="before")]
    """Made or received before this time."""


class PurgedClass(_Part):
    """What a purge deleted of one retention class."""

    retention: Annotated[_Text, Field(alias="class")]
    records: _Whole
    first_us: Annotated[_Whole, Field(alias="from")]
    """Time of receipt of the oldest."""
    last_us: Annotated[_Whole, Field(alias="to")]


class PurgedDay(_Part):
    """A day of receipt whose partition was dropped."""

    day: Annotated[str, StringConstraints(strict=True, pattern=r"^\d{4,}-\d\d-\d\d$")]
    records: _Whole


class PurgeCertificate(_Document):
    """What was deleted, how many, by which policy."""

    KIND: ClassVar[str] = "purge"

    number: _Whole
    utc_us: Annotated[_Whole, Field(alias="t")]
    who: Annotated[_Text, Field(alias="by")]
    reason: Annotated[str, StringConstraints(strict=True, max_length=1_000), Field(alias="why")]
    rules: tuple[Rule, ...]
    expired_us: Annotated[_Whole | None, Field(alias="expired")] = None
    """Records whose own policy ended before this time were deleted, too."""
    policies: Annotated[dict[_Text, _Sha256] | None, Field()] = None
    """Signed policies of the station, and the hashes of their contents."""
    classes: tuple[PurgedClass, ...]
    records: _Whole
    pictures: _Whole
    days: tuple[PurgedDay, ...]
    """Partitions that were dropped whole."""
    held: _Whole
    """Records that a hold kept."""
    holds: tuple[_Whole, ...]
    """Holds in force."""
    ranges: _Sha256
    """SHA-256 of the deleted sequence numbers, as :func:`ranges_text` has them."""
    by_life: Annotated[Literal[True] | None, Field(alias="lives")] = None
    """True: the numbers are those of lives; None: of an earlier station, which named units only."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.classes and sum(found.records for found in self.classes) != self.records:
            raise ValueError("the classes do not add up to the records")
        return self


class HoldScope(_Part):
    """What a hold keeps: the records with these ids, of a plate, of a unit, or of a case."""

    ids: Annotated[tuple[_Id, ...], Field(max_length=MAX_HELD_IDS)] | None = None
    unit: _Unit | None = None
    plate: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=32)] | None = None
    """``*`` and ``?`` as in a search."""
    case: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64)] | None = None
    """Incidents with this case number, with their reads and hits."""
    since_us: Annotated[_Whole | None, Field(alias="since")] = None
    until_us: Annotated[_Whole | None, Field(alias="until")] = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if not (self.ids or self.plate or self.case or self.unit):
            raise ValueError("name records, a plate, a unit or a case")
        if (bool(self.ids) + bool(self.plate) + bool(self.case)) > 1:
            raise ValueError("name one of records, a plate and a case; place a hold for each")
        if self.since_us is not None and self.until_us is not None and self.until_us < self.since_us:
            raise ValueError("the period ends before it begins")
        return self

    def __str__(self) -> str:
        """For the audit trail."""
        told = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        return " ".join(f"{name}={','.join(v) if isinstance(v, list) else v}" for name, v in told.items())


class HoldStatement(_Document):
    """A legal hold as it was placed."""

    KIND: ClassVar[str] = "hold"

    number: _Whole
    utc_us: Annotated[_Whole, Field(alias="t")]
    who: Annotated[_Text, Field(alias="by")]
    case_number: Annotated[_Text, Field(alias="case")]
    reason: Annotated[_Text, Field(alias="why")]
    scope: HoldScope


class HoldRelease(_Document):
    """The release of a hold."""

    KIND: ClassVar[str] = "release"

    number: _Whole
    utc_us: Annotated[_Whole, Field(alias="t")]
    who: Annotated[_Text, Field(alias="by")]
    case_number: Annotated[_Text, Field(alias="case")]
    reason: Annotated[_Text, Field(alias="why")]


_Kind = TypeVar("_Kind", bound=_Document)


def parse_document(data: bytes, kind: type[_Kind]) -> _Kind:
    """Parse the bytes of a document.  Raises DocumentError."""
    try:
        told: Any = json.loads(data) if len(data) <= MAX_DOCUMENT_BYTES else None
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict) or (told.pop("v", None), told.pop("kind", None)) != (FORMAT, kind.KIND):
        raise DocumentError(f"not a {kind.KIND} of this format")
    try:
        found = kind.model_validate(told, by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise DocumentError(f"not a {kind.KIND}: {where}: {first['msg']}") from None
    if found.encode() != data:
        raise DocumentError(f"not a {kind.KIND}: not in its canonical form")
    return found


def document_hash(data: bytes) -> bytes:
    """Return the hash that the log has of a document."""
    return hashlib.sha256(data).digest()


def ranges_text(ranges: Iterable[tuple[str, bytes, int, int]], *, by_life: bool) -> bytes:
    """Return the deleted sequence numbers as their hash takes them, in order: ``UNIT LIFE FIRST LAST``.

    ``-`` stands for the life without an id.  Without ``by_life``: ``UNIT FIRST LAST``, as certificates had them before.
    """
    if by_life:
        lines = [f"{unit} {life.hex() or '-'} {first} {last}\n" for unit, life, first, last in sorted(ranges)]
    else:
        named = sorted((unit, first, last) for unit, _, first, last in ranges)
        lines = [f"{unit} {first} {last}\n" for unit, first, last in named]
    return "".join(lines).encode()
