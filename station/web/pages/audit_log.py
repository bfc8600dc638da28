"""State of the audit log, and certificates of purges."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from station.accounts.rights import Right
from station.retention.purges import Purger
from station.web.errors import RefusedError
from station.web.page import NavigationEntry, PageModule
from station.web.texts import SAFE_TEXTS
from station.web.visit import Needs, Visit

router = APIRouter(dependencies=SAFE_TEXTS)
_Auditor = Annotated[Visit, Depends(Needs(Right.AUDIT))]


@router.get("/audit/log", include_in_schema=False)
def state(visit: _Auditor) -> Response:
    """Size, checkpoint, witnesses and purges; purges for those who may see all."""
    purger = Purger(visit.desk.store, visit.asker, visit.desk.clock_us)
    purges = purger.stored()[::-1] if visit.asker.scope.is_all else None
    return visit.page("audit-log.html", state=visit.query.log_state(), purges=purges)


@router.get("/audit/log/purges/{number}", include_in_schema=False)
def certificate(visit: _Auditor, number: int) -> Response:
    """The certificate of a purge, whose SHA-256 is in the audit log."""
    data = Purger(visit.desk.store, visit.asker, visit.desk.clock_us).certificate(number)
    if data is None:
        raise RefusedError(404, "unknown", f"there is no purge {number}")
    name = f'attachment; filename="purge-{number}.json"'
    return Response(data, media_type="application/json", headers={"content-disposition": name})


PAGE = PageModule(
    router,
    (
        NavigationEntry(
            "Audit log",
            "/audit/log",
            Right.AUDIT,
            "Whether the log is complete, who witnessed it, what was purged.",
        ),
    ),
)
