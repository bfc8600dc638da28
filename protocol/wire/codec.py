"""Strict msgpack, and messages declared once: bytes <-> frozen pydantic models.

Maps with string keys, no floats, no extension types; sizes and depths are limited.  For any bytes, only
:class:`~protocol.errors.WireError` is raised.  Encoded bytes are canonical: keys sorted, smallest integer forms.
"""

from __future__ import annotations

import hashlib
from typing import IO, TYPE_CHECKING, Annotated, Any, ClassVar, NoReturn, Self, TypeVar, overload

import msgpack
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from protocol.errors import UnknownSchemaError, WireError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

MAX_MESSAGE_BYTES = 65_536
"""Maximum size of a message."""
MAX_EXTRA_DEPTH = 4
"""Maximum nesting of values of unknown keys."""
MAX_ITEMS = 2_048
"""Maximum number of entries of an array or a map."""
MAX_STR_BYTES = 4_096
_MAX_NAME_CHARS = 64

I32_MAX = 2**31 - 1
I63_MAX = 2**63 - 1
U8_MAX = 2**8 - 1
U16_MAX = 2**16 - 1
U32_MAX = 2**32 - 1

Plain = None | bool | int | str | bytes | list["Plain"] | dict[str, "Plain"]
"""Values allowed in a message."""

# Strict: in Python a bool is an int, but not for a station written in another language.
U8 = Annotated[int, Field(strict=True, ge=0, le=U8_MAX)]
U16 = Annotated[int, Field(strict=True, ge=0, le=U16_MAX)]
U32 = Annotated[int, Field(strict=True, ge=0, le=U32_MAX)]
I32 = Annotated[int, Field(strict=True, ge=-I32_MAX, le=I32_MAX)]
I63 = Annotated[int, Field(strict=True, ge=-I63_MAX, le=I63_MAX)]
U63 = Annotated[int, Field(strict=True, ge=0, le=I63_MAX)]
Seq = Annotated[int, Field(strict=True, ge=1, le=I63_MAX)]
E4 = Annotated[int, Field(strict=True, ge=0, le=10_000)]
"""A probability times 10,000."""
Flag = Annotated[bool, Field(strict=True)]


def _not_bytes(value: object) -> object:
    if isinstance(value, bytes):
        raise ValueError("must be a string, not bytes")  # noqa: TRY004 - pydantic takes ValueError alone
    return value


NAMED = BeforeValidator(_not_bytes)
"""Used with every enumeration: pydantic would accept a value's bytes, which would then be encoded as a string."""
_PRINTABLE = r"^(?:[^\p{C}\p{Z}]| )*$"
Text16 = Annotated[str, StringConstraints(strict=True, max_length=16, pattern=_PRINTABLE)]
Text32 = Annotated[str, StringConstraints(strict=True, max_length=32, pattern=_PRINTABLE)]
Text36 = Annotated[str, StringConstraints(strict=True, max_length=36, pattern=_PRINTABLE)]
Text64 = Annotated[str, StringConstraints(strict=True, max_length=64, pattern=_PRINTABLE)]
Text128 = Annotated[str, StringConstraints(strict=True, max_length=128, pattern=_PRINTABLE)]
Text256 = Annotated[str, StringConstraints(strict=True, max_length=256, pattern=_PRINTABLE)]
Text512 = Annotated[str, StringConstraints(strict=True, max_length=512, pattern=_PRINTABLE)]
Name32 = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=32, pattern=_PRINTABLE)]
Name64 = Annotated[str, StringConstraints(strict=True, min_length=1, max_length=64, pattern=_PRINTABLE)]
UnitId = Annotated[str, StringConstraints(strict=True, pattern=r"^[A-Za-z0-9_-]{1,36}$")]
KeyId = Annotated[bytes, Field(strict=True, min_length=8, max_length=8)]
Id16 = Annotated[bytes, Field(strict=True, min_length=16, max_length=16)]
Sha256 = Annotated[bytes, Field(strict=True, min_length=32, max_length=32)]
Signature = Annotated[bytes, Field(strict=True, min_length=64, max_length=64)]


def key(name: str) -> FieldInfo:
    """Return the annotation of a field's key on the wire, for use in ``Annotated``."""
    found: FieldInfo = Field(validation_alias=name, serialization_alias=name)
    return found


class Part(BaseModel):
    """A map inside a message.  Unknown keys are kept and encoded again."""

    model_config = ConfigDict(frozen=True, extra="allow", validate_by_name=True, validate_by_alias=True)

    @model_validator(mode="after")
    def _check_unknown(self) -> Self:
        for name, value in (self.__pydantic_extra__ or {}).items():
            _check_plain(name, value, 0)
        return self


class Message(Part):
    """A map with a schema id under ``v``.

    A field with a default is optional on the wire for ever, and left out at its default: bytes of earlier versions
    decode, and encode to the same bytes.
    """

    SCHEMA: ClassVar[str]


class ClosedMessage(Message):
    """A message all of whose keys are covered by a seal or a signature: unknown ones are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_by_name=True, validate_by_alias=True)


_Message = TypeVar("_Message", bound=Message)
_A = TypeVar("_A", bound=Message)
_B = TypeVar("_B", bound=Message)
_C = TypeVar("_C", bound=Message)
_Model = TypeVar("_Model", bound=BaseModel)


def pack(fields: dict[str, Plain]) -> bytes:
    """Return canonical bytes."""
    packed: bytes = msgpack.packb(_sorted(fields))
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
        raise WireError(f"not valid msgpack of this protocol: {exc!s:.120}") from exc
    return _only_map(decoded)


def unpack_each(
    file: IO[bytes], *, max_item_bytes: int, read_bytes: int = MAX_MESSAGE_BYTES
) -> Iterator[dict[str, Plain]]:
    """Decode a file of consecutive maps, by the rules of :func:`unpack`; keeps one map and one block in memory.

    Raises WireError for an invalid map, for one of more than ``max_item_bytes``, and for a file that ends inside one;
    OSError from the file.
    """
    unpacker = msgpack.Unpacker(max_buffer_size=max_item_bytes + read_bytes, **_STRICT)
    read, done = 0, 0
    while block := file.read(read_bytes):
        read += len(block)
        try:
            unpacker.feed(block)
            while True:
                item = _only_map(unpacker.unpack())
                # ``tell`` counts whole items only here: after OutOfData it is somewhere inside the next one.
                start, done = done, unpacker.tell()
                _check_size(done - start, max_item_bytes)
                yield item
        except msgpack.OutOfData:
            _check_size(read - done, max_item_bytes)
        except WireError:
            raise
        except _REFUSALS as exc:
            raise WireError(f"at byte {done}: not valid msgpack of this protocol: {exc!s:.120}") from exc
    if read > done:
        raise WireError(f"the file ends in the middle of a record: {read - done} bytes are left")


def _check_size(size_bytes: int, max_item_bytes: int) -> None:
    if size_bytes > max_item_bytes:
        raise WireError(f"an item of {size_bytes} bytes or more is larger than {max_item_bytes}")


def fields_of(part: Part) -> dict[str, Plain]:
    """Return a message's keys and values, without the schema id."""
    return part.model_dump(by_alias=True, exclude_defaults=True)


def encode(message: Message) -> bytes:
    """Return canonical bytes."""
    return pack({**fields_of(message), "v": message.SCHEMA})


@overload
def decode(payload: bytes, model: type[_A], /) -> _A: ...
@overload
def decode(payload: bytes, a: type[_A], b: type[_B], /) -> _A | _B: ...
@overload
def decode(payload: bytes, a: type[_A], b: type[_B], c: type[_C], /) -> _A | _B | _C: ...
def decode(payload: bytes, /, *models: type[Message]) -> Message:
    """Decode a message of one of these models.

    Raises UnknownSchemaError for a message of another schema, WireError for anything else that is wrong.
    """
    return decode_fields(unpack(payload), *models)


def decode_fields(fields: dict[str, Plain], *models: type[_Message]) -> _Message:
    """As :func:`decode`, of a map that is unpacked already."""
    schema = schema_of(fields)
    for model in models:
        if schema == model.SCHEMA:
            return validate(model, {name: value for name, value in fields.items() if name != "v"}, schema)
    raise UnknownSchemaError(f"schema {schema!r} is not one of {', '.join(sorted(m.SCHEMA for m in models))}")


def schema_of(fields: dict[str, Plain]) -> str:
    """Return the schema id of an unpacked message; raises WireError if there is none."""
    schema = fields.get("v")
    if not isinstance(schema, str) or not 0 < len(schema) <= _MAX_NAME_CHARS // 2 or not schema.isprintable():
        raise WireError("message.v: must be a schema id, 1 to 32 printable characters")
    return schema


def validate(model: type[_Model], fields: dict[str, Plain], where: str) -> _Model:
    """Check unpacked keys and values; raises WireError naming the first that is invalid."""
    try:
        return model.model_validate(fields, by_alias=True, by_name=False)
    except ValidationError as error:
        raise WireError(f"{where}{_explain(error)}") from None


def payload_ref(payload: bytes) -> bytes:
    """Return the reference of a payload in a nack: its SHA-256."""
    return hashlib.sha256(payload).digest()


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    if isinstance(value, list | tuple):
        return [_sorted(item) for item in value]
    return value


def _no_extension(code: int, _: bytes) -> NoReturn:
    raise WireError(f"extension type {code} is not part of this protocol")


def _unique(pairs: list[tuple[object, Plain]]) -> dict[str, Plain]:
    found: dict[str, Plain] = {}
    for name, value in pairs:
        if not isinstance(name, str):
            raise WireError(f"map key of type {type(name).__name__}, not a string")
        if name in found:
            raise WireError(f"map key {name[:32]!r} is duplicated")
        found[name] = value
    return found


_STRICT: dict[str, Any] = {
    "raw": False,
    "strict_map_key": True,
    "ext_hook": _no_extension,
    "object_pairs_hook": _unique,
    "max_str_len": MAX_STR_BYTES,
    "max_bin_len": MAX_MESSAGE_BYTES,
    "max_array_len": MAX_ITEMS,
    "max_map_len": MAX_ITEMS,
    "max_ext_len": 0,
}
_REFUSALS = (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException)
"""What msgpack raises for invalid bytes."""


def _only_map(decoded: object) -> dict[str, Plain]:
    if not isinstance(decoded, dict):
        raise WireError(f"message is a {type(decoded).__name__}, not a map")
    return decoded


def _check_plain(name: str, value: object, depth: int) -> None:
    """Unknown keys must follow the rules of the wire as well; raises ValueError, as pydantic's validators do."""
    if depth > MAX_EXTRA_DEPTH:
        raise ValueError(f"key {_shown(name)} is nested deeper than {MAX_EXTRA_DEPTH}")
    if isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            _check_plain(name, item, depth + 1)
    elif not (value is None or isinstance(value, bool | int | str | bytes)):
        raise ValueError(f"key {_shown(name)} holds a {type(value).__name__}")


def _explain(error: ValidationError) -> str:
    """The first error, without the value: it may be a plate text or arbitrary bytes."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{_shown(part)}" for part in first["loc"])
    return f"{path}: {first['msg']}"


def _shown(name: str) -> str:
    """The text goes into a nack: an unknown key must not make it unprintable or too long."""
    return name if name.isprintable() and len(name) <= _MAX_NAME_CHARS else repr(name[:_MAX_NAME_CHARS])
