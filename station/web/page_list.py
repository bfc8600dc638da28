"""Every page of the station, in the order of the navigation.  A new page is a module and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from station.web.pages import (
    account,
    audit_log,
    evidence,
    holds,
    home,
    log_in,
    programs,
    purpose,
    reports,
)

if TYPE_CHECKING:
    from station.web.page import PageModule

PAGES: tuple[PageModule, ...] = (
    home.PAGE,
    holds.PAGE,
    audit_log.PAGE,
    evidence.PAGE,
    reports.PAGE,
    account.PAGE,
    # Without a link in the navigation:
    log_in.PAGE,
    purpose.PAGE,
    programs.PAGE,
)
