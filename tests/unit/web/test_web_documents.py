"""docs/api.md and docs/station-web.md say what the application has."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from cli.station import app
from cli.station_place import now_us
from station.accounts.rights import RIGHTS, Role
from station.web.page_list import PAGES
from station.web.visit import needs_of
from tests.station_web import open_web

_LINE = re.compile(r"^\| `([A-Z]+) (/api/1/\S+)` \| ([a-z-]*) *\| (yes)? *\|", re.MULTILINE)


def test_the_document_lists_every_route_for_programs(repo):
    """With its right, and whether purpose and case number are needed."""
    documented = {
        (method, path): (right or None, why == "yes")
        for method, path, right, why in _LINE.findall((repo / "docs/api.md").read_text(encoding="utf-8"))
    }
    routes = {
        (method, route.path): needs_of(route)
        for page in PAGES
        for route in page.router.routes
        for method in route.methods
        if route.path.startswith("/api/1/") and route.include_in_schema
    }
    found = {key: (needs.right and needs.right.value, needs.why) for key, needs in routes.items()}
    assert documented == found


@pytest.mark.slow
def test_the_openapi_document_has_the_same_routes(repo, tmp_path):
    document = open_web(tmp_path / "s.db").logged_in("analyst").get("/api/1/openapi.json").json()
    listed = {
        (method, path) for method, path, *_ in _LINE.findall((repo / "docs/api.md").read_text(encoding="utf-8"))
    }
    assert {(method.upper(), path) for path, methods in document["paths"].items() for method in methods} == listed
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"


def test_the_table_of_rights_is_the_codes(repo):
    text = (repo / "docs/station-web.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([a-z ,()-]+) \|((?:[ a-z]*\|){5})$", text, re.MULTILINE)
    table = {role: set() for role in Role}
    for names, cells in rows:
        if names == "right":
            continue
        given = [cell.strip() == "yes" for cell in cells.split("|")[:5]]
        for name in re.sub(r"\([^)]*\)|exports", "", names).split(","):
            for role, has in zip(Role, given, strict=True):
                table[role] |= {name.strip()} if has else set()
    assert table == {role: {right.value for right in rights} for role, rights in RIGHTS.items()}


@pytest.mark.slow
def test_accounts_are_made_on_the_command_line(tmp_path, monkeypatch):
    """The link works at the page; disabling ends what there was."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        done = CliRunner().invoke(app, ["account", *words, "--db", "station.db"])
        assert done.exit_code == 0, done.output
        return done.output

    link = re.search(
        r"/set-up/(\S+)", run("add", "jane", "--role", "analyst", "--full-name", "Jane Doe", "--agency", "A")
    )
    web = open_web(tmp_path / "station.db")
    web.clock.move((now_us() - web.clock()) / 1e6)  # as the command line has it
    fields = {"password": "correct horse 42", "again": "correct horse 42"}
    assert web.browser().post(link[0], fields, csrf=None).status_code == 303
    browser = web.browser()
    assert browser.log_in("jane").status_code == 303
    assert '"state": "ready"' in run("list", "--json")
    run("disable", "jane")
    assert browser.get("/").status_code == 303
    assert browser.log_in("jane").status_code == 403
    run("enable", "jane")
    assert "/set-up/" in run("reset", "jane")
    assert browser.log_in("jane").status_code == 403
