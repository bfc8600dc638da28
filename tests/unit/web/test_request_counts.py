"""Requests of the pages as metrics: by route, without anything that whoever asks could choose."""

from __future__ import annotations

from itertools import count

import pytest
from prometheus_client.parser import text_string_to_metric_families

from protocol.metrics import exposition
from station.web.page_list import PAGES
from station.web.request_counts import BOUNDS_S, CountRequests, RequestCounts
from tests.station_people import PLATES, fill
from tests.station_web import open_web

REQUESTS = "patrol_lpr_station_web_requests"
SECONDS = "patrol_lpr_station_web_request_seconds"


@pytest.fixture
def web(tmp_path):
    return open_web(tmp_path / "station.db", fill=fill)


def told(web):
    """The text, and its families by name."""
    text = exposition(web.app.state.requests.samples())
    return text, {family.name: family for family in text_string_to_metric_families(text)}


def answers(web):
    labels = ("method", "route", "status")
    samples = told(web)[1][REQUESTS].samples
    return {tuple(one.labels[name] for name in labels): one.value for one in samples}


def test_requests_are_counted_by_route_and_class_of_the_answer(web):
    browser = web.logged_in("analyst")
    before = answers(web)
    for number in (1, 2, 99):
        browser.get(f"/reads/unit-07/{number:032x}")
    browser.get("/accounts")
    browser.get("/static/station.css")
    found = {key: value - before.get(key, 0) for key, value in answers(web).items()}
    assert {key: value for key, value in found.items() if value} == {
        ("GET", "/reads/{unit}/{record_id}", "2xx"): 2,
        ("GET", "/reads/{unit}/{record_id}", "4xx"): 1,
        ("GET", "/accounts", "4xx"): 1,
        ("GET", "/static", "2xx"): 1,
    }


def test_what_is_asked_for_is_in_no_label(web):
    """Ids, names, searches and plates in addresses and bodies; addresses and methods that do not exist."""
    browser = web.logged_in("analyst")
    browser.post("/search", {"plates": PLATES[0]})
    browser.get(f"/reads/unit-07/{1:032x}")
    for number in range(50):
        browser.get(f"/{PLATES[0]}/{number}")
        browser.get(f"/static/{PLATES[0]}{number}.css")
        browser.get(f"/units/u{number}")
    browser.send("PLATE7ABC", "/search")
    browser.get("/", headers={"host": "evil.example.org"})
    text, found = told(web)
    for secret in (PLATES[0], "unit-07", f"{1:032x}", "u49", "evil", "PLATE", "a-analyst"):
        assert secret not in text
    routes = {sample.labels["route"] for sample in found[REQUESTS].samples}
    assert routes <= {route.path for page in PAGES for route in page.router.routes} | {"none", "/static"}
    assert answers(web)["other", "none", "4xx"] == 1


def test_the_histogram_is_one(web):
    """Buckets add up, the last one is the count, and the sum is that of the seconds."""
    counts = RequestCounts()
    for seconds in (0.001, 0.01, 0.2, 4.0, 60.0):
        counts.note(("GET", "/map"), 200, seconds)
    family = next(iter(text_string_to_metric_families(exposition(counts.samples()[1:]))))
    assert (family.name, family.type) == (SECONDS, "histogram")
    values = {(one.name, one.labels.get("le")): one.value for one in family.samples}
    buckets = [values[f"{SECONDS}_bucket", bound] for bound in (*map(str, BOUNDS_S), "+Inf")]
    assert buckets == [2, 2, 2, 2, 3, 3, 3, 4, 5]
    assert (values[f"{SECONDS}_count", None], values[f"{SECONDS}_sum", None]) == (5, pytest.approx(64.211))


async def fail(scope, receive, send):
    raise RuntimeError("broken")


async def stream(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for _ in range(100):
        await send({"type": "http.response.body", "body": b"x", "more_body": True})


@pytest.mark.parametrize(("app", "status"), [(fail, "5xx"), (stream, "2xx")])
def test_a_crash_is_counted_and_a_stream_ends_with_its_first_byte(app, status):
    ticks = count()
    counts = RequestCounts()
    middleware = CountRequests(app, counts=counts, clock_s=lambda: float(next(ticks)))

    async def sent(_):
        next(ticks)

    asked = middleware({"type": "http", "method": "GET", "path": "/x"}, None, sent)
    try:
        while True:
            asked.send(None)
    except (StopIteration, RuntimeError):
        pass
    samples = {(one.name + one.suffix, one.labels[-1][1]): one.value for one in counts.samples()}
    assert samples[f"{REQUESTS}_total", status] == 1
    assert samples[f"{SECONDS}_sum", "none"] == 1.0
