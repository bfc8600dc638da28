"""Hits as bytes, for the queue that survives a restart."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

from agent.errors import AgentError
from agent.hits.records import Hit  # noqa: TC001 - pydantic reads the types
from agent.hits.watch import Watched  # noqa: TC001 - pydantic reads the types
from agent.records import Picture  # noqa: TC001 - pydantic reads the types

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1
_BYTES = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants", extra="forbid")


class SavedHitError(AgentError, ValueError):
    """Bytes are not a saved hit of this version."""


@dataclass(frozen=True, slots=True)
class SavedHit:
    """A hit without its pictures, and the records of it that may not be in the outbox yet."""

    __pydantic_config__ = _BYTES

    format: int
    hit: Hit
    pending: tuple[bytes, ...] = ()
    """Encoded bodies; after a power cut they are appended again."""


@dataclass(frozen=True, slots=True)
class SavedPictures:
    """The pictures of a hit."""

    __pydantic_config__ = _BYTES

    format: int
    pictures: tuple[Picture, ...]


@dataclass(frozen=True, slots=True)
class SavedWatched:
    """The plates that officers watch for."""

    __pydantic_config__ = _BYTES

    format: int
    watched: tuple[Watched, ...]


_Saved = TypeVar("_Saved", SavedHit, SavedPictures, SavedWatched)
_HITS: TypeAdapter[SavedHit] = TypeAdapter(SavedHit)
_PICTURES: TypeAdapter[SavedPictures] = TypeAdapter(SavedPictures)
_WATCHED: TypeAdapter[SavedWatched] = TypeAdapter(SavedWatched)


def dump_hit(hit: Hit, pending: tuple[bytes, ...]) -> bytes:
    """Return a hit without its pictures as bytes."""
    return _HITS.dump_json(SavedHit(FORMAT, replace(hit, pictures=()), pending))


def load_hit(data: bytes) -> SavedHit:
    """Raises SavedHitError."""
    return _checked(_HITS, data)


def dump_pictures(pictures: tuple[Picture, ...]) -> bytes:
    """Return pictures as bytes."""
    return _PICTURES.dump_json(SavedPictures(FORMAT, pictures))


def load_pictures(data: bytes) -> tuple[Picture, ...]:
    """Raises SavedHitError."""
    return _checked(_PICTURES, data).pictures


def dump_watched(watched: Iterable[Watched]) -> bytes:
    """Return entries of officers as bytes."""
    return _WATCHED.dump_json(SavedWatched(FORMAT, tuple(watched)))


def load_watched(data: bytes) -> tuple[Watched, ...]:
    """Raises SavedHitError."""
    return _checked(_WATCHED, data).watched


def _checked(adapter: TypeAdapter[_Saved], data: bytes) -> _Saved:
    try:
        saved = adapter.validate_json(data)
    except ValidationError as error:
        raise SavedHitError(f"not a saved hit: {error.error_count()} mistakes") from None
    if saved.format != FORMAT:
        raise SavedHitError(f"format {saved.format}, this version reads {FORMAT}")
    return saved
