"""The web application of a station."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from protocol.errors import PatrolError
from protocol.http_page import SAFE_METHODS
from station.accounts.accounts import Accounts
from station.accounts.log_in import LogIn
from station.accounts.passwords import Passwords, argon2id
from station.errors import AccountError, BoundError, BusyError, PurposeError, ScopeError, StoreError, WebError
from station.jobs import Jobs
from station.lists.checks import ListChecks
from station.query.bulk import Exports
from station.web.desk import FOLDER, Desk, environment
from station.web.errors import LogInNeededError, PurposeNeededError, RefusedError
from station.web.guard import Guard
from station.web.page_list import PAGES
from station.web.paths import API, page_path
from station.web.request_counts import CountRequests, RequestCounts
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, needs_of
from station.web.worker import Worker, search_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from fastapi import Request
    from starlette.responses import Response

    from protocol.seal import KeyRing
    from station.accounts.passwords import Hasher
    from station.store import Store
    from station.web.desk import Counted, OidcPort
    from station.web.page import PageModule
    from station.web.settings import WebSettings

PUBLIC = frozenset({"/log-in", "/set-up/{link}", "/theme", "/oidc/start", "/oidc/callback"})
"""Routes for people who are not logged in."""
_COUNTS_KEPT_US = 60_000_000
_MAX_COUNTS = 8
_DESCRIPTION = (
    "Programs act for a person: `Authorization: Bearer TOKEN`, with a token that the person made at *Account*. "
    "Look-ups need the headers `X-Purpose` and `X-Case-Number`; both are in the audit trail."
)


def build_app(
    store: Store,
    settings: WebSettings,
    clock_us: Callable[[], int],
    *,
    port: int | None = None,
    hasher: Hasher | None = None,
    pages: Sequence[PageModule] = PAGES,
    ring: KeyRing | None = None,
    oidc: OidcPort | None = None,
) -> FastAPI:
    """Return the application; ``ring`` has the public keys of the units.

    ``port`` is that at which it listens, if it is not that of the settings.
    Raises WebError for a route that does not say which right it needs.
    """
    passwords = Passwords(hasher or argon2id())
    second_factor = settings.is_secure
    exports = Exports(store, clock_us)
    checks = ListChecks(clock_us)
    counts: Jobs[Counted] = Jobs(clock_us, kept_us=_COUNTS_KEPT_US, max_unfinished=_MAX_COUNTS)
    workers = (
        Worker("exports", lambda: exports.run_next(search_of)),
        Worker("counts", counts.run_next),
        Worker("list_checks", checks.jobs.run_next),
    )
    desk = Desk(
        store,
        Accounts(store, clock_us, passwords, second_factor=second_factor),
        LogIn(store, clock_us, passwords, second_factor=second_factor),
        settings,
        pages,
        clock_us,
        ring,
        environment(),
        exports,
        oidc,
        workers[0].wake,
        counts,
        workers[1].wake,
        checks,
        workers[2].wake,
    )
    for page in pages:
        _refuse_open_routes(page)
    app = FastAPI(
        title="patrol-lpr station",
        version="1",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        # As they are: a router that is included has all its signatures analysed once more.
        routes=[route for page in pages for route in page.router.routes],
    )
    app.state.desk, app.state.workers, app.state.requests = desk, workers, RequestCounts()
    limits: dict[str, int] = {}
    needs: dict[str, Needs] = {}
    for page in pages:
        limits |= page.body_limits
        needs |= _needs_of_forms(page)
    app.mount("/static", StaticFiles(directory=FOLDER / "static"), name="static")
    for kind in (PatrolError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _refuse)
    app.add_middleware(
        Guard, hosts=settings.hosts(port or settings.port), scheme=settings.scheme, body_limits=limits,
        may_send=lambda request: _may_send(desk, needs.get(request.url.path), request),
    )  # fmt: skip
    app.add_middleware(CountRequests, counts=app.state.requests)
    return app


def _may_send(desk: Desk, needs: Needs | None, request: Request) -> bool:
    """True if whoever is logged in has the right that the route needs."""
    try:
        person = desk.log_in.person(request.cookies.get(desk.cookie, ""))
    except StoreError:
        return False
    return person is not None and needs is not None and (needs.right is None or needs.right in person.rights)


def _needs_of_forms(page: PageModule) -> dict[str, Needs]:
    """What the routes need that take the bodies which may be larger."""
    forms = [
        route for route in page.router.routes if isinstance(route, APIRoute) and "POST" in (route.methods or ())
    ]
    found = {route.path: needs_of(route) for route in forms if route.path in page.body_limits}
    return {path: needs for path, needs in found.items() if needs is not None}


def _refuse_open_routes(page: PageModule) -> None:
    for route in page.router.routes:
        path = getattr(route, "path", "")
        if needs_of(route) is None and path not in PUBLIC:
            raise WebError(f"the route {path} does not say which right it needs")
        if isinstance(route, APIRoute) and not set(SAFE_TEXTS) <= set(route.dependencies):
            raise WebError(f"the route {path} takes texts that no table can have: give its router SAFE_TEXTS")


def _refuse(request: Request, error: Exception) -> Response:
    """Answer an error: JSON for programs, a page or the way to one for people."""
    status, code, message = _told(error)
    if request.url.path.startswith(API):
        return JSONResponse({"code": code, "message": message}, status)
    if isinstance(error, LogInNeededError | PurposeNeededError):
        first = "/log-in" if isinstance(error, LogInNeededError) else "/purpose"
        unsent = "" if request.method in SAFE_METHODS else "&unsent=yes"
        return RedirectResponse(f"{first}?next={quote(page_path(request), safe='')}{unsent}", 303)
    desk: Desk = request.app.state.desk
    title = HTTPStatus(status).phrase
    values: dict[str, Any] = {"title": title, "message": message, "status": status}
    return HTMLResponse(desk.render("error.html", request, values), status)


def _told(error: Exception) -> tuple[int, str, str]:
    """Return status, code and message.  An error of the database is not shown in detail."""
    told = (503, "unavailable", "the station's database cannot answer at the moment: try again")
    match error:
        case RefusedError():
            told = error.status, error.code, error.message
        case PurposeError():
            told = 403, "purpose", str(error)
        case BoundError():
            told = 403, "bound", str(error)
        case ScopeError() | HTTPException(status_code=HTTPStatus.NOT_FOUND):
            told = 404, "unknown", "there is nothing at this address"
        case BusyError():
            told = 503, "busy", str(error)
        case AccountError():
            told = 400, "account", str(error)
        case RequestValidationError():
            told = 422, "invalid", "; ".join(_invalid(one) for one in error.errors()[:5])
        case HTTPException():
            told = error.status_code, "http", str(error.detail)
    return told


def _invalid(error: dict[str, Any]) -> str:
    """Without the value: it may be a plate."""
    return f"{'.'.join(str(part) for part in error['loc'][1:])}: {error['msg']}"
