"""The agency's own definitions of reports."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, UploadFile
from starlette.responses import Response

from station.accounts.rights import Right
from station.reports.definition import TABLES, shipped_definitions
from station.reports.lines import ReportError
from station.reports.own import MAX_OWN_BYTES, OwnDefinitions
from station.web.errors import RefusedError
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Editor = Annotated[Visit, Depends(Needs(Right.EDIT_REPORTS))]


@router.get("/reports/definitions", include_in_schema=False)
def definitions(visit: _Editor, edit: str = "") -> Response:
    """All of the agency's own, and a form; with ``edit``, the text of one of them or of an example."""
    text = _own(visit).text(edit) if edit else ""
    if text is None:
        raise RefusedError(404, "unknown", "there is no such definition")
    return _page(visit, 200, text=text)


@router.post("/reports/definitions", include_in_schema=False)
def save(
    visit: _Editor, text: Annotated[str, Form(max_length=MAX_OWN_BYTES)] = "", file: UploadFile | None = None
) -> Response:
    """Check and store what was typed, or the file that was chosen."""
    try:
        if file is not None and file.filename:
            text = _text_of(file)
        _own(visit).save(text)
    except ReportError as error:
        return _page(visit, 400, text=text, message=str(error))
    return visit.redirect("/reports/definitions")


@router.post("/reports/definitions/{identity}/delete", include_in_schema=False)
def delete(visit: _Editor, identity: str) -> Response:
    """Delete one."""
    try:
        _own(visit).remove(identity)
    except ReportError as error:
        return _page(visit, 404, message=str(error))
    return visit.redirect("/reports/definitions")


def _own(visit: Visit) -> OwnDefinitions:
    return OwnDefinitions(visit.desk.store, visit.asker, visit.desk.clock_us)


def _text_of(file: UploadFile) -> str:
    data = file.file.read(MAX_OWN_BYTES + 1)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ReportError("the file is not UTF-8: this is no definition of a report") from None


def _page(visit: Visit, status: int, *, text: str = "", message: str = "") -> Response:
    return visit.page(
        "report_definitions.html", status=status, message=message, text=text, own=_own(visit).all(),
        max_bytes=MAX_OWN_BYTES, examples=shipped_definitions().values(), tables=TABLES,
        may_read=visit.may(Right.REPORTS),
    )  # fmt: skip


PAGE = PageModule(
    router,
    (
        NavigationEntry(
            "Report definitions",
            "/reports/definitions",
            Right.EDIT_REPORTS,
            "Reports that the agency defines itself",
        ),
    ),
)
