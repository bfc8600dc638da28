"""Log in, log out, set up an account from its one-time link, and the theme."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from markupsafe import Markup
from starlette.responses import HTMLResponse, RedirectResponse, Response

from station.accounts import second_factor
from station.accounts.log_in import LONGEST_US
from station.accounts.passwords import MIN_LENGTH
from station.errors import AccountError, BusyError
from station.web.desk import THEMES, Desk
from station.web.page import PageModule
from station.web.paths import own_path
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_YEAR_S = 366 * 86_400
_UNSENT = "You were not logged in any more: what you sent was not done. Log in, and do it again."


@router.get("/log-in", include_in_schema=False)
def log_in_form(request: Request, next: str = "/", unsent: str = "") -> Response:  # noqa: A002 - the name in the address
    """The form; ``unsent`` is given if somebody is here because a form came too late."""
    return _form(request, _UNSENT if unsent else "", next, 200)


@router.post("/log-in", include_in_schema=False)
def log_in(
    request: Request,
    name: Annotated[str, Form(max_length=64)],
    password: Annotated[str, Form(max_length=1024)],
    code: Annotated[str, Form(max_length=16)] = "",
    next: Annotated[str, Form(max_length=512)] = "/",  # noqa: A002 - as above
) -> Response:
    """A new session, whatever session the browser had."""
    desk: Desk = request.app.state.desk
    try:
        secret, _ = desk.log_in.log_in(name, password, code)
    except AccountError as error:
        return _form(request, str(error), next, 503 if isinstance(error, BusyError) else 403)
    old = desk.log_in.person(request.cookies.get(desk.cookie, ""))
    if old is not None:
        desk.log_in.log_out(old)
    return with_session(desk, secret, RedirectResponse(own_path(next), 303))


def with_session(desk: Desk, secret: str, answer: Response) -> Response:
    """Set the cookie of a session."""
    answer.set_cookie(
        desk.cookie,
        secret,
        max_age=LONGEST_US // 1_000_000,
        path="/",
        secure=desk.settings.is_secure,
        httponly=True,
        samesite="strict",
    )
    return answer


def _form(request: Request, message: str, wanted: str, status: int) -> Response:
    desk: Desk = request.app.state.desk
    values = {"message": message, "next": own_path(wanted)}
    return HTMLResponse(desk.render("log_in.html", request, values), status)


@router.post("/log-out", include_in_schema=False)
def log_out(visit: Annotated[Visit, Depends(Needs(None))]) -> Response:
    """End the session."""
    visit.desk.log_in.log_out(visit.person)
    answer = visit.redirect("/log-in")
    answer.delete_cookie(visit.desk.cookie, path="/", secure=visit.desk.settings.is_secure, httponly=True)
    return answer


@router.get("/set-up/{link}", include_in_schema=False)
def set_up_form(request: Request, link: str) -> Response:
    """Password, and the code for an authenticator.  Opening the link does not use it up."""
    return _set_up(request, link, "", 200)


@router.post("/set-up/{link}", include_in_schema=False)
def set_up(
    request: Request,
    link: str,
    password: Annotated[str, Form(max_length=1024)],
    again: Annotated[str, Form(max_length=1024)],
    code: Annotated[str, Form(max_length=16)] = "",
) -> Response:
    """Set both; the link ends."""
    desk: Desk = request.app.state.desk
    if password != again:
        return _set_up(request, link, "the two passwords differ", 400)
    try:
        desk.accounts.set_up(link, password, code)
    except AccountError as error:
        return _set_up(request, link, str(error), 400)
    return RedirectResponse("/log-in", 303)


def _set_up(request: Request, link: str, message: str, status: int) -> Response:
    desk: Desk = request.app.state.desk
    account = desk.accounts.of_link(link)
    if account is None:
        values = {
            "title": "This link is not valid",
            "message": "It was used, is older than a day, or is incomplete: ask an administrator for a new one.",
            "status": 404,
        }
        return HTMLResponse(desk.render("error.html", request, values), 404)
    secret = account.totp or ""
    svg = second_factor.qr_svg(secret, account.name, f"patrol-lpr {desk.settings.station}")
    values = {
        "account": account, "message": message, "secret": secret, "min_length": MIN_LENGTH,
        "qr": Markup(svg),  # noqa: S704 - made by segno of a secret and two checked names
        "optional": not desk.accounts.needs_second_factor,
    }  # fmt: skip
    return HTMLResponse(desk.render("set_up.html", request, values), status)


@router.post("/theme", include_in_schema=False)
def set_theme(
    request: Request,
    theme: Annotated[str, Form(max_length=8)],
    back: Annotated[str, Form(max_length=512)] = "/",
) -> Response:
    """Remember light or dark; anything else is the system's."""
    desk: Desk = request.app.state.desk
    answer = RedirectResponse(own_path(back), 303)
    value = theme if theme in THEMES else ""
    answer.set_cookie(
        "theme", value, max_age=_YEAR_S, path="/", secure=desk.settings.is_secure, httponly=True, samesite="strict"
    )
    return answer


PAGE = PageModule(router)
