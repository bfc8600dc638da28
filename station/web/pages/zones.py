"""Zones drawn or imported, checkpoints, vehicles, equipment and people."""

from __future__ import annotations

import json
from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.responses import Response

from station.accounts.rights import Right
from station.deployment.model import Asset, Checkpoint, Person
from station.deployment.times import parse_day
from station.deployment.zones import MAX_FILE_BYTES, make_zone, position_e7, zones_as_geojson
from station.errors import DeploymentError
from station.web.deployment import asks, does, picture_of
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Reader = Annotated[Visit, Depends(Needs(Right.DEPLOYMENT, why=True))]
_Planner = Annotated[Visit, Depends(Needs(Right.EDIT_DEPLOYMENT, why=True))]
_Short = Annotated[str, Form(max_length=64)]
_E7 = 10**7
_IMPORT = "/deployment/zones/import"


@router.get("/deployment/zones", include_in_schema=False)
def zones(visit: _Reader) -> Response:
    """Zones and places on a drawing."""
    return _zones(visit)


@router.get("/deployment/zones.geojson", include_in_schema=False)
def zones_file(visit: _Reader) -> Response:
    """Zones as GeoJSON."""
    text = json.dumps(zones_as_geojson(asks(visit).places().resources.zones), ensure_ascii=False)
    return Response(text, media_type="application/geo+json")


@router.post("/deployment/zones", include_in_schema=False)
def draw_zone(
    visit: _Planner, name: _Short, corners: Annotated[str, Form(max_length=32_768)], title: _Short = ""
) -> Response:
    """Add a zone that was drawn, or typed: a corner a line, latitude first."""
    try:
        made = make_zone(name.strip(), title.strip() or name.strip(), _corners(corners))
        pairs = does(visit).put_zones([made])
    except DeploymentError as error:
        return _zones(visit, message=str(error), status=400)
    own = [pair for pair in pairs if made.id in pair]
    if own:
        others = ", ".join(one for pair in own for one in pair if one != made.id)
        return _zones(
            visit, message=f"{made.id} overlaps with {others}: reads and minutes there count in both", kind="warn"
        )
    return visit.redirect("/deployment/zones")


@router.post(_IMPORT, include_in_schema=False)
def import_zones(visit: _Planner, geojson: Annotated[str, Form(max_length=MAX_FILE_BYTES)]) -> Response:
    """Add the zones of a GeoJSON file, all or none."""
    try:
        found, pairs = does(visit).import_zones(geojson)
    except DeploymentError as error:
        return _zones(visit, message=str(error), status=400)
    told = "; ".join(f"{one} and {other} overlap" for one, other in pairs[:5])
    return _zones(
        visit, message=f"{len(found)} zones taken; {told}" if told else f"{len(found)} zones taken", kind="good"
    )


@router.post("/deployment/places", include_in_schema=False)
def add_place(
    visit: _Planner,
    *,
    kind: _Short,
    name: _Short,
    title: _Short = "",
    at: _Short = "",
    unit: _Short = "",
    out: _Short = "",
) -> Response:
    """Add a checkpoint, a vehicle or equipment."""
    try:
        if kind == "checkpoint":
            does(visit).put_checkpoint(Checkpoint(name, title or name, *_place(at)))
        else:
            does(visit).put_asset(Asset(name, kind, title, unit, out))
    except DeploymentError as error:
        return _zones(visit, message=str(error), status=400)
    return visit.redirect("/deployment/zones")


@router.post("/deployment/drop", include_in_schema=False)
def drop(visit: _Planner, kind: _Short, name: _Short) -> Response:
    """Delete a zone, a place or a person that no coming shift needs."""
    try:
        does(visit).drop(kind, name)
    except DeploymentError as error:
        return _zones(visit, message=str(error), status=400)
    return visit.redirect("/deployment/people" if kind == "person" else "/deployment/zones")


@router.get("/deployment/people", include_in_schema=False)
def people(visit: _Reader) -> Response:
    """Who can be planned."""
    return _people(visit)


@router.post("/deployment/people", include_in_schema=False)
def add_person(
    visit: _Planner,
    *,
    badge: _Short,
    name: _Short,
    right: Annotated[list[str], Form()],
    training_until: _Short = "",
    overtime_class: _Short = "",
    active: _Short = "yes",
    account: _Short = "",
) -> Response:
    """Add a person, or change one."""
    try:
        until = parse_day(training_until) if training_until.strip() else None
        one = Person(
            badge.strip(),
            name.strip(),
            tuple(right),
            until,
            overtime_class,
            active=active == "yes",
            account=account.strip(),
        )
        does(visit).put_people([one])
    except DeploymentError as error:
        return _people(visit, message=str(error), status=400)
    return visit.redirect("/deployment/people")


def _zones(visit: Visit, *, message: str = "", kind: str = "bad", status: int = 200) -> Response:
    places = asks(visit).places()
    found = places.resources
    shapes = [(zone, [(lat / _E7, lon / _E7) for lat, lon in zone.corners]) for zone in found.zones]
    points = [(place.lat_e7 / _E7, place.lon_e7 / _E7) for place in found.checkpoints]
    drawing = picture_of([*points, *(corner for _, corners in shapes for corner in corners)])
    return visit.page(
        "zones.html", status=status, places=places, shapes=shapes, drawing=drawing, message=message, kind=kind,
        may_edit=visit.may(Right.EDIT_DEPLOYMENT),
    )  # fmt: skip


def _people(visit: Visit, *, message: str = "", status: int = 200) -> Response:
    query = asks(visit)
    return visit.page(
        "people.html", status=status, people=query.people().people, settings=query.settings(), message=message,
        may_edit=visit.may(Right.EDIT_DEPLOYMENT),
    )  # fmt: skip


def _place(text: str) -> tuple[int, int]:
    """Raises DeploymentError unless it is one position."""
    corners = _corners(text)
    if len(corners) != 1:
        raise DeploymentError("give the position of the checkpoint: latitude and longitude, as 44.02, -99.95")
    return position_e7(*corners[0])


def _corners(text: str) -> list[tuple[float, float]]:
    """Raises DeploymentError naming the line."""
    found = []
    for number, line in enumerate(filter(None, (one.strip() for one in text.splitlines())), 1):
        try:
            lat, lon = (float(part) for part in line.replace(",", " ").split())
        except ValueError:
            raise DeploymentError(
                f"line {number}, {line[:40]!r}: write latitude and longitude, as 44.02, -99.95"
            ) from None
        found.append((lat, lon))
    return found


PAGE = PageModule(
    router,
    (
        NavigationEntry(
            "Zones", "/deployment/zones", Right.DEPLOYMENT, "Zones, checkpoints, vehicles, equipment."
        ),
        NavigationEntry("People", "/deployment/people", Right.DEPLOYMENT, "Who can be planned."),
    ),
    {_IMPORT: MAX_FILE_BYTES * 2},
)
