"""The first page: what a person can do here."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)


@router.get("/", include_in_schema=False)
def home(visit: Annotated[Visit, Depends(Needs(None))]) -> Response:
    """Links to all pages that the person may open."""
    return visit.page("home.html")


PAGE = PageModule(router, (NavigationEntry("Start", "/", None),))
