"""Why a person looks: asked once for a case, kept for an hour, shown on every page."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.responses import Response

from station.asker import MAX_TEXT, Asker
from station.errors import PurposeError
from station.web.errors import RefusedError
from station.web.page import PageModule
from station.web.paths import own_path
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Anybody = Annotated[Visit, Depends(Needs(None))]
_MIN_LETTERS = 3
_UNSENT = "There was no purpose, or its hour was over: what you sent was not done. Give both, and do it again."


@router.get("/purpose", include_in_schema=False)
def purpose_form(visit: _Anybody, next: str = "/", unsent: str = "") -> Response:  # noqa: A002 - the name in the address
    """The form; ``unsent`` is given if somebody is here because a form came too late."""
    return _form(visit, _UNSENT if unsent else "", next, 200)


@router.post("/purpose", include_in_schema=False)
def set_purpose(
    visit: _Anybody,
    purpose: Annotated[str, Form(max_length=1024)],
    case_number: Annotated[str, Form(max_length=1024)],
    next: Annotated[str, Form(max_length=512)] = "/",  # noqa: A002 - as above
) -> Response:
    """Keep both in the session."""
    purpose, case_number = purpose.strip(), case_number.strip()
    try:
        given = Asker(visit.name, purpose, case_number)
    except PurposeError as error:
        return _form(visit, str(error), next, 400)
    if not given.has_case or sum(letter.isalpha() for letter in purpose) < _MIN_LETTERS:
        return _form(visit, "give both: a purpose in words, and a case number", next, 400)
    if visit.person.session is None:
        raise RefusedError(400, "purpose", "a program sends X-Purpose and X-Case-Number with each request")
    visit.desk.log_in.set_purpose(visit.person.session, purpose, case_number)
    return visit.redirect(own_path(next))


def _form(visit: Visit, message: str, wanted: str, status: int) -> Response:
    return visit.page("purpose.html", status=status, message=message, next=own_path(wanted), max_text=MAX_TEXT)


PAGE = PageModule(router)
