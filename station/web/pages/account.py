"""A person's own account: password, and tokens for programs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Form
from starlette.responses import Response

from station.accounts.log_in import FRESH_US, max_token_days
from station.accounts.passwords import MIN_LENGTH
from station.errors import AccountError, BusyError
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Anybody = Annotated[Visit, Depends(Needs(None))]


@router.get("/account", include_in_schema=False)
def own_account(visit: _Anybody) -> Response:
    """Who the person is here, and their tokens."""
    return _page(visit, 200)


@router.post("/account/password", include_in_schema=False)
def change_password(
    visit: _Anybody,
    old: Annotated[str, Form(max_length=1024)],
    new: Annotated[str, Form(max_length=1024)],
    again: Annotated[str, Form(max_length=1024)],
) -> Response:
    """Change the password; all sessions end."""
    if new != again:
        return _page(visit, 400, message="the two new passwords differ")
    try:
        visit.desk.accounts.change_password(visit.person, old, new)
    except AccountError as error:
        return _page(visit, 400, message=str(error))
    return visit.redirect("/log-in")


@router.post("/account/tokens", include_in_schema=False)
def add_token(
    visit: _Anybody,
    label: Annotated[str, Form(max_length=256)],
    days: Annotated[int, Form()],
    password: Annotated[str, Form(max_length=1024)] = "",
    code: Annotated[str, Form(max_length=16)] = "",
) -> Response:
    """Make a token, which is shown once, after the person has proved again who they are."""
    try:
        secret = visit.desk.log_in.add_token(visit.person, label.strip(), days, password=password, code=code)
    except AccountError as error:
        return _page(visit, 503 if isinstance(error, BusyError) else 400, message=str(error))
    return _page(visit, 200, secret=secret)


@router.post("/account/tokens/{token_id}/drop", include_in_schema=False)
def drop_token(visit: _Anybody, token_id: str) -> Response:
    """End a token."""
    visit.desk.log_in.drop_token(visit.person, token_id)
    return visit.redirect("/account")


def _page(visit: Visit, status: int, *, message: str = "", secret: str = "") -> Response:
    tokens = visit.desk.log_in.tokens(visit.person)
    return visit.page(
        "account.html", status=status, message=message, secret=secret, tokens=tokens, min_length=MIN_LENGTH,
        max_days=max_token_days(visit.person.account), fresh_minutes=FRESH_US // 60_000_000,
    )  # fmt: skip


PAGE = PageModule(
    router, (NavigationEntry("Account", "/account", None, "Your password, and tokens for programs."),)
)
