"""A station's pages on loopback for real browsers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from protocol.seal import load_keyring
from station.asker import EVERYTHING, Asker, Scope
from station.store import open_store
from station.web.serve import WebServer
from station.web.settings import WebSettings
from tests.station_web import CHEAP, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from playwright.sync_api import Browser, BrowserContext, Page

    from station.store import Store

PATIENCE_MS = 60_000


def log_in_by_form(
    page: Page, address: str, name: str, *, purpose: str = "court order", case_number: str = "26-014"
) -> None:
    """Log in with the tests' password, and say why, as a person does."""
    page.goto(f"{address}/log-in")
    page.fill("[name=name]", name)
    page.fill("[name=password]", PASSWORD)
    page.click("main button.main")
    page.goto(f"{address}/purpose?next=/")
    page.fill("[name=purpose]", purpose)
    page.fill("[name=case_number]", case_number)
    page.click("main button.main")


REFRESH = "**/static/js/refresh.js"


def hold_refresh(page: Page) -> None:
    """The page does not load itself again while the test does something with it; `page.unroute(REFRESH)` ends this."""
    page.route(REFRESH, lambda route: route.abort())


class StationPages:
    """A station that serves its pages, and people who are logged in."""

    def __init__(
        self,
        path: Path,
        browser: Browser,
        fill: Callable[[Store], None],
        clock_us: Callable[[], int] = lambda: time.time_ns() // 1000,
        *,
        keys: Path | None = None,
    ) -> None:
        """``keys`` has the keys of the units, once the station is filled."""
        self.store = open_store(path)
        fill(self.store)
        settings = WebSettings(port=0, station="Example County")
        ring = None if keys is None else load_keyring(keys)
        self.server = WebServer(self.store, settings, clock_us, hasher=CHEAP, ring=ring)
        self.server.start()
        self.desk = self.server.desk
        self._browser = browser
        self._contexts: list[BrowserContext] = []
        self.errors: list[str] = []

    def page(
        self,
        role: str | None,
        *,
        size: tuple[int, int] = (1280, 800),
        dark: bool = False,
        name: str = "",
        scope: Scope = EVERYTHING,
    ) -> Page:
        """The page of somebody with a role who has given purpose and case; None: nobody is logged in."""
        context = self._browser.new_context(
            viewport={"width": size[0], "height": size[1]}, base_url=self.server.address,
            color_scheme="dark" if dark else "light", locale="en-US", timezone_id="UTC",
        )  # fmt: skip
        context.set_default_timeout(PATIENCE_MS)
        self._contexts.append(context)
        if role is not None:
            name = name or f"jane-{role}"
            if self.store.accounts.get(name) is None:
                accounts = self.desk.accounts
                link = accounts.add(Asker("test"), name, full_name="Jane Doe", role=role, scope=scope)
                accounts.set_up(link, PASSWORD, "")
            secret, person = self.desk.log_in.log_in(name, PASSWORD, "")
            assert person.session is not None
            self.desk.log_in.set_purpose(person.session, "stolen vehicle, Main Street", "26-014")
            context.add_cookies([{"name": self.desk.cookie, "value": secret, "url": self.server.address}])
        page = context.new_page()
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda told: self.errors.append(told.text) if "Content Security" in told.text else None)
        return page

    def close(self) -> None:
        """End browser contexts and server."""
        for context in self._contexts:
            context.close()
        self.server.close()
        self.store.close()
        assert self.errors == []
