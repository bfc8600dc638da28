"""Legal holds: what no purge may delete."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Path
from starlette.responses import Response

from station.accounts.rights import Right
from station.errors import HoldError, StoreError
from station.retention.holds import MAX_TEXT, HoldDesk, hold_scope
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Holder = Annotated[Visit, Depends(Needs(Right.HOLDS, why=True))]
_Text = Annotated[str, Form(max_length=1024)]
_MAX_IDS_TEXT = 36_000
"""As many ids as a hold can have, with a line each."""
_NOTHING = (
    "Hold {} keeps no record yet: nothing here has this id, plate, unit, case and period. Check what was typed; what "
    "comes later is kept."
)


@router.get("/holds", include_in_schema=False)
def holds(visit: _Holder) -> Response:
    """All holds, and a form for a new one."""
    return _page(visit, 200)


@router.post("/holds", include_in_schema=False)
def place(
    visit: _Holder,
    *,
    reason: _Text,
    ids: Annotated[str, Form(max_length=_MAX_IDS_TEXT)] = "",
    plate: _Text = "",
    unit: _Text = "",
    of_case: _Text = "",
    since: _Text = "",
    until: _Text = "",
) -> Response:
    """Place a hold for the case that the person named."""
    try:
        scope = hold_scope(
            ids=ids.replace(",", " ").split(),
            plate=plate.strip() or None,
            unit=unit.strip() or None,
            case=of_case.strip() or None,
            since_us=_utc_us(since),
            until_us=_utc_us(until),
        )
        placed = _desk(visit).place(scope, case_number=visit.asker.case_number, reason=reason)
    except HoldError as error:
        return _page(visit, 400, message=str(error))
    if placed.records:
        return visit.redirect("/holds")
    return _page(visit, 200, message=_NOTHING.format(placed.statement.number), kind="warn")


@router.post("/holds/{number}/release", include_in_schema=False)
def release(visit: _Holder, number: Annotated[int, Path(ge=1, lt=2**63)], reason: _Text) -> Response:
    """Release a hold."""
    try:
        _desk(visit).release(number, case_number=visit.asker.case_number, reason=reason)
    except (HoldError, StoreError) as error:
        return _page(visit, 400, message=str(error))
    return visit.redirect("/holds")


def _desk(visit: Visit) -> HoldDesk:
    return HoldDesk(visit.desk.store, visit.asker, visit.desk.clock_us)


def _page(visit: Visit, status: int, *, message: str = "", kind: str = "bad") -> Response:
    try:
        found = _desk(visit).holds()[::-1]
    except HoldError as error:
        status, message, found = status if message else 403, message or str(error), []
    return visit.page(
        "holds.html", status=status, message=message, kind=kind, holds=found, max_text=MAX_TEXT,
        max_ids_text=_MAX_IDS_TEXT,
    )  # fmt: skip


def _utc_us(text: str) -> int | None:
    """Parse the value of a field for local date and time, taken as UTC.  Raises HoldError."""
    if not text.strip():
        return None
    try:
        return round(dt.datetime.fromisoformat(text.strip()).replace(tzinfo=dt.UTC).timestamp() * 1e6)
    except (ValueError, OverflowError):
        raise HoldError("the period must be a date and time, UTC") from None


PAGE = PageModule(
    router, (NavigationEntry("Holds", "/holds", Right.HOLDS, "Records that no purge deletes, for a case."),)
)
