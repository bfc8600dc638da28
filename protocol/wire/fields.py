"""Strict msgpack: maps with string keys, no floats, no extension types, bounded in every direction.

Bytes from the network are guilty until proven otherwise: whatever comes in, the only exception that leaves here is
:class:`~agent.errors.WireError`.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any, NoReturn

import msgpack

from protocol.errors import WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MESSAGE_BYTES = 65_536
"""No message of this protocol is larger."""
MAX_EXTRA_DEPTH = 4
MAX_ITEMS = 2_048
"""No array or map of this protocol has more."""
_MAX_STR_BYTES = 4_096
_MAX_NAMED = 64

U8 = 2**8 - 1
U16 = 2**16 - 1
U32 = 2**32 - 1
I32 = 2**31 - 1
I63 = 2**63 - 1

Plain = None | bool | int | str | bytes | list["Plain"] | dict[str, "Plain"]
"""What a message may be made of."""


def pack(fields: dict[str, Plain], extra: bytes = b"") -> bytes:
    """Return canonical bytes: keys sorted, smallest integer forms.

    Maps inside ``fields`` must already be sorted.  ``extra`` is a packed map of keys this version does not know,
    as :meth:`Fields.extra` returned it.
    """
    if extra:
        fields = {**unpack(extra), **fields}
    packed: bytes = msgpack.packb({key: fields[key] for key in sorted(fields)})
    return packed


def unpack(payload: bytes) -> dict[str, Plain]:
    """Decode one map with string keys; raises WireError for anything else."""
    if len(payload) > MAX_MESSAGE_BYTES:
        raise WireError(f"message of {len(payload)} bytes is larger than {MAX_MESSAGE_BYTES}")
    try:
        decoded = msgpack.unpackb(payload, **_STRICT)
    except WireError:
        raise
    except _REFUSALS as exc:
        raise WireError(f"not msgpack we take: {exc!s:.120}") from exc
    return _only_map(decoded)


def unpack_each(
    file: IO[bytes], *, max_item_bytes: int, read_bytes: int = MAX_MESSAGE_BYTES
) -> Iterator[dict[str, Plain]]:
    """Decode a file of maps one after the other, by the rules of :func:`unpack`; holds one map and one block at a time.

    Raises WireError for what is no such map, for one of more than ``max_item_bytes``, and for a file that ends inside
    one; OSError from the file.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=max_item_bytes + read_bytes, **_STRICT)
    read, done = 0, 0
    while block := file.read(read_bytes):
        read += len(block)
        try:
            unpacker.feed(block)
            while True:
                item = _only_map(unpacker.unpack())
                # ``tell`` counts whole items only here: after OutOfData it stands somewhere inside the next one.
                start, done = done, unpacker.tell()
                _check_size(done - start, max_item_bytes)
                yield item
        except msgpack.OutOfData:
            _check_size(read - done, max_item_bytes)
        except WireError:
            raise
        except _REFUSALS as exc:
            raise WireError(f"at byte {done}: not msgpack we take: {exc!s:.120}") from exc
    if read > done:
        raise WireError(f"the file ends in the middle of a record: {read - done} bytes are left over")


def _check_size(size_bytes: int, max_item_bytes: int) -> None:
    if size_bytes > max_item_bytes:
        raise WireError(f"an item of {size_bytes} bytes or more is larger than {max_item_bytes}")


def _only_map(decoded: object) -> dict[str, Plain]:
    if not isinstance(decoded, dict):
        raise WireError(f"message is a {type(decoded).__name__}, not a map")
    return decoded


def schema_of(payload: bytes) -> str:
    """Return the schema id of a message; raises WireError for what is none."""
    return Fields(unpack(payload), "message").text("v", 16)


def _no_extension(code: int, _: bytes) -> NoReturn:
    raise WireError(f"extension type {code} is not part of this protocol")


def _unique(pairs: list[tuple[object, Plain]]) -> dict[str, Plain]:
    found: dict[str, Plain] = {}
    for key, value in pairs:
        if not isinstance(key, str):
            raise WireError(f"map key of type {type(key).__name__}, not a string")
        if key in found:
            raise WireError(f"map key {key[:32]!r} comes twice")
        found[key] = value
    return found


_STRICT: dict[str, Any] = {
    "raw": False,
    "strict_map_key": True,
    "ext_hook": _no_extension,
    "object_pairs_hook": _unique,
    "max_str_len": _MAX_STR_BYTES,
    "max_bin_len": MAX_MESSAGE_BYTES,
    "max_array_len": MAX_ITEMS,
    "max_map_len": MAX_ITEMS,
    "max_ext_len": 0,
}
_REFUSALS = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)
"""What msgpack raises for bytes that it does not take."""


class Fields:
    """Takes the fields of one map one after the other, checking type and range; what is left over is ``extra``."""

    def __init__(self, fields: dict[str, Plain], where: str) -> None:
        self._left = dict(fields)
        self._where = where

    def fail(self, key: str, wrong: str) -> NoReturn:
        """Raise WireError naming the field."""
        # The text goes into a nack, so a stranger's key must not make it unprintable or endless.
        name = key if key.isprintable() and len(key) <= _MAX_NAMED else repr(key[:_MAX_NAMED])
        raise WireError(f"{self._where}.{name} {wrong}")

    def _take(self, key: str) -> Plain:
        try:
            return self._left.pop(key)
        except KeyError:
            self.fail(key, "is missing")

    def integer(self, key: str, low: int, high: int) -> int:
        """Take an integer within ``low..high``."""
        return self._integer(key, self._take(key), low, high)

    def _integer(self, key: str, value: Plain, low: int, high: int) -> int:
        # A bool is an int to Python, but not to a station written in another language.
        if not isinstance(value, int) or isinstance(value, bool):
            self.fail(key, f"is a {type(value).__name__}, not an integer")
        if not low <= value <= high:
            self.fail(key, f"is {value}, outside {low}..{high}")
        return value

    def optional_integer(self, key: str, low: int, high: int) -> int | None:
        """Take an integer within ``low..high``, or nil."""
        value = self._take(key)
        return None if value is None else self._integer(key, value, low, high)

    def flag(self, key: str) -> bool:
        """Take a boolean."""
        value = self._take(key)
        if not isinstance(value, bool):
            self.fail(key, f"is a {type(value).__name__}, not a boolean")
        return value

    def text(self, key: str, limit: int, *, least: int = 0) -> str:
        """Take a string of ``least`` to ``most`` characters."""
        return self._text(key, self._take(key), limit, least)

    def _text(self, key: str, value: Plain, limit: int, least: int = 0) -> str:
        if not isinstance(value, str):
            self.fail(key, f"is a {type(value).__name__}, not a string")
        if not least <= len(value) <= limit:
            self.fail(key, f"has {len(value)} characters, must have {least}..{limit}")
        if not value.isprintable():
            self.fail(key, "holds unprintable characters")
        return value

    def binary(self, key: str, least: int, limit: int) -> bytes:
        """Take ``least`` to ``most`` bytes."""
        value = self._take(key)
        if not isinstance(value, bytes):
            self.fail(key, f"is a {type(value).__name__}, not bytes")
        if not least <= len(value) <= limit:
            self.fail(key, f"has {len(value)} bytes, must have {least}..{limit}")
        return value

    def optional_binary(self, key: str, least: int, limit: int) -> bytes | None:
        """Take ``least`` to ``most`` bytes, or nil."""
        if self._left.get(key, b"") is None:
            del self._left[key]
            return None
        return self.binary(key, least, limit)

    def array(self, key: str, least: int, limit: int) -> list[Plain]:
        """Take an array of ``least`` to ``most`` items."""
        return self._array(key, self._take(key), least, limit)

    def _array(self, key: str, value: Plain, least: int, limit: int) -> list[Plain]:
        if not isinstance(value, list):
            self.fail(key, f"is a {type(value).__name__}, not an array")
        if not least <= len(value) <= limit:
            self.fail(key, f"has {len(value)} items, must have {least}..{limit}")
        return value

    def texts(self, key: str, max_items: int, max_chars: int) -> tuple[str, ...]:
        """Take an array of strings."""
        return tuple(self._text(key, item, max_chars) for item in self.array(key, 0, max_items))

    def integers(self, key: str, count: int, low: int, high: int) -> tuple[int, ...]:
        """Take an array of exactly ``count`` integers."""
        return tuple(self._integer(key, item, low, high) for item in self.array(key, count, count))

    def rows(self, key: str, limit: int, width: int) -> Iterator[Fields]:
        """Take an array of small arrays; each comes as fields named ``0``, ``1`` ..."""
        for index, item in enumerate(self.array(key, 0, limit)):
            cells = self._array(key, item, width, width)
            yield Fields({str(n): cell for n, cell in enumerate(cells)}, f"{self._where}.{key}[{index}]")

    def submap(self, key: str) -> Fields:
        """Take a map."""
        value = self._take(key)
        if not isinstance(value, dict):
            self.fail(key, f"is a {type(value).__name__}, not a map")
        return Fields(value, f"{self._where}.{key}")

    def submaps(self, key: str, limit: int) -> Iterator[Fields]:
        """Take an array of maps."""
        for index, item in enumerate(self.array(key, 0, limit)):
            if not isinstance(item, dict):
                self.fail(key, f"[{index}] is a {type(item).__name__}, not a map")
            yield Fields(item, f"{self._where}.{key}[{index}]")

    def numbers(self, key: str, limit: int) -> tuple[tuple[str, int], ...]:
        """Take a map of names to integers, sorted by name."""
        value = self._take(key)
        if not isinstance(value, dict):
            self.fail(key, f"is a {type(value).__name__}, not a map")
        if len(value) > limit:
            self.fail(key, f"has {len(value)} entries, at most {limit}")
        return tuple(
            (self._text(key, name, 64, 1), self._integer(key, number, -I63, I63))
            for name, number in sorted(value.items())
        )

    def finish(self) -> None:
        """Refuse what nobody took: in a sealed or signed map every key must be covered."""
        for key in self._left:
            self.fail(key, "is not part of this schema")

    def extra(self) -> bytes:
        """Pack what nobody took, so that a newer sender's keys survive; empty when there is none."""
        if not self._left:
            return b""
        return pack({key: self._kept(key, value, 0) for key, value in self._left.items()})

    def _kept(self, key: str, value: Plain, depth: int) -> Plain:
        """Check an unknown value and sort its maps: bounded depth and no floats hold for the future as well."""
        if depth > MAX_EXTRA_DEPTH:
            self.fail(key, f"is nested deeper than {MAX_EXTRA_DEPTH}")
        if value is None or isinstance(value, (bool, int, str, bytes)):
            return value
        if isinstance(value, list):
            return [self._kept(key, item, depth + 1) for item in value]
        if not isinstance(value, dict):
            self.fail(key, f"is a {type(value).__name__}")
        return {name: self._kept(key, value[name], depth + 1) for name in sorted(value)}
