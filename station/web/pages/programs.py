"""The description of the interface for programs, and who a token acts for."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel

from station.web.page import PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Anybody = Annotated[Visit, Depends(Needs(None))]


class Me(BaseModel):
    """Who asks."""

    account: str
    full_name: str
    role: str
    rights: list[str]
    agencies: list[str] | None
    """None: all."""
    units: list[str] | None
    zones: list[str] | None
    purpose: str
    case_number: str


@router.get("/api/1/me", tags=["account"])
def who_am_i(visit: _Anybody) -> Me:
    """Return for whom the session or token acts, with rights, and purpose and case number as given."""
    account = visit.person.account
    scope = account.scope
    return Me(
        account=account.name,
        full_name=account.full_name,
        role=account.role,
        rights=sorted(right.value for right in visit.person.rights),
        agencies=None if scope.agencies is None else sorted(scope.agencies),
        units=None if scope.units is None else sorted(scope.units),
        zones=None if scope.zones is None else sorted(scope.zones),
        purpose=visit.asker.purpose,
        case_number=visit.asker.case_number,
    )


@router.get("/api/1/openapi.json", include_in_schema=False)
def openapi(visit: _Anybody) -> dict[str, Any]:
    """Return the OpenAPI document."""
    document: dict[str, Any] = visit.request.app.openapi()
    document.setdefault("components", {})["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}]
    return document


PAGE = PageModule(router)
