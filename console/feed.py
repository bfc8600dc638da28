"""Reads the agent's feed and connects again for as long as the console runs."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING

from console.errors import FeedError

if TYPE_CHECKING:
    from pathlib import Path

    from console.hub import Hub
    from console.state import Document

MAX_LINE_BYTES = 4 * 1024 * 1024
SILENT_S = 10.0
"""A feed that is silent for so long is connected again: its heartbeats come every second."""
RETRY_S = 0.5
_LOG = logging.getLogger(__name__)


async def follow_feed(path: Path, hub: Hub) -> None:
    """Pass every document of the feed to the hub, for ever; connects again half a second after each failure."""
    told = False
    while True:
        try:
            await _read(path, hub)
            why = "the agent has closed it"
        except (OSError, FeedError, TimeoutError) as error:
            why = str(error) or type(error).__name__
        if hub.state.connected or not told:
            _LOG.warning("feed_lost path=%s reason=%s", path, why)
            told = True
        hub.lost_feed()
        await asyncio.sleep(RETRY_S)


async def _read(path: Path, hub: Hub) -> None:
    reader, writer = await asyncio.open_unix_connection(path, limit=MAX_LINE_BYTES)
    try:
        while line := await asyncio.wait_for(_line(reader), SILENT_S):
            hub.apply(parse_line(line))
    finally:
        writer.close()


async def _line(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.readline()
    except ValueError as error:  # asyncio's own for a line above the limit
        raise FeedError(f"the feed sent a line of more than {MAX_LINE_BYTES} bytes") from error


def parse_line(line: bytes) -> Document:
    """Decode one line; raises FeedError."""
    try:
        document = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise FeedError("the feed sent a line that is not JSON") from error
    if not isinstance(document, dict):
        raise FeedError("the feed sent a line that is not an object")
    return document


def _refuse(_: str) -> None:
    """NaN and infinity are no JSON, though Python reads them."""
    raise ValueError
