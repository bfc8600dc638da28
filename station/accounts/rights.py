"""What each role may do: the whole table is here.

No right follows from another.  Who may see plates may not see the audit trail, and who administers accounts may see
neither: no one person can look and then decide that nobody sees it.
"""

from __future__ import annotations

from enum import StrEnum


class Right(StrEnum):
    """One thing that a page, or a program, may need."""

    SEARCH = "search"
    """Search reads, and see them with their pictures."""
    MAP = "map"
    HITS = "hits"
    EXPORT = "export"
    """Request an export, and download it once approved."""
    APPROVE = "approve"
    """Approve other people's exports."""
    EVIDENCE = "evidence"
    """Make packages for courts."""
    HOLDS = "holds"
    """Exempt records from deletion."""
    UNITS = "units"
    LISTS = "lists"
    """See hot lists, their alarm budgets and versions."""
    EDIT_LISTS = "edit-lists"
    INCIDENTS = "incidents"
    EDIT_INCIDENTS = "edit-incidents"
    DEPLOYMENT = "deployment"
    """See plans, shifts and hours of employees."""
    OWN_SHIFTS = "own-shifts"
    """See one's own shifts: those of the person that has the account."""
    EDIT_DEPLOYMENT = "edit-deployment"
    REPORTS = "reports"
    EDIT_REPORTS = "edit-reports"
    """Define reports of the agency's own."""
    AUDIT = "audit"
    """See who looked at what, and why."""
    ACCOUNTS = "accounts"
    """Make, change and disable accounts."""
    SETTINGS = "settings"
    """Configure what leaves the station by itself, such as webhooks."""


class Role(StrEnum):
    """What a person is at this station."""

    OFFICER = "officer"
    ANALYST = "analyst"
    SUPERVISOR = "supervisor"
    AUDITOR = "auditor"
    ADMINISTRATOR = "administrator"


_LOOK = frozenset({Right.SEARCH, Right.MAP, Right.HITS, Right.UNITS, Right.INCIDENTS})
RIGHTS: dict[Role, frozenset[Right]] = {
    Role.OFFICER: _LOOK | {Right.EDIT_INCIDENTS, Right.OWN_SHIFTS},
    Role.ANALYST: _LOOK | {Right.EXPORT, Right.EVIDENCE, Right.LISTS, Right.REPORTS},
    Role.SUPERVISOR: _LOOK
    | {
        Right.EDIT_INCIDENTS,
        Right.EXPORT,
        Right.APPROVE,
        Right.EVIDENCE,
        Right.HOLDS,
        Right.LISTS,
        Right.DEPLOYMENT,
        Right.EDIT_DEPLOYMENT,
        Right.REPORTS,
        Right.EDIT_REPORTS,
    },
    Role.AUDITOR: frozenset(
        {Right.AUDIT, Right.DEPLOYMENT, Right.INCIDENTS, Right.UNITS, Right.LISTS, Right.REPORTS}
    ),
    Role.ADMINISTRATOR: frozenset(
        {Right.ACCOUNTS, Right.UNITS, Right.LISTS, Right.EDIT_LISTS, Right.EDIT_REPORTS, Right.SETTINGS}
    ),
}


def rights_of(role: str) -> frozenset[Right]:
    """Return the rights of a role; none for one that this version does not know."""
    return RIGHTS[Role(role)] if role in set(Role) else frozenset()
