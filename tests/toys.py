"""Record types that no release has: what iterates the registry takes them as they are."""

from __future__ import annotations

from typing import Annotated, ClassVar

from protocol.wire.codec import Text32, key
from protocol.wire.registry import Priority, RecordBody, RecordType
from protocol.wire.released import released_registry


class Alarm(RecordBody):
    """Urgent, and never given up."""

    SCHEMA: ClassVar[str] = "alarm/1"

    what: Annotated[Text32, key("wha")]


class Note(RecordBody):
    """Nobody waits for it, and it may be given up."""

    SCHEMA: ClassVar[str] = "note/1"

    text: Annotated[Text32, key("txt")]


ALARM_TYPE = RecordType(schema="alarm/1", model=Alarm, priority=Priority.URGENT)
NOTE_TYPE = RecordType(
    schema="note/1", model=Note, priority=Priority.BULK, evictable=True, retention=lambda note: note.text or None
)
WITH_TOYS = released_registry().with_type(ALARM_TYPE).with_type(NOTE_TYPE)
