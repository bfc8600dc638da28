"""Exports: requested by one person, approved by another one, fetched once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Form
from pydantic import BaseModel
from starlette.responses import Response, StreamingResponse

from station.accounts.rights import Right
from station.errors import ExportError
from station.query.bulk import KEPT_US, KINDS, MAX_RECORDS
from station.query.export import iso
from station.web.errors import RefusedError
from station.web.page import NavigationEntry, PageModule
from station.web.pages.search import kept_search
from station.web.search_body import SearchBody
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

if TYPE_CHECKING:
    from station.store import ExportRow

router = APIRouter(dependencies=SAFE_TEXTS)
_Exporter = Annotated[Visit, Depends(Needs(Right.EXPORT))]
_Looker = Annotated[Visit, Depends(Needs(Right.EXPORT, why=True))]
_Supervisor = Annotated[Visit, Depends(Needs(Right.APPROVE))]
_SHOWN = 200
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "geojson": "application/geo+json",
    "kml": "application/vnd.google-earth.kml+xml",
    "gpx": "application/gpx+xml",
}


@router.get("/exports", include_in_schema=False)
def exports(visit: _Exporter) -> Response:
    """Own requests; a supervisor sees those of others, too."""
    return _page(visit, 200, "")


@router.get("/exports/new/{search_id}", include_in_schema=False)
def new_export(visit: _Looker, search_id: str) -> Response:
    """The form."""
    body = kept_search(visit, search_id)
    return visit.page("export_new.html", search_id=search_id, body=body, kinds=KINDS, max_records=MAX_RECORDS)


@router.post("/exports/new/{search_id}", include_in_schema=False)
def request_export(visit: _Looker, search_id: str, kind: Annotated[str, Form(max_length=16)]) -> Response:
    """Request it."""
    body = kept_search(visit, search_id)
    try:
        visit.desk.exports.request(visit.asker, kind, body.model_dump_json())
    except ExportError as error:
        return _page(visit, 400, str(error))
    return visit.redirect("/exports")


@router.post("/exports/{export_id}/approve", include_in_schema=False)
def approve(visit: _Supervisor, export_id: str) -> Response:
    """Let it be made."""
    return _decide(visit, export_id, approved=True)


@router.post("/exports/{export_id}/refuse", include_in_schema=False)
def refuse(visit: _Supervisor, export_id: str, note: Annotated[str, Form(max_length=200)] = "") -> Response:
    """Refuse it, with a reason."""
    return _decide(visit, export_id, approved=False, note=note)


def _decide(visit: Visit, export_id: str, *, approved: bool, note: str = "") -> Response:
    try:
        visit.desk.exports.decide(visit.asker, export_id, approved=approved, note=note)
    except ExportError as error:
        return _page(visit, 409, str(error))
    visit.desk.wake()
    return visit.redirect("/exports")


@router.post("/exports/{export_id}/stop", include_in_schema=False)
def stop(visit: _Exporter, export_id: str) -> Response:
    """End it, and delete its file."""
    try:
        visit.desk.exports.stop(visit.asker, export_id, approves=visit.may(Right.APPROVE))
    except ExportError as error:
        return _page(visit, 409, str(error))
    return visit.redirect("/exports")


@router.post("/exports/{export_id}/file", include_in_schema=False)
def fetch(visit: _Exporter, export_id: str) -> Response:
    """The file, once."""
    try:
        return _file(visit, export_id)
    except ExportError as error:
        return _page(visit, 409, str(error))


def _file(visit: Visit, export_id: str) -> Response:
    row, parts = visit.desk.exports.fetch(visit.asker, export_id)
    name = f"reads-{row.export_id}.{row.kind}"
    headers = {"content-disposition": f'attachment; filename="{name}"', "content-length": str(row.size)}
    return StreamingResponse(parts, media_type=_TYPES[row.kind], headers=headers)


class ExportRequest(BaseModel):
    """What to export."""

    kind: str = "csv"
    search: SearchBody


class ExportStatus(BaseModel):
    """Where a request is."""

    export_id: str
    account: str
    kind: str
    state: str
    purpose: str
    case_number: str
    requested: str | None
    decided_by: str
    note: str
    done: int
    """Reads written."""
    size: int
    """Bytes written."""


@router.post("/api/1/exports", tags=["exports"], status_code=201)
def request_export_for_programs(visit: _Looker, asked: ExportRequest) -> ExportStatus:
    """Request an export, which another person must approve."""
    asked.search.to_search()
    try:
        export_id = visit.desk.exports.request(visit.asker, asked.kind, asked.search.model_dump_json())
    except ExportError as error:
        raise RefusedError(400, "export", str(error)) from error
    return _status(visit.desk.exports.get(visit.asker, export_id, approves=False))


@router.get("/api/1/exports/{export_id}", tags=["exports"])
def export_for_programs(visit: _Exporter, export_id: str) -> ExportStatus:
    """Return where a request is."""
    return _status(visit.desk.exports.get(visit.asker, export_id, approves=visit.may(Right.APPROVE)))


@router.post(
    "/api/1/exports/{export_id}/file",
    tags=["exports"],
    response_class=StreamingResponse,
    responses={200: {"content": {kind.partition(";")[0]: {} for kind in _TYPES.values()}}},
)
def fetch_for_programs(visit: _Exporter, export_id: str) -> Response:
    """Return the file, once."""
    try:
        return _file(visit, export_id)
    except ExportError as error:
        raise RefusedError(409, "export", str(error)) from error


def _status(row: ExportRow) -> ExportStatus:
    return ExportStatus(
        export_id=row.export_id, account=row.account, kind=row.kind, state=row.state, purpose=row.purpose,
        case_number=row.case_number, requested=iso(row.requested_us), decided_by=row.decided_by, note=row.note,
        done=row.done, size=row.size,
    )  # fmt: skip


def _page(visit: Visit, status: int, message: str) -> Response:
    approves = visit.may(Right.APPROVE)
    rows = visit.desk.exports.seen_by(visit.asker, approves=approves, limit=_SHOWN)
    return visit.page(
        "exports.html", status=status, message=message, approves=approves, kept_h=KEPT_US // 3_600_000_000,
        rows=[(row, SearchBody.model_validate_json(row.body)) for row in rows],
        working=any(row.state in {"approved", "running"} for row in rows),
    )  # fmt: skip


PAGE = PageModule(
    router,
    (NavigationEntry("Exports", "/exports", Right.EXPORT, "Approved by another person, fetched once."),),
)
