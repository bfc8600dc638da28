"""Hot lists, policies and updates outward: the import doctor, signed files to groups of units, who has which version.

No private key is here: a draft is downloaded and signed where the key lives, and the signed file is uploaded.
"""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from io import SEEK_END
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, TYPE_CHECKING, Annotated, Any, Literal

from fastapi import APIRouter, Depends, Form, UploadFile
from starlette.responses import Response, StreamingResponse

from protocol.errors import HotlistError, PatrolError
from station.accounts.rights import Right
from station.lists.checks import OwnerFiles
from station.rollout import Rollouts, RolloutState
from station.signed_files import FileType, trusted_keys, verify_file
from station.web.errors import RefusedError
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

if TYPE_CHECKING:
    from collections.abc import Iterator

router = APIRouter(dependencies=SAFE_TEXTS)
_Looker = Annotated[Visit, Depends(Needs(Right.LISTS))]
_Editor = Annotated[Visit, Depends(Needs(Right.EDIT_LISTS))]
_MAX_LIST_BYTES = 512 * 2**20
_MAX_FILE_BYTES = 1024 * 2**20
_PercentForm = Annotated[int, Form(ge=1, le=100)]
_TextForm = Annotated[str, Form(max_length=64)]
_UNITS_FORM = 60_000
_PART_BYTES = 2**20
_DAY_US = 86_400_000_000


@router.get("/lists", include_in_schema=False)
def lists(visit: _Looker) -> Response:
    """What is rolled out, and who has it."""
    return _page(visit)


@router.get("/api/1/rollouts", tags=["lists"])
def rollouts_for_programs(visit: _Looker) -> list[dict[str, Any]]:
    """What is rolled out to which units, and who has it."""
    return [_values(state) for state in _rollouts(visit).states()]


@router.get("/lists/doctor", include_in_schema=False)
def doctor(visit: _Editor) -> Response:
    """The form of the import doctor, and the person's check: how far it is, or what it found."""
    return _doctor_page(visit)


@router.post("/lists/doctor", include_in_schema=False)
def begin_check(
    visit: _Editor,
    source: UploadFile,
    plan: UploadFile,
    previous: UploadFile | None = None,
    as_of: Annotated[datetime | Literal[""], Form()] = "",
) -> Response:
    """Begin to check an owner's file; nothing of it is kept but for the draft, for an hour.

    With the list before it, a change beyond its bound, or older data, hold it.  ``as_of`` is the time of the data.
    """
    before = previous.file if previous is not None and previous.filename else None
    files = OwnerFiles(source.filename or "list", source.file, plan.file, before)
    try:
        visit.desk.list_checks.begin(
            visit.name,
            files,
            as_of_us=_as_of_us(as_of, visit.desk.clock_us()),
            authorities=trusted_keys(visit.desk.settings.trusted, FileType.HOTLIST),
            note=lambda list_id: visit.commands.note("check list", f"list={list_id}"),
        )
    except PatrolError as error:
        return _doctor_page(visit, str(error), 400)
    visit.desk.wake_checks()
    return visit.redirect("/lists/doctor")


@router.post("/lists/doctor/stop", include_in_schema=False)
def stop_check(visit: _Editor) -> Response:
    """End the person's check, and delete its files."""
    visit.desk.list_checks.jobs.end(visit.name)
    return visit.redirect("/lists/doctor")


@router.post("/lists/doctor/draft", include_in_schema=False)
def fetch_draft(visit: _Editor) -> Response:
    """The draft that is to be signed."""
    try:
        draft, list_id = visit.desk.list_checks.open_draft(visit.name)
    except PatrolError as error:
        return _doctor_page(visit, str(error), 409)
    visit.commands.note("fetch draft of list", f"list={list_id}")
    size = draft.seek(0, SEEK_END)
    draft.seek(0)
    headers = {"content-disposition": 'attachment; filename="list.draft"', "content-length": str(size)}
    return StreamingResponse(_parts(draft), media_type="application/octet-stream", headers=headers)


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while data := file.read(_PART_BYTES):
            yield data


def _doctor_page(visit: Visit, message: str = "", status: int = 200) -> Response:
    job = visit.desk.list_checks.jobs.get(visit.name)
    return visit.page("lists_doctor.html", status=status, message=message, job=job)


def _as_of_us(as_of: datetime | Literal[""], now_us: int) -> int:
    """The time of the data; now if none is given.  Raises HotlistError for the future."""
    if as_of == "":
        return now_us
    found = round((as_of if as_of.tzinfo else as_of.replace(tzinfo=UTC)).timestamp() * 1e6)
    if found > now_us + _DAY_US:
        raise HotlistError("the time of the data is in the future")
    return found


@router.post("/lists/groups", include_in_schema=False)
def set_group(
    visit: _Editor, group: _TextForm, units: Annotated[str, Form(max_length=_UNITS_FORM)] = ""
) -> Response:
    """Set the units of a group; none removes it."""
    return _done(visit, lambda made: made.set_group(group.strip(), units.replace(",", " ").split()))


@router.post("/lists/start", include_in_schema=False)
def start(  # noqa: PLR0917 - fields of a form
    visit: _Editor,
    what: Annotated[FileType, Form()],
    group: _TextForm,
    percent: _PercentForm,
    file: UploadFile,
    slot: Annotated[int, Form(ge=1, le=4)] = 1,
) -> Response:
    """Verify a signed file and offer it to a share of a group."""
    with TemporaryDirectory(prefix="lpr-file-") as folder:
        path = Path(folder) / "uploaded"
        _save(file, path)

        def roll_out(made: Rollouts) -> None:
            keys = trusted_keys(visit.desk.settings.trusted, what)
            if not keys:
                prefix = "release" if what is FileType.UPDATE else what.value
                raise RefusedError(400, "keys", f"put {prefix}.pub into {visit.desk.settings.trusted} first")
            members = made.groups().get(group, [])
            found = verify_file(what, path, keys, slot=slot, units=members)
            made.start(
                found.kind, group, path, release=found.version, percent=percent, parts=found.parts, told=found.told
            )

        return _done(visit, roll_out)


@router.post("/lists/advance", include_in_schema=False)
def advance(visit: _Editor, kind: _TextForm, group: _TextForm, percent: _PercentForm) -> Response:
    """Change the share of units."""
    return _done(visit, lambda made: made.advance(kind, group, percent))


@router.post("/lists/stop", include_in_schema=False)
def stop(visit: _Editor, kind: _TextForm, group: _TextForm) -> Response:
    """Withdraw the offers."""
    return _done(visit, lambda made: made.stop(kind, group))


def _done(visit: Visit, act: Any) -> Response:
    """Do it, and show the page again; with what is wrong, if something is."""
    try:
        act(_rollouts(visit))
    except RefusedError as error:
        return _page(visit, error.message, error.status)
    except PatrolError as error:
        return _page(visit, str(error), 400)
    return visit.redirect("/lists")


def _page(visit: Visit, message: str = "", status: int = 200) -> Response:
    made = _rollouts(visit)
    return visit.page(
        "lists.html", status=status, message=message, states=made.states(), groups=made.groups(),
        may_edit=visit.may(Right.EDIT_LISTS), types=tuple(FileType), trusted=visit.desk.settings.trusted,
    )  # fmt: skip


def _rollouts(visit: Visit) -> Rollouts:
    return Rollouts(visit.desk.store, visit.asker, visit.desk.clock_us)


def _save(upload: UploadFile, path: Path) -> None:
    with path.open("wb") as file:
        shutil.copyfileobj(upload.file, file)


def _values(state: RolloutState) -> dict[str, Any]:
    one = state.rollout
    return {
        "kind": one.kind,
        "group": one.group,
        "version": one.release,
        "percent": one.percent,
        "offered": state.offered,
        "have": state.has,
        "started_us": one.started_us,
        "by": one.who,
        "units": [{"unit": unit.unit, "offered": unit.offered or None, "has": unit.has} for unit in state.units],
    }


PAGE = PageModule(
    router,
    (
        NavigationEntry(
            "Lists", "/lists", Right.LISTS, "Hot lists, policies and updates: roll out, and see who has which."
        ),
    ),
    {"/lists/doctor": _MAX_LIST_BYTES, "/lists/start": _MAX_FILE_BYTES},
)
