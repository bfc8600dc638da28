"""``patrol-lpr station evidence``: write the evidence package of a read or hit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from cli.show import print_done
from cli.terminal import beside
from hw.output import output
from protocol.seal import load_keyring
from station.evidence.c2pa_pictures import load_signer
from station.evidence.make import make_package

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from station.query.evidence import EvidenceOf

_ID_DIGITS = 32
_PAGES, _ARCHIVES = {".html", ".htm"}, {".zip"}


def write(
    evidence: EvidenceOf,
    identity: str,
    out: Path,
    *,
    keys: Path,
    unit: str | None,
    c2pa: tuple[Path, Path] | None,
    checked: Callable[[Path], Path],
    as_json: bool = False,
) -> None:
    """Write ``out``: a page with an archive of the raw files beside it, or the archive alone."""
    try:
        named = bytes.fromhex(identity) if len(identity) == _ID_DIGITS else b""
    except ValueError:
        named = b""
    if not named:
        raise typer.BadParameter(f"{identity!r} is not an id of {_ID_DIGITS} hexadecimal digits", param_hint="ID")
    if out.suffix.lower() not in _PAGES | _ARCHIVES:
        raise typer.BadParameter(f"{out}: name it .html or .zip", param_hint="--out")
    ring = load_keyring(keys)
    signer = None if c2pa is None else load_signer(*c2pa)
    package = evidence.package(named, ring, unit=unit)
    if package is None:
        raise typer.BadParameter(f"there is no read or hit {identity}, or it was purged", param_hint="ID")
    made = make_package(package, ring.receipts, signer)
    is_special = out.exists() and not out.is_file()  # a pipe or a device is written into
    archive = checked(out if is_special else out.with_suffix(".zip"))
    with output(archive, private=True) as file:
        file.write(made.archive)
    if out.suffix.lower() in _PAGES and not is_special:
        with output(checked(out), private=True) as file:
            file.write(made.page)
    pictures = sum(p.jpeg is not None for p in package.pictures)
    print_done(
        f"{len(package.records)} records and {pictures} pictures in {out}; {made.c2pa}",
        {"file": str(out), "records": len(package.records), "pictures": pictures, "c2pa": made.c2pa},
        as_json=as_json,
        console=beside(out),
    )
