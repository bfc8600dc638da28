"""Verbs of the technician: mask and rotation of a camera, from the next frame on and for every later start."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from agent.runtime.commands import Arguments, CommandRefusedError, Verb
from agent.runtime.mount_file import Polygon
from agent.shift.ports import OnDuty
from hw.ports import Mountable, Mounting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.audit import Auditor
    from agent.runtime.commands import Caller
    from agent.runtime.feed_documents import Document
    from agent.runtime.mount_file import MountFile
    from hw.ports import Camera

RIGHT = "technician"
_MIN_CORNERS = 3
_ERRORS = ("unknown_camera", "not_technician", "disk")
Name = Annotated[str, Field(max_length=32)]


class NoArguments(Arguments):
    """No arguments."""


class MaskArguments(Arguments):
    """Arguments of ``set_mask``."""

    camera: Name
    polygon: Polygon


class RotationArguments(Arguments):
    """Arguments of ``set_rotation``."""

    camera: Name
    degrees: Literal[0, 90, 180, 270]


class MountVerbs:
    """The verbs; used by the command thread."""

    def __init__(self, cameras: Sequence[Camera], file: MountFile, auditor: Auditor) -> None:
        """What was set before takes effect at once."""
        self._cameras = {camera.name: camera for camera in cameras if isinstance(camera, Mountable)}
        self._file = file
        self._auditor = auditor
        self._set = file.load()
        for name, mounting in self._set.items():
            self._apply(name, mounting)

    def verbs(self) -> tuple[Verb, ...]:
        """The verbs."""
        return (
            Verb("mountings", NoArguments, self.mountings, ("cameras",), signed_on=False, is_activity=False),
            Verb("set_mask", MaskArguments, self.set_mask, (), (*_ERRORS, "bad_polygon")),
            Verb("set_rotation", RotationArguments, self.set_rotation, (), _ERRORS),
        )

    def mountings(self, _: NoArguments, __: Caller) -> Document:
        """Rotation and drawn area of each camera, as they are now."""
        return {
            "cameras": [
                {
                    "camera": name,
                    "degrees": camera.rotation,
                    "polygon": [list(corner) for corner in self._set.get(name, Mounting()).polygon],
                }
                for name, camera in self._cameras.items()
            ]
        }

    def set_mask(self, arguments: MaskArguments, caller: Caller) -> Document:
        """Ignore plates inside a polygon, in addition to the configured mask; an empty one removes it."""
        if 0 < len(arguments.polygon) < _MIN_CORNERS:
            raise CommandRefusedError("bad_polygon", "an area has at least three corners; none removes it")
        before = self._set.get(arguments.camera, Mounting())
        self._change("set_mask", arguments.camera, replace(before, polygon=arguments.polygon), caller)
        return {}

    def set_rotation(self, arguments: RotationArguments, caller: Caller) -> Document:
        """Rotate a camera's pictures clockwise; an area that was drawn on the other ones is removed."""
        self._change("set_rotation", arguments.camera, Mounting(arguments.degrees), caller)
        return {}

    def _change(self, action: str, name: str, mounting: Mounting, caller: Caller) -> None:
        officer = caller.officer
        if not (isinstance(officer, OnDuty) and officer.may(RIGHT)):
            self._auditor.add(caller.badge, action, name, outcome="not_technician")
            raise CommandRefusedError("not_technician", "the roster gives this officer no right `technician`")
        if name not in self._cameras:
            known = ", ".join(sorted(self._cameras))
            raise CommandRefusedError("unknown_camera", f"no such camera; there are: {known}")
        changed = {**self._set, name: mounting}
        try:
            self._file.save(changed)
        except OSError as error:
            raise CommandRefusedError("disk", f"not saved, nothing was changed: {error.strerror}") from error
        self._set = changed
        self._apply(name, mounting)
        self._auditor.add(caller.badge, action, name)

    def _apply(self, name: str, mounting: Mounting) -> None:
        if (camera := self._cameras.get(name)) is not None:
            camera.remount(mounting)
