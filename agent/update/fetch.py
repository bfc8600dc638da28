"""Updates as a kind of file: which offers are fetched, and where root expects the fetched file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.sync.transfer import FileKind, Want
from protocol.update.manifest import MAX_MANIFEST_BYTES, MAX_TOTAL_BYTES
from protocol.wire.control.transfer import UPDATE
from updater.release_state import INBOX, State, linked, read_state

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.wire.control.transfer import FileOffer

_HEADER_BYTES = 4096
"""Upper bound of the header before the manifest."""
MAX_UPDATE_BYTES = MAX_TOTAL_BYTES + MAX_MANIFEST_BYTES + _HEADER_BYTES


def update_kind(folder: Path, home: Path, *, free_only: bool) -> FileKind:
    """``folder`` is for fetched bytes, ``home`` has the releases; ``free_only``: see ``[update]``."""

    def wants(offer: FileOffer) -> Want:
        """Root decides whether it is installed; this only avoids fetching a file that would be refused."""
        running, committed = linked(home, "current"), linked(home, "committed")
        noted = read_state(home) or State()
        if running is None or offer.release <= noted.floor or offer.release in (running, *noted.failed):
            return Want.NO
        return Want.NOW if running == committed else Want.LATER

    return FileKind(UPDATE, folder, INBOX.name, MAX_UPDATE_BYTES, wants, free_only=free_only)
