"""A hit service without a camera, a disk thread or a clock."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from types import SimpleNamespace

from agent.hits.bodies import HitBodies
from agent.hits.desk import HitDesk, HitSettings, Now
from agent.hits.rules import HitRules
from agent.hits.watch import WatchedPlates
from agent.hotlist.matcher import Matcher
from agent.pictures import PictureMaker
from agent.records import Geotag, TimeTag
from agent.runtime.hit_files import HitFiles
from agent.runtime.hits import HitService
from protocol.wire.enums import GeotagMethod, TimeSource


class OneOfficer:
    """One officer, with the session ``token``."""

    def officer_of(self, session, *, used=True):
        return SimpleNamespace(badge="1234", role="patrol", shift_id=None) if session == "token" else None


def make_hit_service(folder: Path | None = None, *, lists=Matcher) -> HitService:
    """Everything that is recorded counts as stored at once."""
    numbers = itertools.count(1)
    return HitService(
        HitDesk(HitSettings(), lambda _: next(numbers).to_bytes(16, "big")),
        WatchedPlates("Sheriff", bytes(16)),
        lists=lists,
        files=HitFiles(folder or Path(tempfile.mkdtemp(prefix="hits-")), None),
        bodies=HitBodies("patrol-lpr test", ()),
        pictures=PictureMaker(),
        now=lambda: Now(5, 10**15),
        rules=lambda: HitRules(24 * 3600),
        emit=lambda record: record.on_disk.set(),
        scene=lambda _: (TimeTag(None, TimeSource.NONE, None), Geotag(GeotagMethod.NONE)),
    )
