"""Addresses of pages, and where a browser may be sent after a form."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.routing import Match

if TYPE_CHECKING:
    from starlette.requests import Request

API = "/api/"
"""Where the routes for programs begin."""
_OWN = re.compile(r"/(?:[A-Za-z0-9_][A-Za-z0-9_./-]*)?")


def own_path(wanted: str) -> str:
    """Return the path if it is one of this station, else the first page: nobody is sent to another site."""
    return wanted if _OWN.fullmatch(wanted) else "/"


def page_path(request: Request) -> str:
    """Return the path of the request if a browser can open it, else that of the nearest page above it.

    What a form is sent to is often no page: whoever was sent back to it would be refused.
    """
    path: str = request.scope["path"]
    while path and not _is_page(request, path):
        path = path.rpartition("/")[0]
    return own_path(path or "/")


def _is_page(request: Request, path: str) -> bool:
    asked = {**request.scope, "type": "http", "method": "GET", "path": path}
    return any(route.matches(asked)[0] is Match.FULL for route in request.app.router.routes)


def unit_path(unit: str) -> str:
    """Return the page of a unit."""
    return f"/units/{quote(unit, safe='')}"


def read_path(unit: str, record_id: bytes) -> str:
    """Return the page of a read."""
    return f"/reads/{quote(unit, safe='')}/{record_id.hex()}"


def hit_path(unit: str, hit_id: bytes) -> str:
    """Return the page of a hit."""
    return f"/hits/{quote(unit, safe='')}/{hit_id.hex()}"
