"""One read: pictures, characters, place and time with their quality, proof, and who looked at it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from starlette.responses import Response

from protocol.wire.records.read import Read
from station.accounts.rights import Right
from station.web.errors import RefusedError
from station.web.page import PageModule
from station.web.pages.search import keep_search
from station.web.search_body import SearchBody
from station.web.shown_read import ShownRead, data_address, read_values
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

if TYPE_CHECKING:
    from station.query import StoredRecord

router = APIRouter(dependencies=SAFE_TEXTS)
_Looker = Annotated[Visit, Depends(Needs(Right.SEARCH, why=True))]
_MAX_HISTORY = 50
_ID_DIGITS = 32


def stored_read(visit: Visit, unit: str, record_id: str) -> tuple[StoredRecord, Read]:
    """Return a read of this person's agency.  Raises RefusedError, as for one that never was."""
    try:
        wanted = bytes.fromhex(record_id) if len(record_id) == _ID_DIGITS else b""
    except ValueError:
        wanted = b""
    stored = visit.query.record(unit, wanted) if wanted else None
    if stored is None or not isinstance(stored.body, Read):
        raise RefusedError(404, "unknown", "there is no such read: it was deleted, or has not arrived")
    return stored, stored.body


@router.get("/reads/{unit}/{record_id}", include_in_schema=False)
def one_read(visit: _Looker, unit: str, record_id: str) -> Response:
    """The page of a read."""
    stored, read = stored_read(visit, unit, record_id)
    query = visit.query
    history = query.history(stored, _MAX_HISTORY)
    pictures = [(ref, data_address(jpeg)) for ref, jpeg in query.pictures(stored)]
    return visit.page(
        "read.html", shown=ShownRead(stored, read, ""), read=read, stored=stored, pictures=pictures,
        proof=query.proof(stored, visit.desk.ring), has_keys=visit.desk.ring is not None, history=history,
    )  # fmt: skip


@router.post("/reads/{unit}/{record_id}/same-plate", include_in_schema=False)
def same_plate(visit: _Looker, unit: str, record_id: str) -> Response:
    """Other reads of the plate: a look-up of its own, with an entry of its own."""
    _, read = stored_read(visit, unit, record_id)
    if not read.text:
        raise RefusedError(404, "unknown", "this read has no text")
    return visit.redirect(f"/search/{keep_search(visit, SearchBody(plates=[read.text]))}")


class Proof(BaseModel):
    """What a record's evidence says."""

    contents: str
    signature: str
    before: str
    after: str
    key_id: str
    link: str


class OneRead(BaseModel):
    """A read with its proof."""

    read: dict[str, Any]
    pictures: list[str]
    """Kinds of the pictures that have come."""
    proof: Proof


@router.get("/api/1/reads/{unit}/{record_id}", tags=["reads"])
def one_read_for_programs(visit: _Looker, unit: str, record_id: str) -> OneRead:
    """Return one read with all its values and the state of its proof."""
    stored, read = stored_read(visit, unit, record_id)
    proof = visit.query.proof(stored, visit.desk.ring)
    told = Proof(
        contents=proof.contents, signature=proof.signature, before=proof.before, after=proof.after,
        key_id=proof.key_id, link=proof.link,
    )  # fmt: skip
    return OneRead(read=read_values(stored), pictures=[ref.kind.value for ref in read.pictures], proof=told)


@router.get(
    "/api/1/reads/{unit}/{record_id}/pictures/{kind}",
    tags=["reads"],
    response_class=Response,
    responses={200: {"content": {"image/jpeg": {}}}},
)
def picture_for_programs(visit: _Looker, unit: str, record_id: str, kind: str) -> Response:
    """Return one picture of a read: `plate` or `overview`."""
    stored, _ = stored_read(visit, unit, record_id)
    for ref, jpeg in visit.query.pictures(stored):
        if ref.kind.value == kind:
            return Response(jpeg, media_type="image/jpeg")
    raise RefusedError(404, "unknown", "there is no such picture: it has not arrived, or was deleted")


PAGE = PageModule(router)
