"""Lists in the browser: the import doctor, signed files to groups, who has which; nothing of strangers is executed."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from cli import hotlist
from station.asker import Scope
from station.lists.draft import ListFile
from station.web.settings import WebSettings
from tests.conftest import ROOT
from tests.station_web import open_web

LISTS = (ROOT / "docs/hotlists.md").read_text(encoding="utf-8")
OWNER_FILE, PLAN = (re.search(rf"```{kind}\n(.*?)```", LISTS, flags=re.DOTALL)[1] for kind in ("csv", "toml"))


@pytest.fixture
def web(tmp_path):
    (tmp_path / "trusted").mkdir()
    made = open_web(tmp_path / "station.db", settings=WebSettings(trusted=tmp_path / "trusted"))
    yield made
    made.app.state.desk.list_checks.jobs.close()


@pytest.fixture
def browser(web):
    return web.logged_in("administrator")


def upload(browser, path, fields, **files):
    named = {name: (f"{name}.bin", data) for name, data in files.items()}
    return browser.post(path, fields, files=named)


def check(browser, fields=None, **files):
    """The page that a person sees when the check of the owner's file has ended."""
    answer = upload(browser, "/lists/doctor", fields or {}, **files)
    if answer.status_code != 303:
        return answer
    assert browser.web.app.state.desk.list_checks.jobs.run_next()
    return browser.get(answer.headers["location"])


def signed(folder, version="1"):
    """A package, signed where the key is."""
    for name, text in (("stolen.csv", OWNER_FILE), ("stolen.toml", PLAN)):
        (folder / name).write_text(text, encoding="utf-8")
    authority, draft, package = folder / "authority", folder / "stolen.draft", folder / f"stolen-{version}.lprhot"
    steps = [
        ("import", folder / "stolen.csv", folder / "stolen.toml", draft),
        ("sign", draft, package, "--key", authority / "hotlist.key", "--version", version),
    ]
    if not authority.exists():
        steps.insert(0, ("keys", authority))
    for words in steps:
        done = CliRunner().invoke(hotlist.app, [str(word) for word in words])
        assert done.exit_code == 0, done.output
    return package.read_bytes()


@pytest.mark.slow
def test_doctor_reports_and_returns_the_draft(web, browser, tmp_path):
    """The draft is the one that is signed off line; it is deleted when it is told to be, or after an hour."""
    for delete in (lambda: browser.post("/lists/doctor/stop"), lambda: web.clock.move(3600)):
        told = check(browser, source=OWNER_FILE.encode(), plan=PLAN.encode())
        assert told.status_code == 200
        assert "Alarm budget" in told.text
        assert "Not held" in told.text
        draft = browser.post("/lists/doctor/draft")
        assert draft.headers["content-disposition"] == 'attachment; filename="list.draft"'
        assert int(draft.headers["content-length"]) == len(draft.content)
        (tmp_path / "x.draft").write_bytes(draft.content)
        with ListFile(tmp_path / "x.draft") as opened:
            assert opened.info.settings.list_id == "stolen"
        delete()
        browser.log_in("a-administrator")
        assert "Alarm budget" not in browser.get("/lists/doctor").text
        assert browser.post("/lists/doctor/draft").status_code == 409
    whats = [(entry.who, entry.what, entry.filter) for entry in web.store.audit_trail() if "of list" in entry.what]
    assert whats == [("a-administrator", "fetch draft of list", "list=stolen")] * 2


@pytest.mark.slow
def test_doctor_shows_how_far_a_check_is_and_stops_it(web, browser):
    """Another administrator sees nothing of it, and cannot fetch the draft."""
    assert upload(browser, "/lists/doctor", {}, source=OWNER_FILE.encode(), plan=PLAN.encode()).status_code == 303
    shown = browser.get("/lists/doctor").text
    assert "data-refresh" in shown
    assert "It waits for other work" in shown
    again = upload(browser, "/lists/doctor", {}, source=OWNER_FILE.encode(), plan=PLAN.encode())
    assert (again.status_code, "source.bin has not ended" in again.text) == (400, True)
    other = web.logged_in("administrator", name="other")
    assert "source.bin" not in other.get("/lists/doctor").text
    other.post("/lists/doctor/stop")
    assert "source.bin" in browser.get("/lists/doctor").text
    assert browser.post("/lists/doctor/draft").status_code == 409
    browser.post("/lists/doctor/stop")
    shown = browser.get("/lists/doctor").text
    assert ("source.bin" in shown, "data-refresh" in shown) == (False, False)
    assert not web.app.state.desk.list_checks.jobs.run_next()
    whats = [entry.what for entry in web.store.audit_trail() if "list" in entry.what]
    assert whats == ["check list"]


@pytest.mark.slow
def test_doctor_holds_a_list_that_shrank_or_is_older_than_the_one_before(browser, tmp_path):
    """As on the command line, with the list before it: a draft, or a package of an authority that is trusted here."""
    package, draft = signed(tmp_path), (tmp_path / "stolen.draft").read_bytes()
    shrunk = OWNER_FILE.encode().splitlines(keepends=True)
    files = {"source": b"".join(shrunk[:2]), "plan": PLAN.encode()}
    assert "Not held" in check(browser, **files).text
    told = check(browser, previous=draft, **files)
    assert "1 entries after 3, a change of -67%" in told.text
    refused = check(browser, previous=package, **files)
    assert "which is not one of the trusted list authorities" in refused.text
    assert ("Held:" in refused.text, "Not held" in refused.text) == (False, False)
    (tmp_path / "trusted" / "hotlist.pub").write_bytes((tmp_path / "authority" / "hotlist.pub").read_bytes())
    told = check(browser, previous=package, **files)
    assert "Held:" in told.text
    whole = {"source": OWNER_FILE.encode(), "plan": PLAN.encode()}
    assert "Held:" in check(browser, {"as_of": "2001-01-01T00:00"}, previous=draft, **whole).text
    late = check(browser, {"as_of": "2999-01-01T00:00"}, **whole)
    assert (late.status_code, "in the future" in late.text) == (400, True)


def test_doctor_takes_the_empty_fields_of_a_form(browser):
    """A browser sends a file without a name, and an empty time."""
    named = {name: (f"{name}.bin", b"x") for name in ("source", "plan")}
    told = browser.post("/lists/doctor", {"as_of": ""}, files={**named, "previous": ("", b"")})
    assert told.status_code == 400
    assert "list.toml: not TOML" in told.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "plan"),
    [
        (OWNER_FILE.encode(), b"not = [toml"),
        (OWNER_FILE.encode(), b"<script>alert(1)</script>"),
        (b"\xff\xfe\x00", PLAN.encode()),
        (b"", PLAN.encode()),
        (b"<script>alert(1)</script>,x\n" * 50, PLAN.encode()),
    ],
)
def test_strangers_files_are_explained_and_never_executed(browser, source, plan):
    told = check(browser, source=source, plan=plan)
    assert told.status_code in {200, 400}
    assert 'role="alert"' in told.text
    assert "<script>alert" not in told.text
    assert "/tmp" not in told.text  # noqa: S108 - what must not be shown


@pytest.mark.slow
def test_signed_list_goes_to_a_group_in_stages(web, browser, tmp_path):
    package = signed(tmp_path)
    browser.post("/lists/groups", {"group": "north", "units": "unit-07, unit-08\nunit-09"})
    fields = {"what": "hotlist", "group": "north", "percent": "10", "slot": "1"}
    refused = upload(browser, "/lists/start", fields, file=package)
    assert refused.status_code == 400
    assert "put hotlist.pub into" in refused.text
    (tmp_path / "trusted" / "hotlist.pub").write_bytes((tmp_path / "authority" / "hotlist.pub").read_bytes())
    assert upload(browser, "/lists/start", fields, file=package).status_code == 303
    assert "1 of 3" in browser.get("/lists").text
    browser.post("/lists/advance", {"kind": "hotlist", "group": "north", "percent": "100"})
    (told,) = browser.get("/api/1/rollouts").json()
    assert (told["version"], told["percent"], told["offered"], told["have"]) == (1, 100, 3, 0)
    assert {unit["unit"]: unit["offered"] for unit in told["units"]} == dict.fromkeys(
        ("unit-07", "unit-08", "unit-09"), 1
    )
    browser.post("/lists/stop", {"kind": "hotlist", "group": "north"})
    assert browser.get("/api/1/rollouts").json()[0]["offered"] == 0
    assert [entry.what for entry in web.store.audit_trail() if entry.what in {"set group", "roll out"}] == [
        "set group", "roll out", "roll out", "roll out",
    ]  # fmt: skip


@pytest.mark.slow
def test_files_that_units_would_refuse_are_not_offered(browser, tmp_path):
    """An unsigned one, one of another authority, a changed one, another type."""
    package = signed(tmp_path)
    browser.post("/lists/groups", {"group": "north", "units": "unit-07"})
    (tmp_path / "trusted" / "hotlist.pub").write_bytes((tmp_path / "authority" / "hotlist.pub").read_bytes())
    (tmp_path / "trusted" / "policy.pub").write_bytes((tmp_path / "authority" / "hotlist.pub").read_bytes())
    fields = {"what": "hotlist", "group": "north", "percent": "100"}
    changed = bytearray(package)
    changed[-1] ^= 1
    for what, data in (
        ("hotlist", (tmp_path / "stolen.draft").read_bytes()),
        ("hotlist", bytes(changed)),
        ("hotlist", package[:-1]),
        ("hotlist", b""),
        ("policy", package),
    ):
        told = upload(browser, "/lists/start", {**fields, "what": what}, file=data)
        assert told.status_code == 400, what
    assert browser.get("/api/1/rollouts").json() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/lists/groups", {"group": "<script>alert(1)</script>", "units": "unit-07"}),
        ("/lists/groups", {"group": "north", "units": "unit/07 <img>"}),
        ("/lists/advance", {"kind": "hotlist", "group": "<script>alert(1)</script>", "percent": "10"}),
        ("/lists/advance", {"kind": "hotlist", "group": "north", "percent": "101"}),
    ],
)
def test_hostile_fields_are_refused(browser, path, fields):
    told = browser.post(path, fields)
    assert told.status_code in {400, 422}
    assert "<script>alert" not in told.text


def test_units_of_another_agency_are_not_shown(web, browser):
    browser.post("/lists/groups", {"group": "north", "units": "unit-07"})
    other = web.logged_in("analyst", name="other", scope=Scope(units=frozenset({"unit-99"})))
    assert "unit-07" not in other.get("/lists").text
    assert other.get("/lists/doctor").status_code == 403
