"""The keyed hash of a plate: the same plate gives the same hash, and nobody without the key can try plates.

HMAC-SHA256 (RFC 2104), 16 bytes.  Without a key the hash would be worthless: all plates there are can be hashed in
seconds.
"""

from __future__ import annotations

import hashlib
import hmac

HASH_BYTES = 16
KEY_BYTES = 32
_CONTEXT = b"patrol-lpr plate/1\0"


def plate_hash(key: bytes, text: str) -> bytes:
    """Return the hash of a plate text, without its region: that may be read differently the next time.

    Raises ValueError for a key of another size.
    """
    if len(key) != KEY_BYTES:
        raise ValueError(f"the key has {len(key)} bytes, it must have {KEY_BYTES}")
    return hmac.new(key, _CONTEXT + text.encode(), hashlib.sha256).digest()[:HASH_BYTES]
