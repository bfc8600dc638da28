"""The release key: who made an image.

``IMAGE.sha256`` says what the image is (the form of sha256sum); ``IMAGE.sig`` is the Ed25519 signature (RFC 8032) of
exactly that file, 64 bytes.  Both can be checked without this program::

    sha256sum --check fleet.img.sha256
    openssl pkeyutl -verify -pubin -inkey release.pub -rawin -in fleet.img.sha256 -sigfile fleet.img.sig
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from hw.output import output
from protocol.seal.keys import VerifyKey
from provision.errors import ProvisionError

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.seal.keys import SigningKey

_LISTED = re.compile(rb"[0-9a-f]{64}  [^\n/]+\n")


def sign_image(image: Path, key: SigningKey) -> Path:
    """Sign the list beside an image; return the signature's path.  Raises ProvisionError, OutputError."""
    signature = _beside(image, "sig")
    signed = key.sign(_listed(image))
    with output(signature) as out:
        out.write(signed)
    return signature


def check_signature(image: Path, key_path: Path) -> VerifyKey:
    """Hold the list beside an image to its signature; return the key.  Raises KeyFileError or ProvisionError.

    That the image is the one listed is for ``provision.flash.check_image``.
    """
    key = VerifyKey.load(key_path)
    listed, path = _listed(image), _beside(image, "sig")
    try:
        signature = path.read_bytes()
    except OSError as error:
        raise ProvisionError(
            f"{path}: no signature ({error.strerror}): get it from whoever made the image, do not flash without it"
        ) from error
    if not key.is_signed(signature, listed):
        raise ProvisionError(f"{image}: not signed by {key_path}: somebody else made or changed it: do not use it")
    return key


def _listed(image: Path) -> bytes:
    path = _beside(image, "sha256")
    try:
        listed = path.read_bytes()
    except OSError as error:
        raise ProvisionError(f"{path}: cannot be read: {error.strerror}") from error
    if not _LISTED.fullmatch(listed):
        raise ProvisionError(f"{path}: not one line of sha256sum; `patrol-lpr provision image` writes it")
    return listed


def _beside(image: Path, what: str) -> Path:
    return image.with_name(f"{image.name}.{what}")
