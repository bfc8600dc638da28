"""The drive format: load, validate, merge into one timeline.  ``docs/drive-format.md`` is the specification."""

from hw.drive_format import (
    FORMAT,
    Drive,
    DriveCamera,
    DriveFormatError,
    DriveHeader,
    FrameRow,
    Sentence,
    Truth,
)
from hw.drive_load import load_drive
from hw.script import VERBS, Action
from hw.timeline import (
    DrivePictures,
    Event,
    FrameEvent,
    NmeaEvent,
    ScriptEvent,
    scripted_timeline,
    timeline,
)

__all__ = [
    "FORMAT",
    "VERBS",
    "Action",
    "Drive",
    "DriveCamera",
    "DriveFormatError",
    "DriveHeader",
    "DrivePictures",
    "Event",
    "FrameEvent",
    "FrameRow",
    "NmeaEvent",
    "ScriptEvent",
    "Sentence",
    "Truth",
    "load_drive",
    "scripted_timeline",
    "timeline",
]
