"""The page's own files, held in memory: they are few, small, and read once."""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse, Response

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request


@dataclass(frozen=True, slots=True)
class _File:
    data: bytes
    media_type: str
    etag: str


class StaticFiles:
    """Route for the files of a folder.  Others than those that were there at the start do not exist for it."""

    def __init__(self, folder: Path) -> None:
        self._files = {
            path.relative_to(folder).as_posix(): _file(path) for path in folder.rglob("*") if path.is_file()
        }

    async def answer(self, request: Request) -> Response:
        """Return the file; 304 if the browser has it."""
        file = self._files.get(request.path_params["path"])
        if file is None:
            return PlainTextResponse("no such file", 404)
        # Checked each time: after an update of the unit, page and scripts belong together.
        headers = {"etag": file.etag, "cache-control": "no-cache"}
        if request.headers.get("if-none-match") == file.etag:
            return Response(status_code=304, headers=headers)
        return Response(file.data, media_type=file.media_type, headers=headers)


def _file(path: Path) -> _File:
    data = path.read_bytes()
    kind = "text/javascript" if path.suffix == ".js" else mimetypes.guess_type(path.name)[0]
    return _File(data, kind or "application/octet-stream", f'"{hashlib.sha256(data).hexdigest()[:32]}"')
