"""``chunk/1``: some bytes of a picture."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from protocol.wire.codec import NAMED, U32, Id16, Message, Sha256, UnitId, key
from protocol.wire.enums import PictureKind

MAX_CHUNK_BYTES = 32_768


class PictureChunk(Message):
    """Some bytes of a picture."""

    SCHEMA: ClassVar[str] = "chunk/1"

    unit: Annotated[UnitId, key("dev")]
    boot_id: Annotated[Id16, key("boot")]
    read_id: Annotated[Id16, key("rid")]
    kind: Annotated[PictureKind, NAMED, key("kind")]
    sha256: Annotated[Sha256, key("sha")]
    total_bytes: Annotated[int, Field(strict=True, ge=1, le=2**32 - 1), key("len")]
    offset: Annotated[U32, key("off")]
    data: Annotated[bytes, Field(strict=True, min_length=1, max_length=MAX_CHUNK_BYTES), key("data")]

    @model_validator(mode="after")
    def _within(self) -> Self:
        if self.offset + len(self.data) > self.total_bytes:
            raise ValueError("off and data exceed len")
        return self
