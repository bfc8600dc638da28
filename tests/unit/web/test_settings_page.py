"""Settings that an administrator changes: categories and outcomes of incidents."""

from __future__ import annotations

import html
import re

import pytest

from protocol.wire.records.incident import ANSWERS
from station.asker import Asker, Scope
from station.planning import Planning
from tests.station_web import NOW_US, open_web


@pytest.fixture
def web(tmp_path):
    return open_web(tmp_path / "station.db")


def save(browser, categories, outcomes):
    return browser.post("/settings/incidents", {"categories": categories, "outcomes": outcomes})


def told(web):
    return [row for row in web.store.audit_trail() if row.what == "set incident answers"]


def test_categories_and_outcomes_are_changed_with_an_entry_in_the_trail(web):
    """The next roster has them, and the page of incidents offers them; other settings stay."""
    before = web.store.deployment.settings()
    browser = web.logged_in("administrator")
    assert save(browser, "theft\nburglary\ntheft", "found\narrest").status_code == 303
    after = web.store.deployment.settings()
    assert (after.categories, after.outcomes) == (("theft", "burglary"), ("found", "arrest"))
    assert (after.activities, after.keep_days) == (before.activities, before.keep_days)
    (entry,) = told(web)
    assert entry.who == "a-administrator"
    assert entry.filter == "categories=theft,burglary outcomes=found,arrest"
    roster, _ = Planning(web.store, Asker("t", "roster"), lambda: NOW_US).roster(NOW_US, NOW_US + 1)
    assert (roster.categories, roster.outcomes) == (after.categories, after.outcomes)
    page = web.logged_in("officer").get("/incidents").text
    offered = re.findall(r'<option value="([a-z-]+)"', page)
    assert {"theft", "burglary", "found", "arrest", *ANSWERS} <= set(offered)


def test_the_built_in_answers_stay(web):
    """They cannot be removed, and need not be typed."""
    browser = web.logged_in("administrator")
    assert save(browser, "theft", "none\nunknown\nfound").status_code == 303
    assert web.store.deployment.settings().outcomes == ("found",)
    assert save(browser, "theft", "").status_code == 303
    roster, _ = Planning(web.store, Asker("t", "roster"), lambda: NOW_US).roster(NOW_US, NOW_US + 1)
    assert roster.answers(roster.outcomes) == ANSWERS


@pytest.mark.parametrize(
    "categories",
    ["", " \n ", "<script>alert(1)</script>", "=1+1", "x" * 80, "\x00", "\n".join(f"c-{n}" for n in range(65))],
)
def test_what_a_roster_could_not_have_is_refused(web, categories):
    """What was typed is kept in the form; nothing is changed, nothing noted."""
    before = web.store.deployment.settings()
    answer = save(web.logged_in("administrator"), categories, "found")
    assert answer.status_code in {400, 422}
    assert "<script>alert" not in answer.text
    if categories.strip("\x00 \n"):
        assert html.escape(categories.split()[0], quote=False)[:20] in answer.text
    assert web.store.deployment.settings() == before
    assert told(web) == []


def test_an_administrator_of_a_part_does_not_change_the_agencys_settings(web):
    browser = web.logged_in("administrator", scope=Scope(units=frozenset({"unit-07"})))
    assert save(browser, "theft", "found").status_code == 404
    assert told(web) == []
