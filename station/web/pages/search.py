"""Search of reads.  A search is kept under an id: no plate stands in an address, a history or a proxy's log."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form
from pydantic import BaseModel, Field
from starlette.responses import Response

from station.accounts.rights import Right
from station.errors import BoundError
from station.searches import KeptSearches
from station.web.errors import RefusedError
from station.web.page import NavigationEntry, PageModule
from station.web.search_body import SearchBody, body_of_form, next_token, place_of
from station.web.shown_read import read_values, shown_reads
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Looker = Annotated[Visit, Depends(Needs(Right.SEARCH, why=True))]
_Text = Annotated[str, Field(max_length=256)]
_MAX_DRAWN = 48_000
KIND = "reads"
PAGE_SIZE = 50


@router.get("/search", include_in_schema=False)
def search_form(visit: _Looker) -> Response:
    """The form."""
    return _form(visit, SearchBody(), "", 200)


class SearchForm(BaseModel):
    """Fields of the form; empty ones are not given."""

    plates: Annotated[str, Field(max_length=2048)] = ""
    part: _Text = ""
    """Not `contains`: a field of that name would hide the form's own method from scripts."""
    look_alike: _Text = ""
    region: _Text = ""
    unit: _Text = ""
    camera: _Text = ""
    min_confidence: _Text = ""
    since: _Text = ""
    until: _Text = ""
    lat_deg: _Text = ""
    lon_deg: _Text = ""
    radius_m: _Text = ""
    drawn: Annotated[str, Field(max_length=_MAX_DRAWN)] = ""
    """Corners of the area that was drawn on the map."""
    oldest_first: _Text = ""


@router.post("/search", include_in_schema=False)
def search(visit: _Looker, form: Annotated[SearchForm, Form()]) -> Response:
    """Keep the search, and show its first page."""
    try:
        body = body_of_form({**form.model_dump(exclude={"part"}), "contains": form.part})
        body.to_search()
    except RefusedError as error:
        return _form(visit, SearchBody(), error.message, 400)
    return visit.redirect(f"/search/{keep_search(visit, body)}")


def keep_search(visit: Visit, body: SearchBody) -> str:
    """Keep a search for a day, for this person alone; return its id."""
    return KeptSearches(visit.desk.store, visit.desk.clock_us).keep(visit.name, KIND, body.model_dump_json())


def kept_search(visit: Visit, search_id: str) -> SearchBody:
    """Return a search of this person.  Raises RefusedError if there is none."""
    row = KeptSearches(visit.desk.store, visit.desk.clock_us).find(search_id, visit.name)
    if row is None:
        raise RefusedError(404, "unknown", "this search is not kept any more: search again")
    return SearchBody.model_validate_json(row.body)


@router.get("/search/{search_id}", include_in_schema=False)
def found(visit: _Looker, search_id: str, after: str = "") -> Response:
    """One page of what was found."""
    body, place, query = kept_search(visit, search_id), place_of(after), visit.query
    may_export = visit.may(Right.EXPORT)
    try:
        page = query.search(body.to_search(), limit=PAGE_SIZE, after=place)
    except BoundError as error:
        return visit.page(
            "search.html", status=403, body=body, reads=[], search_id=search_id, message=str(error), searched=True,
            first=None, next_address=None, may_export=may_export, complete_to_us=None,
        )  # fmt: skip
    reads = shown_reads(page.records, query.crops(page.records))
    here = f"/search/{search_id}"
    token = next_token(page.after)
    return visit.page(
        "search.html", body=body, reads=reads, search_id=search_id, message="", searched=True,
        first=here if after else None, next_address=None if token is None else f"{here}?after={token}",
        may_export=may_export, complete_to_us=page.complete_to_us,
    )  # fmt: skip


@router.post("/search/{search_id}/order", include_in_schema=False)
def turn_order(visit: _Looker, search_id: str) -> Response:
    """The same search, from the other end."""
    body = kept_search(visit, search_id)
    turned = body.model_copy(update={"oldest_first": not body.oldest_first})
    return visit.redirect(f"/search/{keep_search(visit, turned)}")


class SearchRequest(SearchBody):
    """A search, and which page of it."""

    limit: Annotated[int, Field(ge=1, le=1000)] = PAGE_SIZE
    after: str = ""
    """`next` of the page before."""


class FoundPage(BaseModel):
    """One page of a search."""

    reads: list[dict[str, Any]]
    next: str | None
    """Where the next page starts; null after the last one."""
    complete_to_us: int | None
    """The search was cut because many reads around the area were looked at: all up to this time, in the order of the
    search, are on this page and those before. `next` goes on. Null if it was not cut."""


@router.post("/api/1/reads/search", tags=["reads"])
def search_for_programs(visit: _Looker, asked: SearchRequest) -> FoundPage:
    """Search reads by plate, place, time, unit, camera and confidence, the latest first."""
    page = visit.query.search(asked.to_search(), limit=asked.limit, after=place_of(asked.after))
    return FoundPage(
        reads=[read_values(stored) for stored in page.records],
        next=next_token(page.after),
        complete_to_us=page.complete_to_us,
    )


def _form(visit: Visit, body: SearchBody, message: str, status: int) -> Response:
    return visit.page(
        "search.html", status=status, body=body, message=message, searched=False, reads=[], search_id="",
        first=None, next_address=None, may_export=False, complete_to_us=None,
    )  # fmt: skip


PAGE = PageModule(
    router, (NavigationEntry("Search", "/search", Right.SEARCH, "Reads by plate, place, time, unit and camera."),)
)
