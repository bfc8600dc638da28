"""The verbs of the command socket, with what each works on."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.runtime.commands import Commands
from agent.runtime.hit_verbs import HitVerbs
from agent.runtime.incident_verbs import IncidentVerbs
from agent.runtime.mount_file import MountFile
from agent.runtime.mount_verbs import MountVerbs
from agent.runtime.picture_verbs import PictureVerbs
from agent.runtime.shift_verbs import ShiftVerbs
from agent.runtime.view_verbs import ViewVerbs
from agent.shift.pins import Argon2Pins

if TYPE_CHECKING:
    from pathlib import Path

    from agent.runtime.audit import QueuedAuditor
    from agent.runtime.camera import CameraComponent
    from agent.runtime.commands import Officers
    from agent.runtime.committing import CommitComponent
    from agent.runtime.hardware import Hardware
    from agent.runtime.hits import HitService
    from agent.runtime.lists import ListComponent
    from agent.runtime.picture_verbs import LatestPictures
    from agent.runtime.shifts import Shifts
    from agent.runtime.view_audit import ViewAudit


@dataclass(frozen=True, slots=True)
class VerbSources:
    """The components that verbs ask or change."""

    hardware: Hardware
    cameras: tuple[CameraComponent, ...]
    commit: CommitComponent
    hits: HitService
    shifts: Shifts
    lists: ListComponent
    pictures: LatestPictures
    auditor: QueuedAuditor
    views: ViewAudit


def build_commands(parts: VerbSources, officers: Officers, state_dir: Path) -> Commands:
    """Return all verbs; ``officers`` knows who is signed on."""
    commands, auditor, views = Commands(officers), parts.auditor, parts.views
    hits, shifts, clock = parts.hits, parts.shifts, parts.hardware.clock
    incidents = IncidentVerbs(
        shifts, secrets.token_bytes, lambda: parts.commit.last_fix, hit_of=hits.find, views=views
    )
    for each in (
        PictureVerbs(parts.pictures, parts.cameras, clock, hits.picture, auditor, views=views),
        HitVerbs(hits, auditor, views),
        ShiftVerbs(shifts, Argon2Pins(), parts.lists.sign_on),
        incidents,
        MountVerbs(parts.hardware.cameras, MountFile(state_dir), auditor),
        ViewVerbs(views),
    ):
        commands.add(each.verbs())
    return commands
