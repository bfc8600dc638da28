"""The roster on the unit: verified when it arrives, and again at each start."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from agent.sync.transfer import FileKind, FileRefusedError, Want
from protocol.errors import PatrolError
from protocol.roster.envelope import KIND, MAX_FILE_BYTES, verify_roster
from protocol.seal.keys import VerifyKey
from protocol.signed_file import refuse_unless_newer

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from protocol.roster.envelope import SignedRoster
    from protocol.wire.control.transfer import FileOffer

_LOG = structlog.get_logger(__name__)
FOLDER = "roster"
FILE_NAME = "roster.signed"


class RosterFile:
    """The installed roster of one unit."""

    def __init__(self, state_dir: Path, key: Path, unit: str) -> None:
        """``key`` is the agency's public key; without the file no roster is accepted.  Raises KeyFileError."""
        self._folder = state_dir / FOLDER
        self._unit = unit
        self._keys = VerifyKey.load_all(key) if key.exists() else []

    @property
    def path(self) -> Path:
        """Where the roster is."""
        return self._folder / FILE_NAME

    def load(self) -> SignedRoster | None:
        """Return the installed roster, verified; None if there is none, or it cannot be used."""
        try:
            with self.path.open("rb") as file:
                found = verify_roster(file, self._keys)
        except FileNotFoundError:
            return None
        except (OSError, PatrolError) as error:
            _LOG.error("roster_unusable", file=str(self.path), reason=str(error))
            return None
        if not found.header.is_for(self._unit):
            _LOG.error("roster_unusable", file=str(self.path), reason=f"it is not for {self._unit}")
            return None
        return found

    def kind(
        self, floor: Callable[[], int], now_s: Callable[[], float | None], on_installed: Callable[[], None]
    ) -> FileKind | None:
        """Return the kind of file to fetch from the station; None without a key.

        ``floor`` returns the highest version that was ever installed here.
        """
        if not self._keys:
            return None

        def wants(offer: FileOffer) -> Want:
            """Avoids fetching what would be refused: offers are not signed."""
            return Want.NOW if offer.release > floor() else Want.NO

        def verify(path: Path) -> None:
            try:
                with path.open("rb") as file:
                    found = verify_roster(file, self._keys)
                refuse_unless_newer(found.header, unit=self._unit, in_force=floor(), now_s=now_s())
            except PatrolError as error:
                raise FileRefusedError(str(error)) from error

        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return FileKind(
            KIND,
            self._folder,
            FILE_NAME,
            MAX_FILE_BYTES,
            wants,
            verify=verify,
            on_installed=lambda _: on_installed(),
        )
