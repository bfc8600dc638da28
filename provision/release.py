"""The release key: who made an image.

``IMAGE.sha256`` says what the image is (the form of sha256sum); ``IMAGE.sig`` is the Ed25519 signature (RFC 8032) of
exactly that file, 64 bytes.  Both can be checked without this program::

    sha256sum --check fleet.img.sha256
    openssl pkeyutl -verify -pubin -inkey release.pub -rawin -in fleet.img.sha256 -sigfile fleet.img.sig
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from agent.errors import KeyFileError
from agent.seal.keys import SigningKey, VerifyKey
from provision.errors import ProvisionError
from provision.pki import CA_KEY

if TYPE_CHECKING:
    from pathlib import Path

PRIVATE, PUBLIC = "release.key", "release.pub"
_LISTED = re.compile(rb"[0-9a-f]{64}  [^\n/]+\n")


def make_release_key(folder: Path) -> VerifyKey:
    """Write ``release.key``, which stays off-line, and ``release.pub``.

    Raises KeyFileError, or ProvisionError for a folder in which it does not belong.
    """
    if (folder / CA_KEY).exists():
        raise ProvisionError(
            f"{folder}: holds the authority, which must be on-line to enrol; the release key stays off-line:"
            " name another folder"
        )
    key = SigningKey.generate()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        key.save(folder / PRIVATE)
        (folder / PUBLIC).write_bytes(key.public.pem())
    except OSError as error:
        raise KeyFileError(f"{folder}: keys cannot be written here: {error.strerror}") from error
    return key.public


def sign_image(image: Path, key: SigningKey) -> Path:
    """Sign the list beside an image; return the signature's path.  Raises ProvisionError."""
    signature = _beside(image, "sig")
    signature.write_bytes(key.sign(_listed(image)))
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
