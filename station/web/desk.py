"""What all pages share: the store, accounts, templates and the list of pages."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from station.web.paths import page_path
from station.web.shown import FILTERS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

    from protocol.seal import KeyRing
    from station.accounts.accounts import Accounts
    from station.accounts.log_in import LogIn
    from station.accounts.rights import Right
    from station.jobs import Jobs
    from station.lists.checks import ListChecks
    from station.query.bulk import Exports
    from station.reports.make import Report
    from station.reports.quality import AlarmQuality
    from station.store import Store
    from station.web.page import NavigationEntry, PageModule
    from station.web.settings import WebSettings

FOLDER = Path(__file__).parent
Counted: TypeAlias = "Report | AlarmQuality"
THEMES = ("light", "dark")


class OidcPort(Protocol):
    """The agency's log-in service, see :class:`station.accounts.oidc.OidcClient`."""

    def begin(self) -> tuple[str, dict[str, str]]:
        """Return where the browser goes, and what it keeps."""

    def finish(self, code: str, nonce: str, verifier: str) -> str:
        """Return who the person is at the service."""


@dataclass(frozen=True, slots=True)
class Desk:
    """Shared by all requests; thread-safe."""

    store: Store
    accounts: Accounts
    log_in: LogIn
    settings: WebSettings
    pages: Sequence[PageModule]
    clock_us: Callable[[], int]
    ring: KeyRing | None
    """Public keys of the units; None: proofs cannot be verified."""
    templates: Environment
    exports: Exports
    oidc: OidcPort | None
    """The agency's log-in service; None: there is none."""
    wake: Callable[[], None]
    """Something was approved."""
    counts: Jobs[Counted]
    """Reports, and the quality of alarms."""
    wake_counts: Callable[[], object]
    """A count was begun."""
    list_checks: ListChecks
    wake_checks: Callable[[], object]
    """A check was begun."""

    @property
    def cookie(self) -> str:
        """Name of the cookie; the prefix binds it to this host and TLS."""
        return "__Host-station" if self.settings.is_secure else "station"

    def render(self, template: str, request: Request, values: dict[str, Any]) -> str:
        """Return a page.  ``values`` are those of its template; of a person who is logged in, see ``Visit.page``."""
        theme = request.cookies.get("theme", "")
        shared = {
            "station": self.settings.station,
            "theme": theme if theme in THEMES else "",
            "path": page_path(request),
            "visit": None,
            "csrf": "",
            "navigation": (),
            "has_oidc": self.oidc is not None,
            "now_us": self.clock_us(),
        }
        return self.templates.get_template(template).render({**shared, **values})

    def navigation(self, rights: frozenset[Right]) -> list[NavigationEntry]:
        """Return what somebody with these rights may open."""
        return [
            entry
            for page in self.pages
            for entry in page.navigation
            if entry.right is None or entry.right in rights
        ]


def environment() -> Environment:
    """Return the templates; everything in them is escaped, and a value that is missing is an error."""
    made = Environment(
        loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    made.filters.update(FILTERS)
    return made
