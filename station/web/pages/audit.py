"""The audit trail: who looked at what, when and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel, Field, field_validator
from starlette.responses import Response

from station.accounts.rights import Right
from station.query.export import iso
from station.store import AuditSearch
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Auditor = Annotated[Visit, Depends(Needs(Right.AUDIT))]
PAGE_SIZE = 100
KINDS = (
    "search reads", "compare list with reads", "show record", "show pictures", "search hits", "export", "purge",
    "place hold", "offer", "roll out", "log in", "account", "show audit trail",
)  # fmt: skip
"""Beginnings of what entries say, for the form."""


class TrailQuery(BaseModel):
    """Conditions on entries."""

    who: Annotated[str, Field(max_length=64)] = ""
    case: Annotated[str, Field(max_length=128)] = ""
    kind: Annotated[str, Field(max_length=64)] = ""
    since: datetime | None = None
    until: datetime | None = None
    order: Annotated[str, Field(pattern="^(oldest)?$")] = ""
    """`oldest`: the oldest first."""
    before: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    """Where the page before ended."""

    @field_validator("since", "until", "before", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    def to_search(self) -> AuditSearch:
        """Return what the station searches for."""
        return AuditSearch(
            who=self.who.strip(), case_number=self.case.strip(), what=self.kind, since_us=_us(self.since),
            until_us=_us(self.until), ascending=self.order == "oldest",
        )  # fmt: skip


def _us(when: datetime | None) -> int | None:
    if when is None:
        return None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1e6)


@router.get("/audit", include_in_schema=False)
def trail(visit: _Auditor, asked: Annotated[TrailQuery, Query()]) -> Response:
    """A page of entries, in either order."""
    rows = visit.query.trail(asked.to_search(), limit=PAGE_SIZE, before=asked.before)
    given = {name: value for name, value in asked.model_dump(mode="json").items() if value and name != "before"}
    turned = {name: value for name, value in given.items() if name != "order"}
    turned |= {} if asked.order else {"order": "oldest"}
    return visit.page(
        "audit.html", rows=rows, asked=asked, given=given, turned=turned, kinds=KINDS,
        last=rows[-1][0] if len(rows) == PAGE_SIZE else None,
    )  # fmt: skip


class Entry(BaseModel):
    """One entry of the trail."""

    number: int
    utc: str | None
    who: str
    what: str
    filter: str
    count: int
    purpose: str
    case_number: str


class TrailPage(BaseModel):
    """One page of entries."""

    entries: list[Entry]
    before: int | None
    """Where the next page starts; null after the last one."""


@router.get("/api/1/audit", tags=["audit"])
def trail_for_programs(visit: _Auditor, asked: Annotated[TrailQuery, Query()]) -> TrailPage:
    """Return entries of the audit trail, the newest first, or with `order=oldest` the oldest, 100 at a time."""
    rows = visit.query.trail(asked.to_search(), limit=PAGE_SIZE, before=asked.before)
    entries = [
        Entry(
            number=number, utc=iso(row.utc_us), who=row.who, what=row.what, filter=row.filter, count=row.count,
            purpose=row.purpose, case_number=row.case_number,
        )
        for number, row in rows
    ]  # fmt: skip
    return TrailPage(entries=entries, before=rows[-1][0] if len(rows) == PAGE_SIZE else None)


PAGE = PageModule(router, (NavigationEntry("Audit", "/audit", Right.AUDIT, "Who looked at what, when and why."),))
