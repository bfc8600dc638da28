"""Builds and parses topic names.

``lpr/1/{unit}/...``: one ACL pattern with the name in the unit's certificate covers a unit, and no unit can publish
as another.  The number is the version of the layout, not of the messages.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from protocol.errors import WireError
from protocol.wire.control.transfer import UPDATE

ROOT = "lpr/1"
_UNIT = re.compile(r"[A-Za-z0-9_-]{1,36}")
_KIND = re.compile(r"[a-z][a-z0-9-]{0,15}")
_OFFER = "dn/offer"


class Channel(StrEnum):
    """The last part of a topic: its messages, and who publishes them."""

    READ = "up/read"
    """Records of the outbox: reads, time anchors, tombstones and others.  Unit to station."""
    PICTURE = "up/pic"
    """Picture chunks.  Unit to station."""
    HEALTH = "up/health"
    """Counters and gauges.  Unit to station."""
    RECEIPT = "dn/receipt"
    """Receipts, nacks and picture statuses.  Station to unit."""
    UPDATE = "up/upd"
    """Requests for bytes of files, and reports on updates.  Unit to station."""
    COMMAND = "dn/cmd"
    """The update that the station offers, retained.  Station to unit; see ``offer_topic`` for other kinds."""
    PART = "dn/part"
    """Bytes of files.  Station to unit."""
    LOG = "dn/log"
    """Checkpoints of the station's audit log, retained.  Station to unit."""
    WITNESS = "up/log"
    """Countersignatures of those.  Unit to station."""
    STATUS = "st"
    """Status, retained.  Unit, or broker for it, to everybody."""


@dataclass(frozen=True, slots=True)
class Topic:
    """A parsed topic."""

    unit: str
    channel: Channel


def check_unit(unit: str) -> str:
    """Return the unit id unchanged.

    Raises WireError unless it is 1 to 36 of ``A-Z a-z 0-9 _ -``: anything else could address other topics.
    """
    if not _UNIT.fullmatch(unit):
        raise WireError(f"unit id {unit[:48]!r} must be 1 to 36 letters, digits, '_' or '-'")
    return unit


def build(unit: str, channel: Channel) -> str:
    """Return the topic of one channel of one unit; raises WireError for a bad unit id."""
    return f"{ROOT}/{check_unit(unit)}/{channel.value}"


def parse(topic: str) -> Topic:
    """Parse a topic; raises WireError if it is not one of this protocol."""
    prefix, _, rest = topic.removeprefix(f"{ROOT}/").partition("/")
    if not topic.startswith(f"{ROOT}/"):
        raise WireError(f"topic {topic[:80]!r} is not below {ROOT}/")
    try:
        channel = Channel(rest)
    except ValueError:
        raise WireError(f"topic {topic[:80]!r} has no known channel") from None
    return Topic(check_unit(prefix), channel)


def pattern(channel: Channel) -> str:
    """Return the filter with which a station subscribes to one channel of all units."""
    return f"{ROOT}/+/{channel.value}"


def offer_topic(unit: str, kind: str) -> str:
    """Return the topic on which files of a kind are offered to a unit, retained.

    Updates keep the topic of the first release.  Raises WireError for a bad unit id or kind.
    """
    if kind == UPDATE:
        return build(unit, Channel.COMMAND)
    if not _KIND.fullmatch(kind):
        raise WireError(f"kind {kind[:48]!r} must be 1 to 16 of a-z 0-9 '-', a letter first")
    return f"{ROOT}/{check_unit(unit)}/{_OFFER}/{kind}"


def offered_kind(unit: str, topic: str) -> str | None:
    """Return the kind of file that is offered to a unit on a topic; None for other topics."""
    if topic == build(unit, Channel.COMMAND):
        return UPDATE
    kind = topic.removeprefix(f"{ROOT}/{unit}/{_OFFER}/")
    return kind if kind not in {topic, UPDATE} and _KIND.fullmatch(kind) else None


def heard_by_unit(unit: str) -> tuple[str, ...]:
    """Return the topics to which a unit subscribes; raises WireError for a bad unit id."""
    heard = (Channel.RECEIPT, Channel.COMMAND, Channel.PART, Channel.LOG)
    return (*(build(unit, channel) for channel in heard), f"{ROOT}/{check_unit(unit)}/{_OFFER}/+")
