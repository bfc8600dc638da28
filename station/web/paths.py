"""Addresses of pages, and where a browser may be sent after a form."""

from __future__ import annotations

import re
from urllib.parse import quote

_OWN = re.compile(r"/(?:[A-Za-z0-9_][A-Za-z0-9_./-]*)?")


def own_path(wanted: str) -> str:
    """Return the path if it is one of this station, else the first page: nobody is sent to another site."""
    return wanted if _OWN.fullmatch(wanted) else "/"


def unit_path(unit: str) -> str:
    """Return the page of a unit."""
    return f"/units/{quote(unit, safe='')}"


def read_path(unit: str, record_id: bytes) -> str:
    """Return the page of a read."""
    return f"/reads/{quote(unit, safe='')}/{record_id.hex()}"


def hit_path(unit: str, hit_id: bytes) -> str:
    """Return the page of a hit."""
    return f"/hits/{quote(unit, safe='')}/{hit_id.hex()}"
