"""What a record's evidence says: the unit's signature, and its place in the chain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from protocol.seal.evidence import START, digest_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from protocol.seal.keys import VerifyKey
    from station.store import EvidenceRow


@dataclass(frozen=True, slots=True)
class RecordProof:
    """The state of one record's evidence; each part is one of a few words."""

    contents: str
    """``as signed``, ``altered``, or ``unsigned``: stored without evidence."""
    signature: str
    """``valid``, ``invalid``, ``key unknown``, or ``none``."""
    before: str
    """``continues``, ``begins``, ``broken``, ``missing``: the record before; ``none`` without evidence."""
    after: str
    """``continued``, ``broken``, ``latest``: the record after; ``none`` without evidence."""
    key_id: str = ""
    link: str = ""

    @property
    def is_right(self) -> bool:
        """True if nothing contradicts what the unit signed."""
        return (
            self.contents == "as signed"
            and self.signature == "valid"
            and "broken" not in {self.before, self.after}
        )


NO_PROOF = RecordProof("unsigned", "none", "none", "none")


def proof_of(
    seq: int, payload: bytes, near: Sequence[EvidenceRow], keys: Mapping[bytes, VerifyKey]
) -> RecordProof:
    """Examine a record's own row and its neighbours'; a unit that was written anew has used a number before."""
    own = next((row for row in near if row.evidence.seq == seq and row.record == payload), None)
    if own is None:
        return NO_PROOF
    evidence, salt = own.evidence, own.salt
    contents = "as signed" if salt is not None and digest_of(salt, payload) == evidence.digest else "altered"
    key = keys.get(evidence.key_id)
    signature = "key unknown" if key is None else "valid" if evidence.is_signed_by(key) else "invalid"
    previous = {row.evidence.link for row in near if row.evidence.seq == seq - 1}
    following = {row.evidence.prev for row in near if row.evidence.seq == seq + 1}
    if evidence.prev == START:
        before = "begins"
    elif not previous:
        before = "missing"
    else:
        before = "continues" if evidence.prev in previous else "broken"
    after = "latest" if not following else "continued" if following & {evidence.link, START} else "broken"
    return RecordProof(contents, signature, before, after, evidence.key_id.hex(), evidence.link.hex())
