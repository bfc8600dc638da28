"""Evidence packages as downloads: recorded with purpose and case number before the file leaves the station."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query
from starlette.responses import Response

from station.accounts.rights import Right
from station.evidence.make import MadePackage, make_package
from station.query.evidence import EvidenceOf
from station.query.trail import Trail
from station.web.errors import RefusedError
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Exporter = Annotated[Visit, Depends(Needs(Right.EVIDENCE, why=True))]
_ID_DIGITS = 32


@router.get("/evidence", include_in_schema=False)
def evidence_page(
    visit: _Exporter, identity: Annotated[str, Query(pattern="^([0-9a-fA-F]{32})?$")] = ""
) -> Response:
    """Where an id is entered; the page of a read sends its own here."""
    return visit.page("evidence.html", has_keys=visit.desk.ring is not None, message="", identity=identity)


@router.post("/evidence", include_in_schema=False)
def download(
    visit: _Exporter,
    identity: Annotated[str, Form(max_length=64)],
    form: Annotated[str, Form(pattern="^(archive|page)$")] = "archive",
) -> Response:
    """Return the file."""
    try:
        made = _made(visit, identity.strip())
    except RefusedError as error:
        return visit.page(
            "evidence.html", status=error.status, has_keys=visit.desk.ring is not None, message=str(error),
            identity=identity,
        )  # fmt: skip
    return _file(made, identity.strip().lower(), as_page=form == "page")


@router.get(
    "/api/1/evidence/{identity}",
    tags=["evidence"],
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}},
)
def package_for_programs(visit: _Exporter, identity: str) -> Response:
    """Return the package of a read or hit as an archive, with the page in it."""
    return _file(_made(visit, identity), identity.lower(), as_page=False)


def _made(visit: Visit, identity: str) -> MadePackage:
    ring = visit.desk.ring
    if ring is None:
        raise RefusedError(409, "keys", "this station has no keys of its units: start it with --keys FOLDER")
    try:
        named = bytes.fromhex(identity) if len(identity) == _ID_DIGITS else b""
    except ValueError:
        named = b""
    if not named:
        raise RefusedError(400, "id", f"this is no id of a read or hit: {_ID_DIGITS} hexadecimal digits")
    desk = visit.desk
    trail = Trail(desk.store, visit.asker, desk.clock_us)
    evidence = EvidenceOf(desk.store, visit.asker, desk.clock_us, trail)
    package = evidence.package(named, ring, station=desk.settings.station)
    if package is None:
        raise RefusedError(404, "unknown", "there is no such read or hit, or it was purged")
    return make_package(package, ring.receipts, None)


def _file(made: MadePackage, identity: str, *, as_page: bool) -> Response:
    name = f"evidence-{identity}.{'html' if as_page else 'zip'}"
    # As an attachment: a page with a script of its own is not shown as one of the station's.
    return Response(
        made.page if as_page else made.archive,
        media_type="text/html" if as_page else "application/zip",
        headers={"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"},
    )


PAGE = PageModule(
    router,
    (NavigationEntry("Evidence", "/evidence", Right.EVIDENCE, "Packages that verify themselves, for a court."),),
)
