"""The pages about deployment and incidents show what the simulated month's truth says, to whom may see it."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter

import pytest

from station.asker import Asker
from station.deployment.model import Person
from station.planning import Planning
from tests.month.deploy import deploy
from tests.month.draw import make_month
from tests.month.fill import fill
from tests.month.world import SMALL
from tests.station_web import NOW_US, open_web

pytestmark = pytest.mark.slow
DAYS = f"first={SMALL.first}&days={SMALL.days + 1}"


@pytest.fixture(scope="module")
def month():
    return make_month(SMALL)


@pytest.fixture(scope="module")
def web(month, tmp_path_factory):
    def stored(store):
        does = Planning(store, Asker("test", "month"), lambda: month.last_us)
        deploy(does, month.truth)
        fill(store, month)
        does.put_people([Person("x1", "<script>alert(1)</script>")])

    made = open_web(tmp_path_factory.mktemp("web") / "station.db", fill=stored)
    made.clock.move((month.last_us - NOW_US) / 1e6)
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def supervisor(web):
    return web.logged_in("supervisor")


def cells(page, row):
    """Texts of a row of a table."""
    found = re.search(rf'<tr><th scope="row">{re.escape(row)}</th>(.*?)</tr>', page, flags=re.DOTALL)
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td.*?>(.*?)</td>", found[1], re.DOTALL)]


def test_week_shows_every_shift_by_zone_and_by_officer(supervisor, month):
    weeks = {"2027-03-08", "2027-03-15"}
    for by in ("zone", "officer"):
        pages = "".join(supervisor.get(f"/deployment/plan?week={week}&by={by}").text for week in weeks)
        for one in month.truth.plan:
            assert f"/deployment/plan/{one.id}" in pages


def test_hours_page_and_file_equal_the_simulated_hours(supervisor, month):
    page = supervisor.get(f"/deployment/hours?{DAYS}").text
    worked, planned = Counter(), Counter()
    for work in month.truth.shifts:
        worked[work.badge] += work.worked_s
    for plan in month.truth.plan:
        planned[plan.badge] += plan.planned_s
    for badge in planned:
        assert cells(page, badge)[:2] == [f"{planned[badge] / 3600:.1f}", f"{worked[badge] / 3600:.1f}"]
    rows = csv.DictReader(supervisor.get(f"/deployment/hours?{DAYS}&form=csv").text.splitlines())
    assert {row["name"]: float(row["actual_h"]) for row in rows if float(row["actual_h"])} == {
        badge: pytest.approx(seconds / 3600, abs=0.001) for badge, seconds in worked.items()
    }


def test_coverage_page_equals_the_simulated_coverage(supervisor, month):
    page = supervisor.get(f"/deployment/coverage?{DAYS}").text
    reads = Counter()
    for period in month.truth.coverage:
        for zone, _, _, count in period.zones:
            reads[zone or "outside all zones"] += count
    for zone, count in reads.items():
        assert cells(page, zone)[2] == f"{count:,}"
    shapes = json.loads(supervisor.get(f"/deployment/coverage?{DAYS}&form=geojson").text)["features"]
    assert {shape["id"]: shape["properties"]["reads"] for shape in shapes} == {
        zone: count for zone, count in reads.items() if " " not in zone
    }


def test_incidents_page_and_files_equal_the_simulated_incidents(supervisor, month):
    page = supervisor.get(f"/incidents?{DAYS}").text
    truth = month.truth.incidents
    assert f"{len(truth)} incidents." in page
    for one in truth:
        assert f"/incidents/{one.incident_id.hex()}" in page
    rows = list(csv.DictReader(supervisor.get(f"/incidents?{DAYS}&form=csv").text.splitlines()))
    assert {row["incident"]: row["outcome"] for row in rows} == {
        one.incident_id.hex(): one.outcome for one in truth
    }
    heat = json.loads(supervisor.get(f"/incidents?{DAYS}&form=heat-map").text)["features"]
    assert sum(cell["properties"]["count"] for cell in heat) == len(truth)
    few = supervisor.get(f"/incidents?{DAYS}&outcome=none").text
    assert f"{sum(one.outcome == 'none' for one in truth)} incidents." in few


def test_deleted_read_of_an_incident_says_so(supervisor, month):
    gone = {read.read_id for read in month.truth.reads if read.purged}
    one = next(one for one in month.truth.incidents if gone & set(one.reads))
    page = supervisor.get(f"/incidents/{one.incident_id.hex()}").text
    assert page.count("deleted under its retention policy") == len(gone & set(one.reads))


def test_auditor_sees_an_incident_without_plates(web, supervisor, month):
    """Who may see the audit trail may not see plates."""
    here = {read.read_id for read in month.truth.reads if not read.purged}
    one = next(one for one in month.truth.incidents if here & set(one.reads))
    address = f"/incidents/{one.incident_id.hex()}"
    assert '<span class="plate">' in supervisor.get(address).text
    page = web.logged_in("auditor", name="auditor-of-incidents").get(address)
    assert page.status_code == 200
    assert '<span class="plate">' not in page.text


@pytest.mark.parametrize("form", ["hours", "coverage"])
def test_printed_pages_have_no_script(supervisor, form):
    answer = supervisor.get(f"/deployment/{form}?{DAYS}&form=print")
    assert answer.status_code == 200
    assert "<script" not in answer.text


@pytest.mark.parametrize("address", ["/incidents/zz", "/incidents/" + "0" * 32, "/deployment/plan/none"])
def test_what_is_not_there_is_not_found(supervisor, address):
    assert supervisor.get(address).status_code == 404


@pytest.mark.parametrize(
    "address",
    [
        "/incidents?cell_m=1",
        "/incidents?first=x",
        "/deployment/coverage?by=officer",
        "/deployment/hours?first=0001-01-01",
    ],
)
def test_impossible_questions_are_refused(supervisor, address):
    assert supervisor.get(address).status_code == 400


FORM = {
    "badge": "1000", "starts": "2027-04-05 06:00", "ends": "2027-04-05 16:00", "zone": "north", "vehicle": "unit-01",
    "task": "patrol", "equipment": "radio-1", "hours": "patrol 9; report 1",
}  # fmt: skip


def test_form_of_before_drops_no_assignment_that_was_made_meanwhile(supervisor, web):
    """Sending somebody elsewhere at 10:00 replaces what comes later: also what the person has not seen."""
    address = "/deployment/plan?week=2027-05-03"
    form = {**FORM, "starts": "2027-05-05 08:00", "ends": "2027-05-05 16:00", "hours": "patrol 8"}
    assert supervisor.post(address, form).status_code == 303
    (name,) = set(re.findall(r"/deployment/plan/(s-[0-9a-f]+)", supervisor.get(address).text))
    (version,) = set(re.findall(r'name="version" value="(\d+)"', supervisor.get(f"/deployment/plan/{name}").text))
    other = {"at": "2027-05-05 12:00", "zone": "river", "version": version}
    assert supervisor.post(f"/deployment/plan/{name}/assign", other).status_code == 303
    late = supervisor.post(f"/deployment/plan/{name}/assign", {**other, "at": "2027-05-05 10:00"})
    assert late.status_code == 400
    assert "changed by somebody else" in late.text
    assert len(web.store.deployment.shift(name).assignments) == 2


def test_shift_is_planned_moved_sent_elsewhere_and_cancelled(supervisor, web):
    assert supervisor.post("/deployment/plan?week=2027-04-05", FORM).status_code == 303
    page = supervisor.get("/deployment/plan?week=2027-04-05").text
    (name,) = set(re.findall(r"/deployment/plan/(s-[0-9a-f]+)", page))
    moved = {**FORM, "starts": "2027-04-06 06:00", "ends": "2027-04-06 16:00", "version": "1"}
    assert supervisor.post(f"/deployment/plan/{name}", moved).status_code == 303
    assert "changed by somebody else" in supervisor.post(f"/deployment/plan/{name}", moved).text
    sent = {"at": "2027-04-06 11:00", "zone": "river", "vehicle": "unit-02"}
    assert supervisor.post(f"/deployment/plan/{name}/assign", sent).status_code == 303
    assert "river" in supervisor.get(f"/deployment/plan/{name}").text
    assert supervisor.post(f"/deployment/plan/{name}/cancel", {"version": "3"}).status_code == 303
    assert "This shift is cancelled" in supervisor.get(f"/deployment/plan/{name}").text


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"starts": "2027-03-14 02:30"}, "does not exist"),
        ({"badge": "<script>"}, "nobody who can be planned"),
        ({"hours": "patrol lots"}, "are no hours"),
        ({"ends": "2027-04-05 05:00"}, "ends before it starts"),
    ],
)
def test_impossible_shift_is_refused_and_the_form_keeps_what_was_typed(supervisor, changed, said):
    answer = supervisor.post("/deployment/plan?week=2027-04-05", {**FORM, **changed})
    assert answer.status_code == 400
    assert said in answer.text
    assert 'value="patrol' in answer.text
    assert "<script>" not in answer.text


def test_zone_is_drawn_and_one_that_crosses_itself_is_refused(supervisor):
    bow = {"name": "bow", "title": "Bow", "corners": "0, 0\n1, 1\n1, 0\n0, 1"}
    answer = supervisor.post("/deployment/zones", bow)
    assert (answer.status_code, "it crosses itself" in answer.text) == (400, True)
    east = {
        "name": "east",
        "title": "East",
        "corners": "44.00, -99.95\n44.00, -99.80\n44.05, -99.80\n44.05, -99.95",
    }
    assert "east overlaps with river" in supervisor.post("/deployment/zones", east).text
    shapes = supervisor.get("/deployment/zones.geojson").json()
    assert "east" in {shape["id"] for shape in shapes["features"]}
    assert supervisor.post("/deployment/zones/import", {"geojson": json.dumps(shapes)}).status_code == 200
    assert supervisor.post("/deployment/drop", {"kind": "zone", "name": "east"}).status_code == 303


def test_names_are_shown_as_text(supervisor):
    page = supervisor.get("/deployment/people").text
    assert "&lt;script&gt;alert(1)" in page
    assert "<script>alert" not in page


def test_officer_sees_own_shifts_and_no_others(web, month):
    person = next(one for one in month.truth.people if one.badge == "1000")
    does = Planning(web.store, Asker("test", "accounts"), lambda: month.last_us)
    does.put_people([Person(person.badge, person.name, training_until=person.training_expires, account="o-first")])
    officer = web.logged_in("officer", name="o-first", why=False)
    page = officer.get(f"/deployment/own?{DAYS}").text
    own = [one for one in month.truth.plan if one.badge == "1000"]
    assert page.count('<td class="nowrap">') >= 2 * len(own)
    for address in ("/deployment/plan", "/deployment/hours", "/deployment/where", "/deployment/people"):
        assert officer.get(address).status_code == 403


def test_officer_without_a_badge_sees_no_shifts(web):
    officer = web.logged_in("officer", name="o-other", why=False)
    assert "Nothing is planned for you." in officer.get(f"/deployment/own?{DAYS}").text


def test_auditor_reads_the_plan_and_changes_nothing(web):
    auditor = web.logged_in("auditor")
    page = auditor.get("/deployment/plan?week=2027-03-08")
    assert page.status_code == 200
    assert "Plan a shift" not in page.text
    assert auditor.post("/deployment/plan", FORM).status_code == 403
