"""The description of the interface for programs, and who a token acts for."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends
from fastapi.routing import APIRoute
from pydantic import BaseModel

from station.asker import MAX_TEXT
from station.web.page import PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit, needs_of

if TYPE_CHECKING:
    from fastapi import FastAPI

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


class Problem(BaseModel):
    """The answer to every request that failed."""

    code: str
    message: str


@router.get("/api/1/openapi.json", include_in_schema=False)
def openapi(visit: _Anybody) -> dict[str, Any]:
    """Return the OpenAPI document."""
    app: FastAPI = visit.request.app
    document: dict[str, Any] = deepcopy(app.openapi())
    parts = document.setdefault("components", {})
    parts["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    schemas = parts.setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    # FastAPI's own, in which the station answers nothing.
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    document["security"] = [{"token": []}]
    for route in app.routes:
        if isinstance(route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                _describe(document["paths"][route.path_format][method.lower()], needs_of(route))
    return document


def _describe(operation: dict[str, Any], needs: Needs | None) -> None:
    """Add what FastAPI cannot know: how errors are answered, and the headers of a look-up."""
    operation["responses"].pop("422", None)
    operation["responses"]["default"] = {
        "description": "The request failed.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
    if needs is not None and needs.why:
        # Required of programs; a script of a page has both in its session.
        operation.setdefault("parameters", []).extend(
            {"name": name, "in": "header", "required": True, "schema": {"type": "string", "maxLength": MAX_TEXT}}
            for name in ("X-Purpose", "X-Case-Number")
        )


PAGE = PageModule(router)
