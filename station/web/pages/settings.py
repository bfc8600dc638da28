"""Settings of the agency that an administrator changes: incidents, and how much one person may look at."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.responses import Response

from protocol.wire.records.incident import ANSWERS
from station.accounts.rights import Right
from station.errors import BoundError, DeploymentError
from station.planning import answers_seen
from station.query.bound import MAX_READS, MIN_READS, ReadBound
from station.web.deployment import asks, does
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Administrator = Annotated[Visit, Depends(Needs(Right.SETTINGS))]
_Lines = Annotated[str, Form(max_length=8_192)]
_Seen = Annotated[str, Form(max_length=64)]


@router.get("/settings", include_in_schema=False)
def settings(visit: _Administrator) -> Response:
    """The form."""
    found = asks(visit).settings()
    return _page(visit, "\n".join(found.categories), "\n".join(found.outcomes))


@router.post("/settings/incidents", include_in_schema=False)
def set_incident_answers(
    visit: _Administrator, categories: _Lines, outcomes: _Lines = "", seen: _Seen = ""
) -> Response:
    """Replace categories and outcomes: one a line."""
    try:
        does(visit).set_incident_answers(categories.split(), outcomes.split(), seen or None)
    except DeploymentError as error:
        return _page(visit, categories, outcomes, message=str(error), status=400)
    return visit.redirect("/settings")


@router.post("/settings/look-ups", include_in_schema=False)
def set_bound_of_reads(visit: _Administrator, reads: Annotated[int, Form()]) -> Response:
    """Change how many reads one person may look at in a day."""
    try:
        _bound(visit).set(visit.asker, reads)
    except BoundError as error:
        found = asks(visit).settings()
        return _page(visit, "\n".join(found.categories), "\n".join(found.outcomes), message=str(error), status=400)
    return visit.redirect("/settings")


def _bound(visit: Visit) -> ReadBound:
    return ReadBound(visit.desk.store, visit.desk.clock_us)


def _page(visit: Visit, categories: str, outcomes: str, *, message: str = "", status: int = 200) -> Response:
    return visit.page(
        "settings.html", status=status, categories=categories, outcomes=outcomes, message=message, built_in=ANSWERS,
        seen=answers_seen(asks(visit).settings()), reads=_bound(visit).get(), min_reads=MIN_READS, max_reads=MAX_READS,
    )  # fmt: skip


PAGE = PageModule(
    router,
    (NavigationEntry("Settings", "/settings", Right.SETTINGS, "Incidents, and how much a person may look at."),),
)
