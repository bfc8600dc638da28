"""A fake agent, a real console, a real browser."""

from __future__ import annotations

import json
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import sync_playwright

from tests.console_process import CHROMIUM, LARGE, PATIENCE_MS, SMALL, Console, run_console
from tests.fake_agent import MONO_US, PIN, FakeAgent, a_read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, BrowserContext, Page, Playwright

__all__ = ["LARGE", "SMALL", "run_console"]
MEASURE = (Path(__file__).parent / "measure.js").read_text()
"""A script that finds what is too small, too pale, cut or off the screen."""
DRAWING = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PLATES = (
    ("6KYN051", "US-CA"), ("XUP9415", "US-TX"), ("314RLZ", "US-NV"), ("F29MSS", "?"), ("SAS0323", "US-WA"),
    ("XYVW4Y", "US-AZ"),
)  # fmt: skip


class Client:
    """What a browser does, without one: session, token, commands."""

    def __init__(self, console: Console, source: str = "127.0.0.1") -> None:
        self.console = console
        self.source = source
        status, page, headers = console.request("GET", "/")
        assert status == 200
        self.cookie = headers["set-cookie"].split(";")[0]
        found = re.search(rb'name="csrf" content="([^"]+)"', page)
        assert found is not None
        self.token = found[1].decode()

    def headers(self, **changes: str | None) -> dict[str, str]:
        """Those of a good command; None leaves one out."""
        good: dict[str, str | None] = {
            "cookie": self.cookie, "origin": f"http://{self.console.host}", "content-type": "application/json",
            "x-csrf-token": self.token, "x-request-id": secrets.token_hex(16),
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }  # fmt: skip
        return {name: value for name, value in good.items() if value is not None}

    def command(self, verb: str, body: Any = None, **changes: str | None) -> tuple[int, dict[str, Any]]:
        data = body if isinstance(body, str | bytes) else json.dumps(body or {})
        status, answer, headers = self.console.request(
            "POST", f"/commands/{verb}", data, source=self.source, **self.headers(**changes)
        )
        self.cookie = headers.get("set-cookie", self.cookie).split(";")[0]
        return status, json.loads(answer) if answer.startswith(b"{") else {"message": answer.decode()}

    def get(self, path: str) -> tuple[int, bytes]:
        return self.console.request("GET", path, cookie=self.cookie)[:2]


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    """With a few reads."""
    with FakeAgent(tmp_path) as made:
        fill(made)
        yield made


def fill(agent: FakeAgent) -> None:
    for number, (text, region) in enumerate(PLATES, start=1):
        agent.read(
            a_read(
                number, text, region=region, confidence=1.01 - 0.04 * number, single_frame=number == 4,
                mono_us=MONO_US - (24 - 3 * number) * 1_000_000, lat_deg=34.0522 + 0.0003 * number,
            )
        )  # fmt: skip


@pytest.fixture
def console(agent: FakeAgent) -> Iterator[Console]:
    with run_console(agent) as running:
        yield running


@pytest.fixture
def client(console: Console) -> Client:
    return Client(console)


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """One for all: a second one in the same thread is refused."""
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))
    yield started
    started.close()


@pytest.fixture(scope="module")
def drawing_browser(playwright: Playwright) -> Iterator[Browser]:
    """One that draws maps: WebGL without a graphics card."""
    options = [option for option in CHROMIUM if option != "--disable-gpu"]
    started = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*options, *DRAWING])
    yield started
    started.close()


@pytest.fixture
def terminal(console: Console, browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens the page as a terminal would: ``terminal(SMALL, locale="es")``.  A script's error fails the test."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def opened(size: tuple[int, int] = SMALL, **options: Any) -> Page:
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, timezone_id="UTC", **{"locale": "en-US", **options}
        )
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(console.address)
        page.wait_for_selector("#reads li")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def sign_on(page: Page, badge: str = "4711") -> None:
    page.click("#nav-shift")
    page.fill("#sign-on [name=badge]", badge)
    page.fill("#sign-on [name=pin]", PIN)
    page.select_option("#sign-on [name=zone]", "north")
    page.click("#sign-on [type=submit]")
    page.wait_for_selector("#signed-on:visible")
    page.click("#nav-now")


def wait_for_hit(page: Page, panel: str) -> None:
    """Until a panel of a hit takes taps and keys."""
    page.wait_for_selector(f"#hit:not([inert]) #hit-{panel}:visible")


def wait_for_pictures(page: Page, selector: str) -> None:
    """Playwright's own way evaluates a string in the page, which the page's policy forbids."""
    script = """(s) => [...document.querySelectorAll(s)].filter((i) => i.checkVisibility())
        .every((i) => i.complete && (i.naturalWidth > 0 || !i.src))"""
    wait_until(page, lambda: page.evaluate(script, selector))


def wait_until(page: Page, holds: Callable[[], bool]) -> None:
    """Let the page live until something holds."""
    for _ in range(PATIENCE_MS // 20):
        if holds():
            return
        page.wait_for_timeout(20)
    raise AssertionError("it never held")


@pytest.fixture(autouse=True)
def _counts_are_on_the_page_that_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a page of a report would load itself again under a test, on a machine that counts slowly."""
    monkeypatch.setattr("station.web.pages.reports.AT_ONCE_S", 60.0)
