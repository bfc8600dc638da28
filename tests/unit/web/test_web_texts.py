"""Characters that no text of PostgreSQL can have, in each part of each route: refused on both stores."""

from __future__ import annotations

import json
import re

import pytest

from station.accounts.rights import Role
from station.web.page_list import PAGES
from station.web.search_body import next_token
from tests.contract.test_station_store import make, store
from tests.station_people import fill
from tests.station_web import Web
from tests.unit.web.test_web_numbers import USUAL, routes

__all__ = ["make", "store"]
pytestmark = pytest.mark.slow
HALF = "\ud83d"
"""Half of a character: a form may name an encoding in which it stands alone, and JSON may write it."""
TEXTS = ("\0", "26-1\0", f"x{HALF}")
PARAMETER = re.compile(r"\{[a-z_0-9]+\}")
SEARCHES = "/api/1/reads/search"


@pytest.fixture
def web(store, monkeypatch):
    monkeypatch.setattr("station.web.pages.maps.MAX_STEPS", 1)
    monkeypatch.setattr("station.web.pages.maps.STEP_S", 0)
    fill(store)
    return Web(store)


def refused(answer) -> bool:
    return answer.status_code == 400 and "NUL character or half of a character" in answer.text


def encoded(fields):
    """A form in an encoding that has these texts."""
    parts = "".join(
        f'--b\r\ncontent-disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    content = f"{parts}--b--\r\n".encode("unicode_escape").replace(b"\\r\\n", b"\r\n")
    return content, {"content-type": "multipart/form-data; boundary=b; charset=unicode_escape"}


def test_no_text_in_any_field_is_a_fault_of_the_station(web):
    """Each field of each form in turn, and each value in an address."""
    browsers = {role: web.logged_in(role) for role in Role}
    tokens = {role: browser.csrf() for role, browser in browsers.items()}
    asked = 0
    for method, path, role, in_address, in_form in routes():
        browser = browsers[role]
        headers = {"origin": browser.base_url, "x-csrf-token": tokens[role]}
        for name in sorted(in_address):
            answer = browser.send(method, path, params={**USUAL, name: "a\0b"}, headers=headers)
            assert refused(answer), (method, path, name, answer.status_code, answer.text)
            asked += 1
        for name in sorted(in_form):
            for text in TEXTS:
                content, kind = encoded({**USUAL, name: text})
                answer = browser.send(method, path, content=content, headers=headers | kind)
                assert refused(answer), (method, path, name, text, answer.status_code, answer.text)
                asked += 1
    assert asked > 300, asked


def test_no_text_in_a_path_is_a_fault_of_the_station(web):
    """Whether or not somebody is logged in, and whether or not there is such a route."""
    paths = {route.path for page in PAGES for route in page.router.routes}
    for browser in (web.logged_in("supervisor"), web.browser()):
        for path in sorted(paths):
            for part in PARAMETER.findall(path):
                asked = PARAMETER.sub("1", path.replace(part, "1%00"))
                for method in ("GET", "POST"):
                    answer = browser.send(method, asked, headers={"origin": browser.base_url})
                    assert refused(answer) or answer.status_code == 405, (method, asked, answer.status_code)
        answer = browser.post("/log-in", {"name": "jane\0", "password": "x"}, csrf=None)
        assert refused(answer), answer.text
        for path in ("/%00", "/static/%00", "/static/js/%00.js"):
            assert 400 <= browser.get(path).status_code < 500, path


@pytest.mark.parametrize("text", TEXTS)
def test_a_program_is_told_so_as_json(web, text):
    """In a value at any depth, and in a name; written as an escape, as JSON does."""
    browser = web.logged_in("analyst")
    for body in ({"unit": text}, {"plates": ["7ABC123", text]}, {"x": [{"y": [text]}]}, {text: 1}):
        assert text not in json.dumps(body)
        headers = {"origin": browser.base_url, "x-csrf-token": browser.csrf(), "content-type": "application/json"}
        answer = browser.send("POST", SEARCHES, content=json.dumps(body), headers=headers)
        assert refused(answer), answer.text
        assert answer.json()["code"] == "text"


def test_a_place_in_a_search_is_looked_at_after_it_was_decoded(web):
    """It is one text in an address, and three values for the database."""
    browser = web.logged_in("analyst")
    token = next_token((1, "unit\0", bytes(16)))
    for answer in (
        browser.post_json(SEARCHES, {"after": token}),
        browser.get(f"{browser.post('/search', {}).headers['location']}?after={token}"),
    ):
        assert answer.status_code == 400
        assert "search again" in answer.text


def test_a_zone_in_a_file_is_looked_at_after_it_was_decoded(web):
    corners = [[0, 0], [0, 1], [1, 1], [0, 0]]
    for properties in ({"id": "a\0"}, {"id": "a", "name": "b\0"}, {"id": "a", "name": HALF}):
        geometry = {"type": "Polygon", "coordinates": [corners]}
        feature = {"type": "Feature", "properties": properties, "geometry": geometry}
        text = json.dumps({"type": "FeatureCollection", "features": [feature]})
        planner = web.logged_in("supervisor", name=f"p{len(text)}")
        answer = planner.post("/deployment/zones/import", {"geojson": text})
        assert answer.status_code == 400, properties


def test_a_definition_of_a_report_with_such_texts_harms_no_page(web):
    browser = web.logged_in("supervisor")
    text = 'id = "own"\ntitle = "a\\u0000b"\nagency = "x\\u0000"\nperiod = "month"\ntables = ["reads"]\n'
    answer = browser.post("/reports/definitions", {"text": text})
    assert answer.status_code in {303, 400}, answer.text
    for path in ("/reports", "/reports/definitions", "/reports/print?definition=own&period=2026-04"):
        assert browser.get(path).status_code < 500, path


def test_deep_json_and_no_json_are_left_to_their_route(web):
    browser = web.logged_in("analyst")
    headers = {"origin": browser.base_url, "x-csrf-token": browser.csrf(), "content-type": "application/json"}
    for content in ("[" * 30_000, "{", '"\0"'):
        answer = browser.send("POST", SEARCHES, content=content, headers=headers)
        assert 400 <= answer.status_code < 500, (content[:5], answer.text)
