"""The import doctor for a page: an owner's file and a plan in, a report and a draft out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from protocol.plate_formats import FORMATS
from station.lists.behaviour import load_behaviour
from station.lists.budget import Budget
from station.lists.draft import ListFile
from station.lists.importer import Importer, Previous
from station.lists.plan import load_plan
from station.lists.report import Report
from station.lists.space import build_space

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from protocol.seal.keys import VerifyKey


def check_list(
    source: Path, plan: Path, draft: Path, *, as_of_us: int, previous: Previous | None
) -> tuple[Report, Path]:
    """Import a list whose data are of ``as_of_us``; return the report and the draft.  Raises HotlistError."""
    told = load_plan(plan)
    report = Report()
    budget = Budget(build_space(FORMATS, told.population), load_behaviour())
    with source.open("rb") as file, draft.open("wb") as out:
        Importer(told, budget, report).run(file, out, as_of_utc_us=as_of_us, previous=previous)
    return report, draft


def previous_list(path: Path, authorities: Sequence[VerifyKey]) -> Previous:
    """Return size and age of the draft or package before a list, which hold it if they differ by too much.

    Raises HotlistError for anything else, and for a package of an unknown authority.
    """
    with ListFile(path, authorities) as opened:
        info = opened.info
        rows = info.rows if opened.manifest is None else opened.manifest.rows
        return Previous(rows + info.patterns, info.as_of_utc_us)
