"""Sign-on tokens: a badge on one unit for a short time, signed with the roster's token key (Ed25519), instead of a PIN.

A token is text, so that it can be in a QR code or on an NFC card: canonical JSON and signature in unpadded base64url.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.errors import TokenError
from protocol.roster.roster import Badge
from protocol.seal.keys import SIGNATURE_BYTES

if TYPE_CHECKING:
    from protocol.seal.keys import SigningKey, VerifyKey

MAX_TOKEN_CHARS = 1024
MAX_LIFE_S = 86_400
"""Tokens that are valid for longer are refused."""
_CONTEXT = b"patrol-lpr token/1\0"


class Token(BaseModel):
    """The signed statement."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    badge: Badge
    unit: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,36}$")]
    not_before_s: Annotated[int, Field(ge=0, le=2**40)]
    expires_s: Annotated[int, Field(ge=0, le=2**40)]
    """Seconds UTC."""
    nonce: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    """A token is accepted once."""

    def canonical(self) -> bytes:
        """The bytes that are signed."""
        return json.dumps(self.model_dump(), sort_keys=True, separators=(",", ":")).encode("ascii")


def sign_token(token: Token, key: SigningKey) -> str:
    """Return the text."""
    data = token.canonical()
    return base64.urlsafe_b64encode(key.sign(_CONTEXT + data) + data).rstrip(b"=").decode("ascii")


def verify_token(text: str, key: VerifyKey, *, unit: str, now_s: float | None) -> Token:
    """Verify signature, unit and time.  Raises TokenError, also while the time is unknown (``now_s`` None)."""
    token = _parsed(text, key)
    if token.unit != unit:
        raise TokenError(f"the token is for {token.unit}, this unit is {unit}")
    if now_s is None:
        raise TokenError("the unit does not know the time yet: sign on with a PIN, or wait for a fix")
    if token.expires_s - token.not_before_s > MAX_LIFE_S:
        raise TokenError(f"the token is valid for longer than {MAX_LIFE_S // 3600} hours: make a shorter one")
    if not token.not_before_s <= now_s < token.expires_s:
        raise TokenError("the token has expired or is not valid yet: make a new one")
    return token


def _parsed(text: str, key: VerifyKey) -> Token:
    if len(text) > MAX_TOKEN_CHARS:
        raise TokenError("this is not a sign-on token: too long")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise TokenError("this is not a sign-on token: not base64url") from None
    signature, data = raw[:SIGNATURE_BYTES], raw[SIGNATURE_BYTES:]
    if len(signature) < SIGNATURE_BYTES or not key.is_signed(signature, _CONTEXT + data):
        raise TokenError("the token's signature is invalid: it is of another agency, or was altered")
    try:
        return Token.model_validate_json(data)
    except ValidationError:
        raise TokenError("the token is of a later version: update this unit first") from None
