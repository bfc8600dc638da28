"""Second factor: time-based one-time passwords (RFC 6238), six digits every 30 s, each accepted once."""

from __future__ import annotations

import io
import secrets

import pyotp
import segno

_STEP_S = 30
_US_PER_S = 1_000_000
_DRIFT_STEPS = 1
"""The clock of a telephone may be a step early or late."""
_DIGITS = 6


def new_secret() -> str:
    """Return a new secret in base32, 160 bits."""
    return pyotp.random_base32(32)


def used_step(secret: str, code: str, now_us: int, last_step: int) -> int | None:
    """Return the step of a valid code; None if it is wrong, or was used before."""
    code = code.replace(" ", "")
    if len(code) != _DIGITS or not (code.isascii() and code.isdecimal()):
        return None
    now_step = now_us // _US_PER_S // _STEP_S
    totp = pyotp.TOTP(secret)
    for step in range(now_step - _DRIFT_STEPS, now_step + _DRIFT_STEPS + 1):
        if step > last_step and secrets.compare_digest(totp.at(step * _STEP_S), code):
            return step
    return None


def qr_svg(secret: str, name: str, issuer: str) -> str:
    """Return the QR code for an authenticator as an SVG element without styles or scripts."""
    out = io.BytesIO()
    segno.make(pyotp.TOTP(secret).provisioning_uri(name=name, issuer_name=issuer), error="m").save(
        out, kind="svg", xmldecl=False, svgns=True, scale=5, border=4, dark="#000", light="#fff", nl=False
    )
    return out.getvalue().decode()
