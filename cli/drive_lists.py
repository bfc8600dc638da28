"""The hot list of a drive: imported, signed and put in force as on a unit, with keys that exist for one run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from agent.hotlist.store import ListsInForce, Terms
from protocol.plate_formats import FORMATS
from protocol.seal.keys import SigningKey, StationKey
from station.lists.behaviour import load_behaviour
from station.lists.budget import Budget
from station.lists.draft import ListFile
from station.lists.importer import Importer
from station.lists.plan import load_plan
from station.lists.report import Report
from station.lists.signing import Signing, sign_full
from station.lists.space import build_space

if TYPE_CHECKING:
    from hw.drive_format import Drive

PLAN, ROWS = "hotlist.toml", "hotlist.csv"
_AGE_US = 5 * 3_600_000_000
"""Age of the list at the start of the drive."""


def lists_of(drive: Drive, folder: Path, agency: str) -> ListsInForce | None:
    """Return the list of a drive in force, with its files in ``folder``; None if the drive has none.

    Raises HotlistError for a plan or a list that cannot be imported, and OSError.
    """
    plan_file, rows = Path(drive.root, PLAN), Path(drive.root, ROWS)
    if not plan_file.exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    draft, package = folder / "draft", folder / "package.lprhot"
    start_us = drive.header.start_utc_ns // 1000
    plan = load_plan(plan_file)
    importer = Importer(plan, Budget(build_space(FORMATS, plan.population), load_behaviour()), Report())
    with rows.open("rb") as file, draft.open("wb") as out:
        importer.run(file, out, as_of_utc_us=start_us - _AGE_US, previous=None)
    authority, key = SigningKey.generate(), StationKey.generate()
    with ListFile(draft) as opened, package.open("wb") as out:
        sign_full(out, opened, authority, Signing(1))
    lists = ListsInForce(folder / "lists", Terms(agency, (authority.public,)), key, lambda: start_us)
    lists.unlock(key)
    lists.install(package)
    return lists
