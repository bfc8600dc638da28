"""Plates that officers entered on the unit: matched like a list, with rule MANUAL, until they expire."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.fusion.candidates import alternative_texts
from agent.hits.errors import HitRefusedError
from agent.hits.records import printed
from agent.hotlist.records import Entry, ListInfo, Match, Priority, Rule
from agent.hotlist.regions import compare_regions, known_region
from agent.records import CharRead, PlateText

if TYPE_CHECKING:
    from collections.abc import Iterable

LIST_ID = "manual"
MAX_WATCHED = 100
_MIN_CHARS = 3
"""Characters other than wildcards: fewer would match too many plates."""
_MAX_CHARS = 12
_MIN_PROBABILITY = 0.1
_PATTERN = re.compile(r"[A-Z0-9?*]+")
_REGION = re.compile(r"\?|[A-Z]{2,3}(-[A-Z0-9]{1,3})?")
_US_PER_H = 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Watched:
    """One entry of an officer."""

    entry_id: str
    text: str
    """A-Z, 0-9, ``?`` for one character, ``*`` for any number."""
    region: str
    reason: str
    officer: str
    entered_utc_us: int | None
    expires_utc_us: int | None
    """None if the time was unknown: it then ends with the boot."""
    boot_id: bytes


@dataclass(frozen=True, slots=True)
class Entered:
    """What an officer typed."""

    text: str
    region: str
    reason: str
    hours: float


def clean(entered: Entered, max_hours: float) -> Entered:
    """Return the entry in the form of plate texts.  Raises HitRefusedError if it cannot be watched for."""
    text = re.sub(r"[\s.-]", "", entered.text).upper()
    region = entered.region.strip().upper() or "?"
    if not _PATTERN.fullmatch(text) or len(text) > _MAX_CHARS or len(re.sub(r"[?*]", "", text)) < _MIN_CHARS:
        raise HitRefusedError(
            "bad_plate",
            f"a plate has A-Z, 0-9, at most {_MAX_CHARS} characters and at least {_MIN_CHARS} known ones; ? stands for"
            " one unknown character, * for any number",
        )
    if not _REGION.fullmatch(region):
        raise HitRefusedError("bad_region", "a region is a code such as US-CA or MX, or ? if it is unknown")
    reason = printed(entered.reason)
    if not reason:
        raise HitRefusedError("no_reason", "say why this plate is watched for: the reason is recorded")
    if not 0 < entered.hours <= max_hours:
        raise HitRefusedError("bad_hours", f"an entry is watched for at most {max_hours:g} hours")
    return Entered(text, region, reason[:120], entered.hours)


class WatchedPlates:
    """The entries of one unit.  Replaced as a whole, so that any thread may match."""

    def __init__(self, owner: str, boot_id: bytes, priority: Priority = Priority.HIGH) -> None:
        """``owner`` is the agency."""
        self._owner = owner
        self._boot_id = boot_id
        self._priority = priority
        self._watched: tuple[tuple[Watched, re.Pattern[str]], ...] = ()
        self._version = 0

    @property
    def watched(self) -> tuple[Watched, ...]:
        """The entries, expired ones included."""
        return tuple(entry for entry, _ in self._watched)

    def current(self, now_utc_us: int | None) -> tuple[Watched, ...]:
        """The entries that have not expired."""
        return tuple(entry for entry in self.watched if not _is_over(entry, now_utc_us))

    def drop_expired(self, now_utc_us: int | None) -> None:
        """Forget the entries that have expired."""
        self._replace(self.current(now_utc_us))

    def restore(self, entries: Iterable[Watched]) -> None:
        """Take over entries of the run before; those without an expiry ended with their boot."""
        kept = [entry for entry in entries if entry.expires_utc_us is not None or entry.boot_id == self._boot_id]
        self._replace(tuple(kept))

    def add(self, entered: Entered, entry_id: str, officer: str, now_utc_us: int | None) -> Watched:
        """Watch for a plate; ``entered`` is clean.  Raises HitRefusedError if there are too many."""
        left = self.current(now_utc_us)
        if len(left) >= MAX_WATCHED:
            raise HitRefusedError("too_many", f"at most {MAX_WATCHED} plates are watched for: remove some first")
        expires = None if now_utc_us is None else now_utc_us + round(entered.hours * _US_PER_H)
        new = Watched(
            entry_id, entered.text, entered.region, entered.reason, officer, now_utc_us, expires, self._boot_id
        )
        self._replace((*left, new))
        return new

    def remove(self, entry_id: str) -> Watched:
        """Stop watching for a plate.  Raises HitRefusedError if there is no such entry."""
        found = next((entry for entry in self.watched if entry.entry_id == entry_id), None)
        if found is None:
            raise HitRefusedError("unknown_entry", "there is no such entry: it has expired, or was removed")
        self._replace(tuple(entry for entry in self.watched if entry is not found))
        return found

    def match(self, plate: PlateText, *, now_utc_us: int | None) -> tuple[Match, ...]:
        """Return the entries that a plate matches, the most probable first."""
        watched = self._watched
        if not watched or not plate.text:
            return ()
        texts = [(plate.text, plate.confidence), *alternative_texts(plate)]
        found: list[Match] = []
        for entry, pattern in watched:
            probability = sum(p for text, p in texts if pattern.fullmatch(_fold(text)))
            if probability >= _MIN_PROBABILITY and not _is_over(entry, now_utc_us):
                found.append(self._match(entry, plate, min(1.0, probability)))
        return tuple(sorted(found, key=lambda match: -match.probability))

    def _match(self, entry: Watched, plate: PlateText, probability: float) -> Match:
        info = ListInfo(
            LIST_ID,
            "Entered on this unit",
            self._owner,
            self._version,
            entry.entered_utc_us or 0,
            entry.expires_utc_us,
            self._priority,
            sound=True,
            lamp=True,
            jurisdiction="",
            entries=len(self._watched),
        )
        listed = Entry(entry.entry_id, entry.text, entry.region, entry.reason, note=f"entered by {entry.officer}")
        region = known_region(plate.region, plate.region_confidence)
        return Match(info, listed, Rule.MANUAL, probability, compare_regions(region, entry.region))

    def _replace(self, entries: tuple[Watched, ...]) -> None:
        self._version += 1
        self._watched = tuple((entry, _compiled(entry.text)) for entry in entries)


def as_plate(text: str, region: str) -> PlateText | None:
    """Return a typed text without wildcards as a certain read; None for one with wildcards."""
    if "?" in text or "*" in text:
        return None
    return PlateText(tuple(CharRead(symbol, 1.0) for symbol in text), 1.0, region, 0.0 if region == "?" else 1.0)


def _compiled(text: str) -> re.Pattern[str]:
    parts = {"?": "[A-Z0-9]", "*": "[A-Z0-9]*"}
    return re.compile("".join(parts.get(symbol, symbol) for symbol in _fold(re.sub(r"\*+", "*", text))))


def _fold(text: str) -> str:
    """O and 0 are one: plates of most regions do not distinguish them."""
    return text.replace("O", "0")


def _is_over(entry: Watched, now_utc_us: int | None) -> bool:
    return now_utc_us is not None and entry.expires_utc_us is not None and now_utc_us >= entry.expires_utc_us
