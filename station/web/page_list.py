"""Every page of the station, in the order of the navigation.  A new page is a module and a line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from station.web.pages import (
    account,
    accounts,
    audit,
    audit_log,
    duty,
    evidence,
    exports,
    hits,
    holds,
    home,
    incidents,
    lists,
    log_in,
    map_coverage,
    maps,
    oidc,
    plan,
    programs,
    purpose,
    reads,
    report_definitions,
    reports,
    search,
    settings,
    units,
    zones,
)

if TYPE_CHECKING:
    from station.web.page import PageModule

PAGES: tuple[PageModule, ...] = (
    home.PAGE,
    search.PAGE,
    maps.PAGE,
    map_coverage.PAGE,
    hits.PAGE,
    incidents.PAGE,
    plan.PAGE,
    zones.PAGE,
    duty.PAGE,
    units.PAGE,
    lists.PAGE,
    reports.PAGE,
    report_definitions.PAGE,
    evidence.PAGE,
    exports.PAGE,
    holds.PAGE,
    audit.PAGE,
    audit_log.PAGE,
    accounts.PAGE,
    settings.PAGE,
    account.PAGE,
    # Without a link in the navigation:
    log_in.PAGE,
    oidc.PAGE,
    purpose.PAGE,
    reads.PAGE,
    programs.PAGE,
)
