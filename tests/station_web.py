"""The station's web application without a network, for tests: people who are logged in, and their forms."""

from __future__ import annotations

import asyncio
import itertools
import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import httpx
import pyotp
from argon2 import PasswordHasher

from station.asker import EVERYTHING, Asker, Scope
from station.store import open_store
from station.web.app import build_app
from station.web.settings import WebSettings
from tests.builders import UTC_NS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from station.store import Store
    from station.web.desk import OidcPort

NOW_US = UTC_NS // 1000 + 3_600_000_000
PASSWORD = "correct horse 42"  # noqa: S105 - of tests
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""As the station's, without its cost."""
DOWNLOADS = frozenset(
    {
        "/audit/log/purges/{number}",
        "/deployment/zones.geojson",
        "/hits/{unit}/{hit_id}/pictures/{sha256}",
        "/map/tiles.pmtiles",
        "/reports/csv",
        "/reports/print",
    }
)
"""Routes of files and pictures, which are no pages."""


class Clock:
    """Advances when told; each look is one microsecond later."""

    def __init__(self) -> None:
        self._ticks = itertools.count(NOW_US)
        self._moved_us = 0

    def __call__(self) -> int:
        return next(self._ticks) + self._moved_us

    def move(self, seconds: float) -> None:
        self._moved_us += round(seconds * 1e6)


class Browser:
    """One browser: its cookies, and the token of its session."""

    def __init__(self, web: Web, *, base_url: str) -> None:
        self.web = web
        self.base_url = base_url
        self.cookies = httpx.Cookies()

    def send(self, method: str, path: str, **options: Any) -> httpx.Response:
        """One request, on a connection of its own.

        In a thread of its own: Playwright leaves the loop of its thread running until the last test.
        """
        with ThreadPoolExecutor(1, "browser") as thread:
            return thread.submit(lambda: asyncio.run(self._send(method, path, **options))).result()

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.web.app)
        async with httpx.AsyncClient(transport=transport, base_url=self.base_url, cookies=self.cookies) as client:
            answer = await client.request(method, path, **options)
            self.cookies = client.cookies
            return answer

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.send("GET", path, **options)

    def post(
        self, path: str, data: dict[str, Any] | None = None, *, csrf: str | None = "own", **options: Any
    ) -> httpx.Response:
        """As a form of our page; ``csrf`` None leaves the token out."""
        fields = dict(data or {})
        if csrf is not None:
            fields["csrf"] = self.csrf() if csrf == "own" else csrf
        headers = {"origin": self.base_url, **options.pop("headers", {})}
        return self.send("POST", path, data=fields, headers=headers, **options)

    def post_json(self, path: str, body: Any, **options: Any) -> httpx.Response:
        """As a script of our page."""
        headers = {"origin": self.base_url, "x-csrf-token": self.csrf(), **options.pop("headers", {})}
        return self.send("POST", path, json=body, headers=headers, **options)

    def csrf(self) -> str:
        found = re.search(r'name="csrf" content="([^"]+)"', self.get("/account").text)
        return found[1] if found else ""

    def log_in(self, name: str, password: str = PASSWORD) -> httpx.Response:
        fields = {"name": name, "password": password, "code": self.web.code_of(name)}
        return self.post("/log-in", fields, csrf=None)

    def make_token(self, name: str, days: int = 9) -> dict[str, str]:
        """The headers of a program with a new token of the account that is logged in here."""
        proof = {"password": PASSWORD, "code": self.web.code_of(name)}
        answer = self.post("/account/tokens", {"label": "script", "days": days, **proof})
        found = re.search(r"lpr_[\w-]+", answer.text)
        assert found, answer.text
        return {"authorization": f"Bearer {found[0]}"}

    def give_purpose(self, purpose: str = "stolen vehicle", case_number: str = "26-014") -> httpx.Response:
        return self.post("/purpose", {"purpose": purpose, "case_number": case_number, "next": "/"})


class Web:
    """A station's web application with a store."""

    def __init__(self, store: Store, *, settings: WebSettings | None = None, oidc: OidcPort | None = None) -> None:
        self.store = store
        self.clock = Clock()
        self.settings = settings or WebSettings()
        self.app = build_app(store, self.settings, self.clock, hasher=CHEAP, oidc=oidc)
        desk = self.app.state.desk
        # There is no thread that counts: who asks for a report does it.
        self.app.state.desk = replace(desk, wake_counts=desk.counts.run_next)
        self.accounts = desk.accounts
        self.secrets: dict[str, str] = {}
        """Second factors by account."""

    def add(self, name: str, role: str, *, scope: Scope = EVERYTHING, password: str = PASSWORD) -> str:
        """An account that is set up; its second factor is on if the station needs one."""
        link = self.accounts.add(Asker("test"), name, full_name=f"{name.title()} Example", role=role, scope=scope)
        code = ""
        if self.accounts.needs_second_factor:
            secret = self.accounts.of_link(link).totp
            self.secrets[name] = secret
            code = pyotp.TOTP(secret).at(self.clock() // 1_000_000)
        self.accounts.set_up(link, password, code)
        return name

    def code_of(self, name: str) -> str:
        """The next code of a person's second factor; empty without one."""
        secret = self.secrets.get(name, "")
        self.clock.move(60)  # a code is accepted once
        return pyotp.TOTP(secret).at(self.clock() // 1_000_000) if secret else ""

    def browser(self) -> Browser:
        scheme = self.settings.scheme
        return Browser(self, base_url=f"{scheme}://{self.settings.host}:{self.settings.port}")

    def logged_in(
        self, role: str, *, scope: Scope = EVERYTHING, name: str | None = None, why: bool = True
    ) -> Browser:
        """A browser of a new account."""
        name = self.add(name or f"a-{role}", role, scope=scope)
        browser = self.browser()
        answer = browser.log_in(name)
        assert answer.status_code == 303, answer.text
        if why:
            assert browser.give_purpose().status_code == 303
        return browser


def open_web(path: Path, *, fill: Callable[[Store], None] = lambda _: None, **options: Any) -> Web:
    """Open a station's file, and the application on it."""
    store = open_store(path)
    fill(store)
    return Web(store, **options)
