"""Texts that no table of the station can have: refused before a route sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import Depends, Request
from starlette.datastructures import UploadFile

from station.web.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable

_NUL = "\0"
FORMS = frozenset({"application/x-www-form-urlencoded", "multipart/form-data"})
_JSON = "json"


async def refuse_bad_texts(request: Request) -> None:
    """Look at every text of the address and of the body; runs before every route.

    PostgreSQL cannot store NUL, and UTF-8 has no half characters.  A file that is uploaded is for its route to read.
    Raises RefusedError.
    """
    _check((request.url.path, *request.path_params.values()))
    _check(text for pair in request.query_params.multi_items() for text in pair)
    if request.method in {"GET", "HEAD"}:
        return
    kind = content_kind(request)
    if kind in FORMS:
        for name, value in (await request.form()).multi_items():
            _check((name, value.filename if isinstance(value, UploadFile) else value))
    elif kind.endswith(_JSON):
        _check(_texts_of(await _json_of(request)))


def content_kind(request: Request) -> str:
    """Return the media type of the body, without its parameters."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def is_storable(text: str) -> bool:
    """True if every store can have this text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return _NUL not in text


def _check(values: Iterable[object]) -> None:
    if not all(is_storable(value) for value in values if isinstance(value, str)):
        raise RefusedError(400, "text", "a text has a NUL character or half of a character: leave it out")


SAFE_TEXTS = [Depends(refuse_bad_texts)]
"""For the router of every page."""


async def _json_of(request: Request) -> Any:
    try:
        return await request.json()
    except (ValueError, RecursionError):
        return None  # no JSON: its route refuses it


def _texts_of(told: Any) -> Iterable[str]:
    waiting = [told]
    while waiting:
        match waiting.pop():
            case str() as text:
                yield text
            case dict() as members:
                waiting += [*members, *members.values()]
            case list() as items:
                waiting += items
