"""The file of what a technician set: rotation and mask of each camera; replaced as a whole."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated

import structlog
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from agent.buffer.mark import write_durably
from hw.ports import Mounting

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_LOG = structlog.get_logger(__name__)
FILE_NAME = "mountings.json"
MAX_CORNERS = 32
Share = Annotated[float, Field(ge=0, le=1, strict=False)]
Polygon = Annotated[tuple[Annotated[tuple[Share, Share], Field()], ...], Field(max_length=MAX_CORNERS)]


class _Camera(BaseModel):
    model_config = ConfigDict(frozen=True)

    rotate: Annotated[int, Field(ge=0, le=270, multiple_of=90)] | None = None
    polygon: Polygon = ()


class _Document(BaseModel):
    cameras: dict[str, _Camera] = {}


class MountFile:
    """One file in the state folder."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def load(self) -> dict[str, Mounting]:
        """Return what was set, by camera; nothing, and a log line, if the file cannot be used."""
        try:
            document = _Document.model_validate_json(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            what = error.strerror if isinstance(error, OSError) else "not a file of mountings"
            _LOG.error("mountings_unreadable", file=str(self._path), reason=what)
            return {}
        return {name: Mounting(camera.rotate, camera.polygon) for name, camera in document.cameras.items()}

    def save(self, mountings: Mapping[str, Mounting]) -> None:
        """Replace the file.  Raises OSError."""
        cameras = {name: {"rotate": one.rotate, "polygon": one.polygon} for name, one in mountings.items()}
        write_durably(self._path, json.dumps({"cameras": cameras}).encode(), mode=0o600)
