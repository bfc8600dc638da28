"""Signed files to a unit: offers and bytes from the station, requests and reports from the unit.

The unit requests bytes, one message at a time, when nothing else waits to be sent.  Updates of the software are the
first kind of file; docs/wire-format.md has the keys.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from protocol.wire.codec import NAMED, U32, U63, Id16, Message, Sha256, Text16, Text512, UnitId, key
from protocol.wire.enums import UpdateState

MAX_PART_BYTES = 32_768
MAX_PARTS = 8
UPDATE = "update"
"""The first kind of file: updates of software, models, configuration."""


class FileOffer(Message):
    """``offer/1``, retained: a file of the station for a unit."""

    SCHEMA: ClassVar[str] = "offer/1"

    unit: Annotated[UnitId, key("dev")]
    release: Annotated[int, Field(strict=True, ge=1, le=2**32 - 1), key("rel")]
    """Number of the file's version; the unit keeps the highest."""
    sha256: Annotated[Sha256, key("sha")]
    """SHA-256 of the whole file."""
    size_bytes: Annotated[int, Field(strict=True, ge=1, le=2**63 - 1), key("len")]
    attempt: Annotated[U32, key("try")]
    """Rises when the same file is offered again."""
    parts: Annotated[tuple[Text16, ...], Field(max_length=MAX_PARTS), key("parts")]
    """The parts that it changes."""
    kind: Annotated[Text16, key("kind")] = UPDATE
    """Kind of file; each kind has its own offer, on its own topic."""


class FilePart(Message):
    """``part/1``: some bytes of an offered file."""

    SCHEMA: ClassVar[str] = "part/1"

    unit: Annotated[UnitId, key("dev")]
    sha256: Annotated[Sha256, key("sha")]
    offset: Annotated[U63, key("off")]
    data: Annotated[bytes, Field(strict=True, min_length=1, max_length=MAX_PART_BYTES), key("data")]


class ChunkRequest(Message):
    """``want/1``: the unit requests the bytes from ``offset`` on."""

    SCHEMA: ClassVar[str] = "want/1"

    unit: Annotated[UnitId, key("dev")]
    boot_id: Annotated[Id16, key("boot")]
    sha256: Annotated[Sha256, key("sha")]
    offset: Annotated[U63, key("off")]


class UpdateReport(Message):
    """``reported/1``: what the unit runs, and the state of the latest update."""

    SCHEMA: ClassVar[str] = "reported/1"

    unit: Annotated[UnitId, key("dev")]
    boot_id: Annotated[Id16, key("boot")]
    running: Annotated[U32, key("run")]
    committed: Annotated[U32, key("com")]
    release: Annotated[U32, key("rel")]
    """The release of the update that state and reason are about; 0 for none."""
    state: Annotated[UpdateState, NAMED, key("state")]
    reason: Annotated[Text512, key("why")]
    fetched_bytes: Annotated[U63, key("got")]
    config_sha256: Annotated[Sha256, key("cfg")]
    """SHA-256 of the effective configuration."""
