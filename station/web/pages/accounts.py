"""Accounts of all people: made, changed, disabled, reset."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Depends, Form
from pydantic import BaseModel, Field
from starlette.responses import Response

from station.accounts.accounts import seen_of
from station.accounts.rights import Right, Role
from station.asker import Scope
from station.errors import AccountError, ScopeError
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

if TYPE_CHECKING:
    from collections.abc import Iterable

router = APIRouter(dependencies=SAFE_TEXTS)
_Administrator = Annotated[Visit, Depends(Needs(Right.ACCOUNTS))]


class AccountForm(BaseModel):
    """Who somebody is."""

    full_name: Annotated[str, Field(max_length=256)]
    role: Annotated[str, Field(max_length=32)]
    agencies: Annotated[str, Field(max_length=2048)] = ""
    """Separated by commas, as a line of CSV: the name of an agency may have spaces, and commas within quotes."""
    units: Annotated[str, Field(max_length=8192)] = ""
    zones: Annotated[str, Field(max_length=8192)] = ""
    subject: Annotated[str, Field(max_length=256)] = ""

    def scope(self, own: Scope) -> Scope:
        """Return what the person may see, which is no more than the administrator may.  Raises AccountError."""
        agencies = _split(self.agencies)
        scope = Scope(agencies or None, _names(self.units), _names(self.zones))
        if not scope.is_within(own):
            raise AccountError("you cannot give more agencies, units or zones than you have yourself: name them")
        return scope


class ChangeForm(AccountForm):
    """Who somebody is now, and what the form was made of."""

    seen: Annotated[str, Field(max_length=64)] = ""


class NewAccountForm(AccountForm):
    """A new account."""

    name: Annotated[str, Field(max_length=64)]


def _split(text: str) -> frozenset[str]:
    lines = csv.reader([" ".join(text.split())], skipinitialspace=True, strict=True)
    try:
        names = next(lines, [])
    except csv.Error as error:
        raise AccountError(
            'agencies: a name with a comma stands within quotes, as in "Springfield, PD"'
        ) from error
    return frozenset(name.strip() for name in names if name.strip())


def joined(names: Iterable[str]) -> str:
    """Names as the form has them."""
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(sorted(names))
    return text.getvalue()


def _names(text: str) -> frozenset[str] | None:
    names = frozenset(text.replace(",", " ").split())
    return names or None


@router.get("/accounts", include_in_schema=False)
def accounts(visit: _Administrator) -> Response:
    """All accounts within what the administrator may see."""
    return _page(visit, 200)


@router.post("/accounts", include_in_schema=False)
def add(visit: _Administrator, form: Annotated[NewAccountForm, Form()]) -> Response:
    """Make an account; its link is shown once."""
    try:
        link = visit.desk.accounts.add(
            visit.asker,
            form.name.strip(),
            full_name=form.full_name,
            role=form.role,
            scope=form.scope(visit.asker.scope),
            subject=form.subject,
        )
    except AccountError as error:
        return _page(visit, 400, message=str(error))
    return _page(visit, 200, link=link, name=form.name.strip())


@router.get("/accounts/{name}", include_in_schema=False)
def one_account(visit: _Administrator, name: str) -> Response:
    """The form of one account."""
    return _one(visit, name, "", 200)


@router.post("/accounts/{name}", include_in_schema=False)
def change(visit: _Administrator, name: str, form: Annotated[ChangeForm, Form()]) -> Response:
    """Change who somebody is; their sessions end."""
    _within(visit, name)
    try:
        visit.desk.accounts.change(
            visit.asker,
            name,
            full_name=form.full_name,
            role=form.role,
            scope=form.scope(visit.asker.scope),
            subject=form.subject,
            seen=form.seen or None,
        )
    except AccountError as error:
        return _one(visit, name, str(error), 400)
    return visit.redirect("/accounts")


@router.post("/accounts/{name}/disable", include_in_schema=False)
def disable(visit: _Administrator, name: str) -> Response:
    """Disable; sessions and tokens end."""
    return _able(visit, name, disabled=True)


@router.post("/accounts/{name}/enable", include_in_schema=False)
def enable(visit: _Administrator, name: str) -> Response:
    """Enable again."""
    return _able(visit, name, disabled=False)


def _able(visit: Visit, name: str, *, disabled: bool) -> Response:
    _within(visit, name)
    try:
        visit.desk.accounts.disable(visit.asker, name, disabled=disabled)
    except AccountError as error:
        return _one(visit, name, str(error), 400)
    return visit.redirect("/accounts")


@router.post("/accounts/{name}/reset", include_in_schema=False)
def reset(visit: _Administrator, name: str) -> Response:
    """Take password and second factor away; the new link is shown once."""
    _within(visit, name)
    return _page(visit, 200, link=visit.desk.accounts.reset(visit.asker, name), name=name)


def _within(visit: Visit, name: str) -> None:
    """Another agency's account is unknown.  Raises ScopeError."""
    account = visit.desk.store.accounts.get(name)
    if account is None or not account.scope.is_within(visit.asker.scope):
        raise ScopeError(f"there is no account {name!r}")


def _one(visit: Visit, name: str, message: str, status: int) -> Response:
    _within(visit, name)
    account = visit.desk.accounts.get(name)
    return visit.page(
        "account_form.html", status=status, account=account, message=message, roles=list(Role), seen=seen_of(account),
        agencies=joined(account.scope.agencies or ()),
    )  # fmt: skip


def _page(visit: Visit, status: int, *, message: str = "", link: str = "", name: str = "") -> Response:
    rows = [row for row in visit.desk.accounts.all() if row.scope.is_within(visit.asker.scope)]
    address = f"{visit.request.url.scheme}://{visit.request.headers['host']}/set-up/{link}" if link else ""
    return visit.page(
        "accounts.html", status=status, rows=rows, message=message, address=address, name=name, roles=list(Role),
        sessions=visit.desk.store.accounts.count_sessions(),
    )  # fmt: skip


PAGE = PageModule(
    router, (NavigationEntry("Accounts", "/accounts", Right.ACCOUNTS, "Who may log in here, and as what."),)
)
