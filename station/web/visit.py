"""One request of one person: who they are, what they may do, and why they look.

Each route takes a :class:`Visit` from a :class:`Needs`, which says the right that it needs.  A route without one is
refused when the application is built.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Request
from fastapi.routing import APIRoute
from starlette.responses import HTMLResponse, RedirectResponse

from station.asker import Asker
from station.commands import Commands
from station.errors import PurposeError
from station.query import Query
from station.web.errors import LogInNeededError, PurposeNeededError, RefusedError
from station.web.paths import API
from station.web.texts import FORMS, content_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi.dependencies.models import Dependant
    from starlette.responses import Response
    from starlette.routing import BaseRoute

    from station.accounts.accounts import Person
    from station.accounts.rights import Right
    from station.web.desk import Desk

PURPOSE, CASE_NUMBER = "x-purpose", "x-case-number"
"""Headers of a program's look-up."""
UNATTENDED = "x-unattended"
"""Header of what a script of a page asks for without anybody having touched it."""
_BEARER = "Bearer "
_SAFE = frozenset({"GET", "HEAD"})


async def read_csrf_token(request: Request) -> str:
    """Return the token that a form or a script of our page sends; empty if it sends none."""
    token = request.headers.get("x-csrf-token", "")
    if not token and content_kind(request) in FORMS:
        value = (await request.form()).get("csrf", "")
        token = value if isinstance(value, str) else ""
    return token


class Visit:
    """One request of one person."""

    def __init__(self, request: Request, desk: Desk, person: Person, asker: Asker) -> None:
        self.request = request
        self.desk = desk
        self.person = person
        self.asker = asker

    @property
    def name(self) -> str:
        """Name of the account."""
        return self.person.account.name

    @property
    def query(self) -> Query:
        """Queries in this person's name, within what they may see."""
        return Query(self.desk.store, self.asker, self.desk.clock_us)

    @property
    def commands(self) -> Commands:
        """Commands in this person's name."""
        return Commands(self.desk.store, self.asker, self.desk.clock_us)

    def may(self, right: Right) -> bool:
        """True if the person has a right."""
        return right in self.person.rights

    def still_may(self, right: Right) -> bool:
        """True while session or token and the right hold, for an answer that goes on; raises StoreError."""
        try:
            return right in _person(self.request, self.desk, used=False).rights
        except RefusedError:
            return False

    def page(
        self, template: str, *, status: int = 200, headers: dict[str, str] | None = None, **values: Any
    ) -> Response:
        """Render a template, which extends ``base.html``."""
        session = self.person.session
        navigation = self.desk.navigation(self.person.rights)
        here = self.request.url.path
        # The longest: /audit/log is below /audit, and both are in the navigation.
        current = [entry.path for entry in navigation if here == entry.path or here.startswith(f"{entry.path}/")]
        shared = {
            "visit": self,
            "csrf": "" if session is None else session.csrf,
            "navigation": navigation,
            "current": max(current, key=len, default=""),
        }
        return HTMLResponse(self.desk.render(template, self.request, {**shared, **values}), status, headers)

    def redirect(self, path: str) -> Response:
        """Send the browser to another page after a form."""
        return RedirectResponse(path, 303)


@dataclass(frozen=True, slots=True)
class Needs:
    """Dependency of a route: ``Annotated[Visit, Depends(Needs(Right.SEARCH, why=True))]``."""

    right: Right | None
    """None: anybody who is logged in."""
    why: bool = False
    """True for every look-up: purpose and case number must be given before."""
    used: bool = True
    """False for what a page asks for by itself: it does not keep the session of somebody who has left."""

    def __call__(self, request: Request, csrf: Annotated[str, Depends(read_csrf_token)]) -> Visit:
        """Raises RefusedError for who is not logged in, has not the right, or has not said why."""
        desk: Desk = request.app.state.desk
        person = _person(request, desk, used=self.used and UNATTENDED not in request.headers)
        _refuse_forged(request, person, csrf)
        if self.right is not None and self.right not in person.rights:
            raise RefusedError(403, "right", f"your role has not the right to do this: {self.right.value}")
        asker = _asker(request, person)
        if self.why and not asker.has_case:
            raise PurposeNeededError
        return Visit(request, desk, person, asker)


def needs_of(route: BaseRoute) -> Needs | None:
    """Return what a route needs; None for a public one."""
    return next(_needs(route.dependant), None) if isinstance(route, APIRoute) else None


def _needs(dependant: Dependant) -> Iterator[Needs]:
    if isinstance(dependant.call, Needs):
        yield dependant.call
    for inner in dependant.dependencies:
        yield from _needs(inner)


def _person(request: Request, desk: Desk, *, used: bool) -> Person:
    told = request.headers.get("authorization", "")
    if told:
        if not told.startswith(_BEARER) or not request.url.path.startswith(API):
            raise LogInNeededError
        program = desk.log_in.program(told.removeprefix(_BEARER))
        if program is None:
            raise LogInNeededError
        return program
    person = desk.log_in.person(request.cookies.get(desk.cookie, ""), used=used)
    if person is None or person.session is None:
        raise LogInNeededError
    return person


def _refuse_forged(request: Request, person: Person, csrf: str) -> None:
    """Refuse what a page of others sent with the cookie of a session; a program has none."""
    if person.session is None or request.method in _SAFE:
        return
    if not secrets.compare_digest(csrf.encode(), person.session.csrf.encode()):
        raise RefusedError(403, "forged", "this form is out of date: load the page again")


def _header(request: Request, name: str) -> str:
    """Return a header's text.  Starlette takes it for Latin-1; programs send what they have, which is UTF-8."""
    text = request.headers.get(name, "")
    try:
        return text.encode("latin-1").decode()
    except UnicodeDecodeError:
        return text


def _asker(request: Request, person: Person) -> Asker:
    session = person.session
    purpose, case_number = (
        (_header(request, PURPOSE), _header(request, CASE_NUMBER))
        if session is None
        else (session.purpose, session.case_number)
    )
    account = person.account
    try:
        return Asker(account.name, purpose.strip(), case_number.strip(), account.scope, must_say_why=True)
    except PurposeError as error:
        raise RefusedError(400, "purpose", str(error)) from error
