"""Two people who change the same thing: whoever comes second is told, and gives nothing back unseen."""

from __future__ import annotations

import html
import re

import pytest

from station.asker import Scope
from tests.station_people import NORTH, fill
from tests.station_web import open_web


@pytest.fixture
def web(tmp_path):
    return open_web(tmp_path / "station.db", fill=fill)


def form_of(page, action):
    """The fields of the form with this address, as a browser would send them."""
    found = re.search(rf'<form method="post" action="{action}".*?</form>', page, flags=re.DOTALL)[0]
    fields = dict(re.findall(r'<input[^>]*name="([a-z_]+)"[^>]*value="([^"]*)"', found))
    fields |= dict(re.findall(r'<textarea name="([a-z_]+)"[^>]*>([^<]*)<', found))
    if chosen := re.search(r"<option selected>([a-z]+)", found):
        fields["role"] = chosen[1]
    return {name: html.unescape(value) for name, value in fields.items() if name != "csrf"}


def test_a_form_of_before_gives_no_right_back_that_was_taken_away(web):
    """One administrator limits an account; the page of another one is older, and changes the name."""
    web.add("jane", "supervisor")
    one, other = (web.logged_in("administrator", name=name) for name in ("one", "other"))
    old = form_of(other.get("/accounts/jane").text, "/accounts/jane")
    assert {"full_name", "agencies", "role"} <= set(old)
    now = {**form_of(one.get("/accounts/jane").text, "/accounts/jane"), "agencies": NORTH, "role": "analyst"}
    assert one.post("/accounts/jane", now).status_code == 303
    late = other.post("/accounts/jane", {**old, "full_name": "Jane Smith"})
    assert late.status_code == 400
    assert "changed this account meanwhile" in late.text
    account = web.accounts.get("jane")
    assert (account.role, account.scope) == ("analyst", Scope(frozenset({NORTH})))
    again = {**form_of(late.text, "/accounts/jane"), "full_name": "Jane Smith"}
    assert other.post("/accounts/jane", again).status_code == 303
    account = web.accounts.get("jane")
    assert (account.full_name, account.scope) == ("Jane Smith", Scope(frozenset({NORTH})))


def test_a_form_of_before_takes_no_category_away_that_was_added(web):
    one, other = (web.logged_in("administrator", name=name) for name in ("one", "other"))
    old = form_of(other.get("/settings").text, "/settings/incidents")
    now = form_of(one.get("/settings").text, "/settings/incidents")
    now["categories"] += "\nboat-theft"
    assert one.post("/settings/incidents", now).status_code == 303
    late = other.post("/settings/incidents", {**old, "outcomes": f"{old['outcomes']}\ntowed"})
    assert late.status_code == 400
    assert "boat-theft" in late.text, "they see what was added"
    settings = web.store.deployment.settings()
    assert "boat-theft" in settings.categories
    assert "towed" not in settings.outcomes
    again = form_of(late.text, "/settings/incidents")
    assert "towed" in again["outcomes"], "what they typed stays"
    assert other.post("/settings/incidents", again).status_code == 303, "they have seen it now, and decide"
