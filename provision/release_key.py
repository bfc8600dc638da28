"""Signatures of images with the release key.

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
    """Sign the hash file of an image; return the signature's path.  Raises ProvisionError, OutputError."""
    signature = _beside(image, "sig")
    signed = key.sign(_listed(image))
    with output(signature) as out:
        out.write(signed)
    return signature


def check_signature(image: Path, key_path: Path) -> VerifyKey:
    """Verify the signature of an image's hash file; return the key.  Raises KeyFileError or ProvisionError.

    ``provision.flash.check_image`` compares the image with the hash.
    """
    key = VerifyKey.load(key_path)
    listed, path = _listed(image), _beside(image, "sig")
    try:
        signature = path.read_bytes()
    except OSError as error:
        raise ProvisionError(
            f"{path}: no signature ({error.strerror}): get it from whoever created the image; do not flash without it"
        ) from error
    if not key.is_signed(signature, listed):
        raise ProvisionError(
            f"{image}: not signed by {key_path}: it was created or changed by somebody else: do not use it"
        )
    return key


def _listed(image: Path) -> bytes:
    path = _beside(image, "sha256")
    try:
        listed = path.read_bytes()
    except OSError as error:
        raise ProvisionError(f"{path}: cannot be read: {error.strerror}") from error
    if not _LISTED.fullmatch(listed):
        raise ProvisionError(f"{path}: must be one line of sha256sum, as written by `patrol-lpr provision image`")
    return listed


def _beside(image: Path, what: str) -> Path:
    return image.with_name(f"{image.name}.{what}")
