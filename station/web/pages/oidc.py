"""Log-in with the agency's own accounts, where the station has such a service."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from station.errors import AccountError, BusyError
from station.web.errors import RefusedError
from station.web.page import PageModule
from station.web.pages.log_in import with_session
from station.web.texts import SAFE_TEXTS

if TYPE_CHECKING:
    from station.web.desk import Desk

router = APIRouter(dependencies=SAFE_TEXTS)
_KEPT_S = 600


def _cookie(desk: Desk) -> str:
    return "__Host-oidc" if desk.settings.is_secure else "oidc"


@router.get("/oidc/start", include_in_schema=False)
def start(request: Request) -> Response:
    """Send the browser to the service; what belongs to this log-in stays in its cookie."""
    desk: Desk = request.app.state.desk
    if desk.oidc is None:
        raise RefusedError(404, "unknown", "this station has no log-in service of an agency")
    url, kept = desk.oidc.begin()
    answer = RedirectResponse(url, 303)
    # Lax: the service sends the browser back from another site.
    answer.set_cookie(
        _cookie(desk), json.dumps(kept), max_age=_KEPT_S, path="/", secure=desk.settings.is_secure, httponly=True,
        samesite="lax",
    )  # fmt: skip
    return answer


@router.get("/oidc/callback", include_in_schema=False)
def callback(request: Request, code: str = "", state: str = "") -> Response:
    """A session for whom the service has identified.

    The strict cookie is not sent along a way that began at another site: the page has a link instead.
    """
    desk: Desk = request.app.state.desk
    if desk.oidc is None:
        raise RefusedError(404, "unknown", "this station has no log-in service of an agency")
    try:
        kept = json.loads(request.cookies.get(_cookie(desk), ""))
        known = [str(kept[name]) for name in ("state", "nonce", "verifier")]
    except (ValueError, KeyError, TypeError):
        known = []
    if not known or not state or not secrets.compare_digest(known[0].encode(), state.encode()):
        raise RefusedError(400, "oidc", "this log-in was not begun in this browser: begin again")
    try:
        secret, _ = desk.log_in.log_in_subject(desk.oidc.finish(code, known[1], known[2]))
    except BusyError:
        raise  # nothing was used up: the browser can load this again
    except AccountError as error:
        values = {"title": "Not logged in", "message": str(error), "status": 403}
        return HTMLResponse(desk.render("error.html", request, values), 403)
    answer = HTMLResponse(desk.render("logged_in.html", request, {}))
    answer.delete_cookie(_cookie(desk), path="/", secure=desk.settings.is_secure, httponly=True)
    return with_session(desk, secret, answer)


PAGE = PageModule(router)
