"""The files of a package: the page, and an archive with it and the raw bytes."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from protocol.seal.series import Proof, make_header, write_series
from station.evidence.certificate import certificate_text
from station.evidence.examine import PAGE_NAME
from station.evidence.page import keys_text
from station.evidence.page_parts import read_page

if TYPE_CHECKING:
    from station.evidence.package import Package

_README = """Evidence package

evidence.html            the package as a page, which verifies itself without a network
records/                 the signed bytes of each record (MessagePack; keys: docs/wire-format.md)
pictures/                the pictures, as the unit made them
c2pa/                    copies of the pictures with a C2PA manifest, if there are any
series.lpr               the records with their proofs, for `patrol-lpr verify series.lpr`
proof/package.json       records, proofs, keys and hashes as JSON; docs/evidence.md
proof/package.sig        the station's signature of it, if there is one
proof/keys.txt           fingerprints of the units' keys
certificate-draft.txt    a draft that a qualified person has to check, complete and sign

`patrol-lpr verify` verifies this archive and the page in it.
"""


def archive(package: Package, page: str, c2pa: dict[str, bytes]) -> bytes:
    """Return a ZIP archive of everything; ``c2pa`` are pictures with a manifest, by file name."""
    parts = read_page(page)
    files: dict[str, bytes] = {
        "README.txt": _README.encode(),
        PAGE_NAME: page.encode(),
        **{record.file_name: record.record for record in package.records},
        **{p.file_name: p.jpeg for p in package.pictures if p.jpeg is not None},
        **c2pa,
        "series.lpr": _series(package),
        "proof/package.json": parts.scripts["package"].encode(),
        "proof/keys.txt": keys_text(package).encode(),
        "certificate-draft.txt": certificate_text(package).encode(),
    }
    signature = parts.scripts.get("signature", "")
    if signature:
        files["proof/package.sig"] = signature.encode()
    made = datetime.fromtimestamp(package.export.utc_us / 1e6, UTC).timetuple()[:6]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archived:
        for name, data in files.items():
            archived.writestr(
                zipfile.ZipInfo(name, made), data, zipfile.ZIP_STORED if name.endswith(".jpg") else None
            )
    return out.getvalue()


def _series(package: Package) -> bytes:
    out = io.BytesIO()
    proofs = [Proof(r.evidence, r.salt, r.record) for r in sorted(package.records, key=lambda r: r.evidence.seq)]
    write_series(out, make_header(package.export.station[:36], package.export.utc_us, package.keys), proofs)
    return out.getvalue()
