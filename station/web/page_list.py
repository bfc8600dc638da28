"""Every page of the station, in the order of the navigation.  A new page is a module and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from station.web.pages import (
    account,
    accounts,
    audit,
    exports,
    home,
    log_in,
    programs,
    purpose,
    reads,
    search,
    units,
)

if TYPE_CHECKING:
    from station.web.page import PageModule

PAGES: tuple[PageModule, ...] = (
    home.PAGE,
    search.PAGE,
    exports.PAGE,
    units.PAGE,
    audit.PAGE,
    accounts.PAGE,
    account.PAGE,
    # Without a link in the navigation:
    log_in.PAGE,
    purpose.PAGE,
    reads.PAGE,
    programs.PAGE,
)
