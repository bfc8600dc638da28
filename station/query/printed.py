"""A report as one HTML file that prints: no script, no picture, nothing from a network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from jinja2 import Environment

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{ title }}</title>
<style>
body { font: 11pt/1.4 system-ui, "DejaVu Sans", Arial, sans-serif; color: #111; margin: 2em auto; max-width: 60em; padding: 0 1em; }
h1 { font-size: 16pt; margin: 0 0 .2em; } h2 { font-size: 12pt; margin: 1.6em 0 .4em; }
p { margin: 0 0 .6em; color: #333; }
.frame { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; padding: .25em .6em; border-bottom: 1px solid #bbb; vertical-align: top; }
th { border-bottom: 2px solid #444; } .number { text-align: right; font-variant-numeric: tabular-nums; }
tr { break-inside: avoid; } thead { display: table-header-group; }
@page { margin: 18mm; } @media print { body { margin: 0; max-width: none; } }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for line in about %}<p>{{ line }}</p>
{% endfor %}
{% for table in tables %}
<h2>{{ table.title }}</h2>
{% if table.rows %}
<div class="frame" tabindex="0" role="region" aria-label="{{ table.title }}"><table>
<thead><tr>{% for name in table.columns %}<th scope="col"{% if loop.index0 in table.numbers %} class="number"{% endif %}>{{ name }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in table.rows %}<tr>{% for cell in row %}<td{% if loop.index0 in table.numbers %} class="number"{% endif %}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody></table></div>
{% else %}<p>None.</p>{% endif %}
{% endfor %}
</body>
</html>
"""  # noqa: E501 - lines of HTML


@dataclass(frozen=True, slots=True)
class PrintedTable:
    """One table of a report."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: frozenset[int] = frozenset()
    """Columns that are aligned as numbers."""


def printed(title: str, about: Sequence[str], tables: Sequence[PrintedTable]) -> str:
    """Return the page; all texts are escaped."""
    return Environment(autoescape=True).from_string(_PAGE).render(title=title, about=about, tables=tables)
