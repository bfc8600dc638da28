"""The import doctor for a page: an owner's file and a plan in, a report and a draft out."""

from __future__ import annotations

import io
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
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from protocol.seal.keys import VerifyKey


def check_list(
    source: Path,
    plan: Path,
    draft: Path,
    *,
    as_of_us: int,
    previous: Previous | None,
    on_bytes: Callable[[int], None],
) -> Report:
    """Import a list whose data are of ``as_of_us``, and write its draft; raises HotlistError.

    ``on_bytes`` is told how many bytes of the file are read; what it raises ends the import.
    """
    told = load_plan(plan)
    report = Report()
    budget = Budget(build_space(FORMATS, told.population), load_behaviour())
    with _CountedFile(source, on_bytes) as file, draft.open("wb") as out:
        Importer(told, budget, report).run(file, out, as_of_utc_us=as_of_us, previous=previous)
    return report


def previous_list(path: Path, authorities: Sequence[VerifyKey]) -> Previous:
    """Return size and age of the draft or package before a list, which hold it if they differ by too much.

    Raises HotlistError for anything else, and for a package of an unknown authority.
    """
    with ListFile(path, authorities) as opened:
        info = opened.info
        rows = info.rows if opened.manifest is None else opened.manifest.rows
        return Previous(rows + info.patterns, info.as_of_utc_us)


class _CountedFile(io.FileIO):
    """Tells its position after every read."""

    def __init__(self, path: Path, on_bytes: Callable[[int], None]) -> None:
        super().__init__(path)
        self._on_bytes = on_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to ``size`` bytes."""
        data = super().read(size)
        self._on_bytes(self.tell())
        return data
