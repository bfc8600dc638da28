"""Makes the files of an evidence package."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from station.evidence.archive import archive
from station.evidence.c2pa_pictures import (
    WITH_MANIFEST,
    WITHOUT_CERTIFICATE,
    WITHOUT_EXTRA,
    has_extra,
    sign_pictures,
)
from station.evidence.page import render

if TYPE_CHECKING:
    from protocol.seal.keys import SigningKey
    from station.evidence.c2pa_pictures import C2paSigner
    from station.evidence.package import Package


@dataclass(frozen=True, slots=True)
class MadePackage:
    """The files."""

    page: bytes
    archive: bytes
    """ZIP with the page and the raw bytes."""
    c2pa: str
    """Whether the pictures have a C2PA manifest, and why not."""


def make_package(package: Package, own: SigningKey | None, signer: C2paSigner | None) -> MadePackage:
    """Return the files; ``own`` is the station's key for receipts, with which it signs.  Raises C2paError."""
    c2pa, copies = WITHOUT_CERTIFICATE, {}
    if not has_extra():
        c2pa = WITHOUT_EXTRA
    elif signer is not None:
        c2pa, copies = WITH_MANIFEST, sign_pictures(package, signer)
    page = render(package, own, c2pa)
    return MadePackage(page.encode(), archive(package, page, copies), c2pa)
