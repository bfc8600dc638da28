"""A report as one HTML file to be printed or published, without a script and without a network."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

if TYPE_CHECKING:
    from jinja2 import Template

    from station.reports.present import Presented


def printed_report(report: Presented) -> str:
    """Return the page."""
    style = _style()
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode("ascii")
    return _template().render(report=report, style=Markup(style), style_hash=f"sha256-{digest}")  # noqa: S704 - our file


@cache
def _template() -> Template:
    loader = PackageLoader("station.reports", ".")
    environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
    return environment.get_template("print.html.j2")


@cache
def _style() -> str:
    return resources.files("station.reports").joinpath("print.css").read_text(encoding="utf-8")
