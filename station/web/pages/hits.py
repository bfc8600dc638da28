"""Hits, which are leads: by list, owner and what became of them; one hit with its pictures, evidence and decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from station.accounts.rights import Right
from station.query.hits import hit_values
from station.query.ledger import HitPage, LedgerQuery
from station.store.hit_search import HitPlace, HitSearch
from station.store.hit_state import STATES, UNDECIDED
from station.web.errors import RefusedError
from station.web.page import NavigationEntry, PageModule
from station.web.paths import hit_path, read_path
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

if TYPE_CHECKING:
    from station.query.hits import StoredHit

router = APIRouter(dependencies=SAFE_TEXTS)
_Viewer = Annotated[Visit, Depends(Needs(Right.HITS, why=True))]
PAGE_SIZE = 50
_DAY_US = 86_400_000_000
_MAX_DAYS = 36_500
_MAX_TEXT = 128
PERIODS = ((7, "7 days"), (30, "30 days"), (90, "90 days"), (365, "a year"), (0, "all"))
"""Days, and what they are called."""
UNDECIDED_NAME = "undecided"
OLDEST = "oldest"
_Text = Annotated[str, Query(max_length=_MAX_TEXT)]
_Id = Annotated[str, Path(pattern="^[0-9a-f]{32}$")]
_Sha = Annotated[str, Path(pattern="^[0-9a-f]{64}$")]


@dataclass(frozen=True, slots=True)
class Filters:
    """What the form has."""

    list: str = ""
    owner: str = ""
    unit: str = ""
    state: str = ""
    """One of ``STATES``, or ``undecided``."""
    reason: str = ""
    outcome: str = ""
    days: int = 30
    """0: all."""
    order: str = ""
    """``oldest``: the oldest first."""

    def search(self, now_us: int) -> HitSearch:
        """As the query takes it.  Raises RefusedError for an unknown state."""
        if self.state not in {"", UNDECIDED_NAME, *STATES}:
            raise RefusedError(422, "invalid", f"state: use {UNDECIDED_NAME}, {', '.join(STATES)}")
        states = UNDECIDED if self.state == UNDECIDED_NAME else (self.state,) if self.state else ()
        return HitSearch(
            list_id=self.list or None,
            list_owner=self.owner or None,
            unit=self.unit or None,
            states=states,
            outcome=self.outcome or None,
            reason=self.reason or None,
            since_us=now_us - self.days * _DAY_US if self.days else None,
            ascending=self.order == OLDEST,
        )

    def address(self, **changes: str) -> str:
        """Return the page with these filters and some changed."""
        values = {name: getattr(self, name) for name in self.__slots__}
        chosen = {name: value for name, value in {**values, **changes}.items() if value not in {"", 30}}
        return f"/hits?{urlencode(chosen)}" if chosen else "/hits"


def _filters(  # noqa: PLR0917 - one for each field of the form
    list: _Text = "",  # noqa: A002 - the name in the address
    owner: _Text = "",
    unit: _Text = "",
    state: _Text = "",
    reason: _Text = "",
    outcome: _Text = "",
    days: Annotated[int, Query(ge=0, le=_MAX_DAYS)] = 30,
    order: Annotated[str, Query(pattern="^(oldest)?$")] = "",
) -> Filters:
    return Filters(list, owner, unit, state, reason, outcome, days, order)


_Filters = Annotated[Filters, Depends(_filters)]


@router.get("/hits", include_in_schema=False)
def show_hits(visit: _Viewer, filters: _Filters, after: _Text = "") -> Response:
    """The ledger by list and owner, and the hits themselves."""
    query, search = _query(visit), filters.search(visit.desk.clock_us())
    page = query.hit_page(search, limit=PAGE_SIZE, after=_place(after))
    lists = query.yields(search) if not after else []
    following = "" if page.after is None else filters.address(after=_cursor(page.after))
    return visit.page(
        "hits.html", filters=filters, lists=lists, rows=[_row(hit) for hit in page.hits], following=following,
        first=filters.address() if after else "", periods=PERIODS, states=(UNDECIDED_NAME, *STATES),
        is_first=not after,
    )  # fmt: skip


@router.get("/hits/{unit}/{hit_id}", include_in_schema=False)
def show_hit(visit: _Viewer, unit: str, hit_id: _Id) -> Response:
    """One hit with all its records."""
    found = _query(visit).hit_file(unit, bytes.fromhex(hit_id), visit.desk.ring)
    if found is None:
        raise RefusedError(404, "unknown", "there is no such lead: its retention has ended, or it never was")
    hit = found.hit.hit
    characters = [(c, value / 255) for c, value in zip(hit.text, hit.char_confidence_u8, strict=True)]
    return visit.page(
        "hit.html", file=found, stored=found.hit, hit=hit, characters=characters, path=hit_path(unit, hit.hit_id),
        has_keys=visit.desk.ring is not None, read_path=read_path(unit, hit.read_id) if visit.may(Right.SEARCH) else "",
    )  # fmt: skip


@router.get("/hits/{unit}/{hit_id}/pictures/{sha256}", include_in_schema=False)
def show_picture(visit: _Viewer, unit: str, hit_id: _Id, sha256: _Sha) -> Response:
    """A picture of a hit."""
    found = _query(visit).hit_picture(unit, bytes.fromhex(hit_id), bytes.fromhex(sha256))
    if found is None:
        raise RefusedError(404, "unknown", "the picture has not arrived completely, or was deleted")
    return Response(found, media_type="image/jpeg")


@router.get("/api/1/hits", tags=["hits"])
def hits_for_programs(
    visit: _Viewer, filters: _Filters, after: _Text = "", limit: Annotated[int, Query(ge=1, le=200)] = PAGE_SIZE
) -> dict[str, Any]:
    """Hits by time, the latest first, or with ``order=oldest`` the oldest; ``after`` is that of the next page."""
    search = filters.search(visit.desk.clock_us())
    page: HitPage = _query(visit).hit_page(search, limit=limit, after=_place(after))
    return {
        "hits": [hit_values(hit) for hit in page.hits],
        "after": None if page.after is None else _cursor(page.after),
    }


@router.get("/api/1/hits/lists", tags=["hits"])
def ledger_for_programs(visit: _Viewer, filters: _Filters) -> dict[str, Any]:
    """What became of the hits of each list."""
    found = _query(visit).yields(filters.search(visit.desk.clock_us()))
    return {
        "lists": [
            {
                "list": one.list_id, "list_name": one.list_name, "owner": one.owner, "hits": one.hits,
                "undecided": one.undecided, "states": dict(one.states), "reasons": dict(one.reasons),
                "outcomes": dict(one.outcomes),
            }
            for one in found
        ]
    }  # fmt: skip


def _query(visit: Visit) -> LedgerQuery:
    return LedgerQuery(visit.desk.store, visit.asker, visit.desk.clock_us)


def _row(stored: StoredHit) -> dict[str, Any]:
    hit = stored.hit
    return {
        "stored": stored,
        "hit": hit,
        "path": hit_path(stored.record.unit, hit.hit_id),
        "kind": {"confirmed": "good", "new": "bad", "acknowledged": "warn"}.get(stored.state, ""),
    }


def _cursor(place: HitPlace) -> str:
    made_us, unit, hit_id = place
    return f"{made_us}.{hit_id.hex()}.{unit}"


def _place(after: str) -> HitPlace | None:
    """Raises RefusedError for a place that this page has not made."""
    if not after:
        return None
    try:
        made_us, hit_id, unit = after.split(".", 2)
        place = int(made_us), unit, bytes.fromhex(hit_id)
    except ValueError:
        raise RefusedError(422, "invalid", "after: use the value of the page before") from None
    if abs(place[0]) >= 2**63:
        raise RefusedError(422, "invalid", "after: use the value of the page before")
    return place


PAGE = PageModule(
    router,
    (
        NavigationEntry(
            "Leads", "/hits", Right.HITS, "Hits of lists, what officers decided, and what became of them."
        ),
    ),
)
