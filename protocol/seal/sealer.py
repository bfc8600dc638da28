"""The unit's side: sign, chain, seal.  The unit itself cannot read the result back."""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict
from dataclasses import replace
from typing import TYPE_CHECKING

from protocol.seal.envelope import seal_picture, seal_record
from protocol.seal.evidence import SALT_BYTES, START, sign
from protocol.seal.head import sign_head

if TYPE_CHECKING:
    from collections.abc import Callable

    from protocol.seal.head import HeadState
    from protocol.seal.keys import SigningKey, StationKey

_KEPT_PICTURES = 4


class Sealer:
    """Used by one thread.  Has no state of the chain: that is stored with the records, in their transaction."""

    def __init__(
        self,
        unit: str,
        own: SigningKey,
        station: StationKey,
        *,
        random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        self._unit = unit
        self._own = own
        self._station = station
        self._random_bytes = random_bytes
        self._pictures: OrderedDict[bytes, tuple[bytes, bytes]] = OrderedDict()
        """The latest pictures by hash: two plates in one frame share its overview, which should be sent once."""

    def record(self, seq: int, record_id: bytes, record: bytes, prev: bytes) -> tuple[bytes, bytes]:
        """Return ``sealed/1`` and the link for the next record; ``prev`` is empty where a chain begins."""
        salt = self._random_bytes(SALT_BYTES)
        signed, link = sign(self._own, self._unit, seq, prev or START, record=record, salt=salt)
        return seal_record(self._station, self._unit, seq, record_id, signed), link

    def head(self, state: HeadState) -> bytes:
        """Return ``head/1``; may be called by any thread.  ``link`` is empty before the first record."""
        return sign_head(self._own, self._unit, state if state.link else replace(state, link=START))

    def picture(self, sha256: bytes, jpeg: bytes) -> tuple[bytes, bytes]:
        """Return the hash and the bytes of the sealed picture."""
        known = self._pictures.get(sha256)
        if known is None:
            blob = seal_picture(self._station, jpeg)
            known = self._pictures[sha256] = (hashlib.sha256(blob).digest(), blob)
            while len(self._pictures) > _KEPT_PICTURES:
                self._pictures.popitem(last=False)
        return known
