"""Pictures for views on the unit: those of the latest reads from memory, and the cameras' newest frames."""

from __future__ import annotations

import base64
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from agent.hits.errors import HitRefusedError
from agent.pictures import encode_jpeg, shrink
from agent.runtime.commands import Arguments, CommandRefusedError, HexId, Verb
from protocol.wire.enums import PictureKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.audit import Auditor
    from agent.commit import CommitResult
    from agent.records import Picture, Read
    from agent.runtime.camera import CameraComponent
    from agent.runtime.commands import Caller
    from agent.runtime.feed_documents import Document
    from agent.runtime.view_audit import ViewAudit
    from hw.ports import Clock

LATEST_READS = 50
"""Reads whose pictures are kept in memory."""
_MAX_VIEWED = 256
_CAMERA_WIDTH_PX = 480
_CAMERA_QUALITY = 60
_CAMERA_EVERY_NS = 200_000_000


class PictureArguments(Arguments):
    """Arguments of ``picture``: one of the two ids."""

    read_id: HexId | None = None
    hit_id: HexId | None = None
    kind: PictureKind


class CameraArguments(Arguments):
    """Arguments of ``camera_picture``."""

    camera: str


class LatestPictures:
    """The pictures of the latest reads, in memory; the commit thread adds, the command thread reads."""

    def __init__(self, clock: Clock, limit: int = LATEST_READS) -> None:
        self._clock = clock
        self._limit = limit
        self._lock = threading.Lock()
        self._of: OrderedDict[bytes, Read] = OrderedDict()

    def on_commit(self, result: CommitResult) -> None:
        """Keep the pictures of committed reads, and forget those whose period is over; commit thread."""
        with self._lock:
            for read in result.reads:
                self._of[read.read_id] = read
                self._of.move_to_end(read.read_id)
            while len(self._of) > self._limit:
                self._of.popitem(last=False)
            self._forget()

    def _forget(self) -> None:
        now_ns = self._clock.mono_ns()
        over = [key for key, read in self._of.items() if (end := read.ends_mono_ns) is not None and end <= now_ns]
        for key in over:
            del self._of[key]

    def find(self, read_id: bytes, kind: PictureKind) -> Picture | None:
        """Return a picture; None if it is not in memory.  Any thread."""
        with self._lock:
            self._forget()
            read = self._of.get(read_id)
        return None if read is None else next((p for p in read.pictures if p.kind is kind), None)


class PictureVerbs:
    """``picture`` and ``camera_picture``; used by the command thread."""

    def __init__(
        self,
        latest: LatestPictures,
        cameras: tuple[CameraComponent, ...],
        clock: Clock,
        of_hit: Callable[[bytes, PictureKind], Picture | None],
        auditor: Auditor | None = None,
        *,
        views: ViewAudit | None = None,
    ) -> None:
        """``of_hit`` returns a picture of a hit, or raises HitRefusedError.

        Who looked at the plate picture of which hit is audited, once each; pictures of reads and of cameras are
        counted in ``views``.  Without a sign-on it is whoever was at the terminal.
        """
        self._auditor = auditor
        self._views = views
        self._viewed: OrderedDict[tuple[str, str], None] = OrderedDict()
        """Badge and hit of the latest views that are audited already."""
        self._of_hit = of_hit
        self._latest = latest
        self._cameras = {camera.camera_name: camera for camera in cameras}
        self._clock = clock
        self._made: dict[str, tuple[int, Document]] = {}
        """Of each camera the time and the answer made last."""

    def verbs(self) -> tuple[Verb, ...]:
        """The verbs."""
        keys = ("jpeg_base64", "width_px", "height_px")
        return (
            Verb(
                "picture",
                PictureArguments,
                self.picture,
                keys,
                ("no_picture",),
                signed_on=False,
                is_activity=False,
            ),
            Verb(
                *("camera_picture", CameraArguments, self.camera_picture, (*keys, "mono_us")),
                errors=("unknown_camera", "private", "no_picture"),
                signed_on=False,
                is_activity=False,
            ),
        )

    def picture(self, arguments: PictureArguments, caller: Caller) -> Document:
        """Return a picture of a read or of a hit."""
        if (arguments.read_id is None) == (arguments.hit_id is None):
            raise CommandRefusedError("bad_arguments", "picture: give either read_id or hit_id")
        found = self._find(arguments)
        if found is None:
            raise CommandRefusedError(
                "no_picture",
                f"only the pictures of the latest {LATEST_READS} reads and of hits that are not over are in memory",
            )
        if arguments.hit_id is None:
            self._note(caller, "view_read_pictures")
        elif arguments.kind is PictureKind.PLATE:
            self._audit(caller.badge, arguments.hit_id)
        return _answer(found.jpeg, found.width_px, found.height_px)

    def _audit(self, badge: str, hit_id: str) -> None:
        if self._auditor is None or (badge, hit_id) in self._viewed:
            return
        self._auditor.add(badge, "view_hit", hit_id)
        self._viewed[badge, hit_id] = None
        if len(self._viewed) > _MAX_VIEWED:
            self._viewed.popitem(last=False)

    def _note(self, caller: Caller, action: str, obj: str = "") -> None:
        if self._views is not None:
            self._views.note(caller.badge, action, obj)

    def _find(self, arguments: PictureArguments) -> Picture | None:
        if arguments.hit_id is None:
            return self._latest.find(bytes.fromhex(arguments.read_id or ""), arguments.kind)
        try:
            return self._of_hit(bytes.fromhex(arguments.hit_id), arguments.kind)
        except HitRefusedError:
            return None

    def camera_picture(self, arguments: CameraArguments, caller: Caller) -> Document:
        """Return the newest frame, small; at most five times per second, otherwise the one before."""
        name = arguments.camera
        camera = self._cameras.get(name)
        if camera is None:
            raise CommandRefusedError(
                "unknown_camera", f"no such camera; there are: {', '.join(sorted(self._cameras))}"
            )
        if camera.private:
            self._made.pop(name, None)
            raise CommandRefusedError("private", "privacy is on: the driver switched the cameras off")
        self._note(caller, "view_camera", name)
        now_ns, before = self._clock.mono_ns(), self._made.get(name)
        if before is not None and now_ns - before[0] < _CAMERA_EVERY_NS:
            return before[1]
        frame = camera.newest
        if frame is None:
            raise CommandRefusedError("no_picture", "the camera has delivered no frame yet")
        rgb = shrink(frame.rgb, _CAMERA_WIDTH_PX)
        height_px, width_px = rgb.shape[:2]
        jpeg = encode_jpeg(rgb, _CAMERA_QUALITY)
        answer = {**_answer(jpeg, width_px, height_px), "mono_us": frame.t_mono_ns // 1000}
        self._made[name] = (now_ns, answer)
        return answer


def _answer(jpeg: bytes, width_px: int, height_px: int) -> Document:
    return {"jpeg_base64": base64.b64encode(jpeg).decode(), "width_px": width_px, "height_px": height_px}
