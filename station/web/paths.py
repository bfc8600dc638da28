"""Where a browser may be sent after a form."""

from __future__ import annotations

import re

_OWN = re.compile(r"/(?:[A-Za-z0-9_][A-Za-z0-9_./-]*)?")


def own_path(wanted: str) -> str:
    """Return the path if it is one of this station, else the first page: nobody is sent to another site."""
    return wanted if _OWN.fullmatch(wanted) else "/"
