"""Numbers that are none, endless or beyond every calendar, in each field of each route: refused, never a fault."""

from __future__ import annotations

import re

import pytest
from pydantic import BaseModel

from station.accounts.rights import RIGHTS, Role
from station.web.page_list import PAGES
from station.web.visit import needs_of
from tests.station_people import fill
from tests.station_web import open_web

NUMBERS = ("nan", "-inf", "-1", "0", "9" * 25, "1" * 5000, "9999-12-31T23:59:59")
IN_TEXTS = ("nan,nan", "0 inf", "0,0,inf", "0,0;1,nan;1,1", "patrol inf")
"""Some fields are texts with numbers in them."""
USUAL = {
    "area": "0,0,5", "at": "44.02, -99.95", "badge": "1000", "cars": "1000", "case_number": "26-1", "corners": "0 0",
    "definition": "ab-1481", "ends": "2026-05-12 16:00", "first": "2026-05-11", "hours": "patrol 8.5",
    "kind": "checkpoint", "name": "gate", "overtime_class": "regular", "period": "2026-04", "purpose": "stolen car",
    "radius_m": "5", "lat_deg": "1", "lon_deg": "1", "starts": "2026-05-12 06:00",
}  # fmt: skip
"""What a field has while it is another's turn."""
ENDS_SESSION = {"/log-out", "/account/password"}


@pytest.fixture
def web(tmp_path, monkeypatch):
    monkeypatch.setattr("station.web.pages.maps.MAX_STEPS", 1)
    monkeypatch.setattr("station.web.pages.maps.STEP_S", 0)
    return open_web(tmp_path / "station.db", fill=fill)


def names_of(dependant, kind):
    """Names in the address or the form; those of a model are its fields."""
    for field in getattr(dependant, kind):
        type_ = field.field_info.annotation
        if isinstance(type_, type) and issubclass(type_, BaseModel):
            yield from type_.model_fields
        else:
            yield field.alias
    for other in dependant.dependencies:
        yield from names_of(other, kind)


def routes():
    """Method, path, role that may, names in the address, names in the form."""
    for page in PAGES:
        for route in page.router.routes:
            needs = needs_of(route)
            if needs is None or route.path in ENDS_SESSION:
                continue
            role = next(role for role in Role if needs.right is None or needs.right in RIGHTS[role])
            in_address, in_form = (
                set(names_of(route.dependant, kind)) for kind in ("query_params", "body_params")
            )
            for method in sorted(route.methods - {"HEAD"}):
                yield method, re.sub(r"\{[a-z_]+\}", "1".rjust(32, "0"), route.path), role, in_address, in_form


@pytest.mark.parametrize("at", ["inf 0", "0, nan", "1e400, 1", "1e308 1", "91 0", "", "1 1\n2 2"])
def test_a_checkpoint_without_a_position_is_refused_with_the_reason(web, at):
    answer = web.logged_in("supervisor").post(
        "/deployment/places", {"kind": "checkpoint", "name": "gate", "at": at}
    )
    assert answer.status_code == 400
    assert "position" in answer.text
    assert not web.store.deployment.resources().checkpoints


@pytest.mark.parametrize("corner", ["inf 0", "0 nan", "1e400 0", "-inf -inf"])
def test_a_zone_with_an_endless_corner_is_refused_with_the_reason(web, corner):
    answer = web.logged_in("supervisor").post("/deployment/zones", {"name": "a", "corners": f"0 0\n0 1\n{corner}"})
    assert answer.status_code == 400
    assert "is no position: use degrees, latitude first" in answer.text


@pytest.mark.parametrize("number", ["1" + "0" * 400, "NaN", "Infinity", "1e400"])
def test_a_file_of_zones_with_endless_numbers_is_refused_with_the_reason(web, number):
    text = (
        '{"type": "FeatureCollection", "features": [{"type": "Feature", "properties": {"id": "a"}, "geometry": '
        '{"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, %s], [0, 0]]]}}]}'
    )
    answer = web.logged_in("supervisor").post("/deployment/zones/import", {"geojson": text % number})
    assert answer.status_code == 400
    assert "in degrees" in answer.text or "use degrees" in answer.text


@pytest.mark.slow
def test_no_number_in_any_field_is_a_fault_of_the_station(web):
    """Each field in turn, the others usual or left out."""
    browsers = {role: web.logged_in(role) for role in Role}
    tokens = {role: browser.csrf() for role, browser in browsers.items()}
    asked = 0
    for method, path, role, in_address, in_form in routes():
        for name in sorted(in_address | in_form):
            for number in (*NUMBERS, *IN_TEXTS):
                values = {**USUAL, name: number}
                params, fields = (
                    {key: values[key] for key in place if key in values} for place in (in_address, in_form)
                )
                if method == "GET":
                    answer = browsers[role].get(path, params=params)
                else:
                    answer = browsers[role].post(path, fields, params=params, csrf=tokens[role])
                asked += 1
                assert answer.status_code < 500, (method, path, name, number, answer.text)
    assert asked > 1000, asked
