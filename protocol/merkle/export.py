"""An exported audit log: entries, checkpoints, countersignatures, documents; verified without station and network.

A file of msgpack maps: ``log/1``, then ``lognote/1``, ``logsign/1``, ``logdoc/1`` and ``logrange/1``, then either all
entries as ``logpart/1``, or some of them as ``logproof/1``.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from protocol.errors import WireError
from protocol.wire.codec import (
    MAX_ITEMS,
    U63,
    Message,
    Plain,
    Sha256,
    Text16,
    Text36,
    UnitId,
    decode_fields,
    encode,
    key,
    schema_of,
    unpack_each,
)
from protocol.wire.record import Life

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PART_ENTRIES = 512
_MAX_MAP_BYTES = 32 * 2**20
_Entry = Annotated[bytes, Field(strict=True, max_length=65_536)]
_Note = Annotated[bytes, Field(strict=True, max_length=4_096)]


class LogHeader(Message):
    """``log/1``: the header of an export."""

    SCHEMA: ClassVar[str] = "log/1"

    station: Annotated[Text36, key("sta")]
    utc_us: Annotated[U63, key("t")]
    size: Annotated[U63, key("n")]
    """Entries of the log when it was exported."""
    public_key: Annotated[Sha256 | None, key("pub")]
    """The log's raw public key; nil if there is none."""
    keys: Annotated[tuple[tuple[UnitId, Sha256], ...], Field(max_length=MAX_ITEMS), key("keys")]
    """Unit and raw public key."""


class LogNote(Message):
    """``lognote/1``: a signed checkpoint."""

    SCHEMA: ClassVar[str] = "lognote/1"

    note: Annotated[_Note, key("note")]


class LogSignature(Message):
    """``logsign/1``: a countersignature of a unit, or a checkpoint that a unit keeps against this log."""

    SCHEMA: ClassVar[str] = "logsign/1"

    unit: Annotated[UnitId, key("dev")]
    size: Annotated[U63, key("n")]
    line: Annotated[_Note, key("line")]
    """Empty: ``note`` is what the unit keeps."""
    note: Annotated[_Note, key("note")]


class LogDocument(Message):
    """``logdoc/1``: a certificate, hold or release."""

    SCHEMA: ClassVar[str] = "logdoc/1"

    kind: Annotated[Text16, key("kind")]
    data: Annotated[_Entry, key("data")]


class LogRange(Message):
    """``logrange/1``: sequence numbers whose contents a purge deleted."""

    SCHEMA: ClassVar[str] = "logrange/1"

    purge: Annotated[U63, key("p")]
    unit: Annotated[UnitId, key("dev")]
    ranges: Annotated[tuple[tuple[U63, U63], ...], Field(max_length=MAX_ITEMS), key("r")]
    life: Annotated[Life, key("life")] = b""


class LogPart(Message):
    """``logpart/1``: consecutive entries."""

    SCHEMA: ClassVar[str] = "logpart/1"

    first: Annotated[U63, key("n")]
    entries: Annotated[tuple[_Entry, ...], Field(max_length=PART_ENTRIES), key("e")]


class LogProof(Message):
    """``logproof/1``: one entry with the proof that the log of ``size`` entries has it."""

    SCHEMA: ClassVar[str] = "logproof/1"

    number: Annotated[U63, key("n")]
    entry: Annotated[_Entry, key("e")]
    size: Annotated[U63, key("size")]
    proof: Annotated[tuple[Sha256, ...], Field(max_length=64), key("prf")]


Row = LogNote | LogSignature | LogDocument | LogRange | LogPart | LogProof
_ROWS: tuple[type[Message], ...] = (LogNote, LogSignature, LogDocument, LogRange, LogPart, LogProof)


def write_log(out: IO[bytes], header: LogHeader, rows: Iterable[Row]) -> None:
    """Write an export."""
    out.write(encode(header))
    for row in rows:
        out.write(encode(row))


def parts_of(entries: Iterable[tuple[int, bytes]]) -> Iterator[LogPart]:
    """Join consecutive entries into parts; a missing number begins another part."""
    first, held = 0, list[bytes]()
    for number, entry in entries:
        if held and (number != first + len(held) or len(held) == PART_ENTRIES):
            yield LogPart(first=first, entries=tuple(held))
            held = []
        first = first if held else number
        held.append(entry)
    if held:
        yield LogPart(first=first, entries=tuple(held))


def is_log(file: IO[bytes]) -> bool:
    """True if a file begins as an exported log does; its position is restored."""
    place = file.tell()
    try:
        return schema_of(next(unpack_each(file, max_item_bytes=_MAX_MAP_BYTES))) == LogHeader.SCHEMA
    except (WireError, StopIteration):
        return False
    finally:
        file.seek(place)


def read_log(file: IO[bytes]) -> tuple[LogHeader, Iterator[Row]]:
    """Return the header and the rows, one at a time; raises WireError for anything but an export."""
    maps = unpack_each(file, max_item_bytes=_MAX_MAP_BYTES)
    first = next(maps, None)
    if first is None:
        raise WireError("the file is empty, not an exported log")
    return decode_fields(first, LogHeader), map(_row, maps)


def _row(fields: dict[str, Plain]) -> Row:
    found = decode_fields(fields, *_ROWS)
    if not isinstance(found, Row):
        raise AssertionError  # noqa: TRY004 - it is one of those
    return found
