"""Decides which sightings show the same plate, by predicted position and by text.

At a few frames per second a passing plate moves several times its width from one frame to the next, so position alone
is not enough; two plates side by side may differ in one character, so text alone is not enough either.  A sighting
joins the track that it fits best in both, at most one per frame; if it fits none it starts a new track: two plates must
never become one track, while one plate in two tracks is corrected by the re-read window.

A track is *confirmed* at the second frame that agrees with its text, and *final* when it closes, with the same id.
Alerts, which cannot wait for the end of a pass, use the confirmed track; the final one is stored.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.fusion.fuse import agreed, fuse_predictions
from agent.records import PathPoint, Track

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from agent.records import Box, PlateText, Sighting

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000
_KEPT_TEXTS = 4
"""Number of distinct texts per track whose best frame is kept: frames are large."""


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """When two sightings are one plate, and when a track becomes a read."""

    lost_ms: float = 700.0
    """A track is closed after this long without a sighting, if there was a frame without one.

    In a time-lapse video the interval between frames is longer.
    """
    max_ms: float = 6000.0
    """Time after which a track closes even while the plate is in view, so that its read is not delayed."""
    reach_widths_per_s: float = 14.0
    """Maximum speed of a plate across the picture, in plate widths per second."""
    max_growth_per_s: float = 6.0
    """Maximum factor by which its width changes in a second."""
    alike: float = 0.7
    """Similarity of two texts, 0..1, from which they may be different predictions of one plate."""
    min_confidence: float = 0.4
    """Minimum confidence of a fused text for a read."""
    min_confidence_single: float = 0.7
    """The same for a single-frame text."""
    min_agreeing: float = 0.2
    """Minimum share of the frames that agree with the text: lettering is read differently in nearly every frame."""
    min_chars: int = 3
    max_chars: int = 10


@dataclass(frozen=True, slots=True)
class TrackerCounts:
    """Since the start of the process."""

    sightings: int = 0
    confirmed: int = 0
    """Tracks with a text on which two frames agreed; each counted once."""
    closed: int = 0
    """Tracks that became reads or re-reads."""
    unreadable: int = 0
    """Tracks closed without a text good enough for a read."""
    withdrawn: int = 0
    """Confirmed tracks among them: later frames made the text doubtful."""


@dataclass(frozen=True, slots=True)
class TrackerOutput:
    """The result of one frame."""

    confirmed: tuple[Track, ...] = ()
    """Tracks confirmed by this frame, with the text so far; they stay open."""
    closed: tuple[Track, ...] = ()
    """Final tracks; ``Track.confirmed`` is the text with which each was confirmed, if it was."""


@dataclass(slots=True)
class _Open:
    """A track that is still growing."""

    track_id: int
    camera: str
    t_first_ns: int
    t_last_ns: int
    box: Box
    missed: int = 0
    """Frames processed since the last sighting."""
    velocity_px_s: tuple[float, float] = (0.0, 0.0)
    predictions: list[PlateText] = field(default_factory=list)
    path: list[PathPoint] = field(default_factory=list)
    best_of: dict[str, Sighting] = field(default_factory=dict)
    surest: dict[str, float] = field(default_factory=dict)
    """The highest confidence of each text."""
    agreeing: Counter[str] = field(default_factory=Counter)
    """Number of frames with each text."""
    confirmed: PlateText | None = None
    read_id: bytes | None = None

    def add(self, sighting: Sighting) -> None:
        t_ns, box = sighting.frame.t_mono_ns, sighting.detection.box
        elapsed_s = (t_ns - self.t_last_ns) / _NS_PER_S
        if self.predictions and elapsed_s > 0:
            (x, y), (x0, y0) = _centre(box), _centre(self.box)
            self.velocity_px_s = ((x - x0) / elapsed_s, (y - y0) / elapsed_s)
        self.t_last_ns, self.box, self.missed = t_ns, box, 0
        self.predictions.append(sighting.plate)
        self.path.append(PathPoint(t_ns, box))
        text = sighting.plate.text
        self.surest[text] = max(self.surest.get(text, 0.0), sighting.plate.confidence)
        self.agreeing[text] += 1
        known = self.best_of.get(text)
        if known is None or _quality_score(sighting) > _quality_score(known):
            self.best_of[text] = sighting
        if len(self.best_of) > _KEPT_TEXTS:
            del self.best_of[min(self.best_of, key=lambda kept: _quality_score(self.best_of[kept]))]

    def may_be_confirmed(self, config: TrackerConfig) -> bool:
        """False if fusion cannot give a text on which two frames agree and that is good enough for a read.

        The confidence of a fused text is at most that of agreeing frames as sure as its best one; see
        :mod:`agent.fusion.fuse`.
        """
        return any(
            self.agreeing[text] > 1
            and config.min_chars <= len(text) <= config.max_chars
            and agreed(sure) >= config.min_confidence
            for text, sure in self.surest.items()
        )


class Tracker:
    """Sightings of one camera -> confirmed and closed tracks.  One per camera and thread; no clock of its own."""

    def __init__(
        self,
        config: TrackerConfig | None = None,
        *,
        ids: Iterator[int] | None = None,
        read_ids: Callable[[int], bytes] | None = None,
    ) -> None:
        """``ids`` numbers the tracks, from 1 unless given.  ``read_ids`` makes the id of a confirmed track's read.

        A tracker that replaces another in the same process gets the same ``ids``: camera name and track id together
        identify one pass.
        """
        self._config = config or TrackerConfig()
        self._ids = itertools.count(1) if ids is None else ids
        self._read_ids = read_ids
        self._open: list[_Open] = []
        self._sightings = 0
        self._confirmed = 0
        self._closed = 0
        self._unreadable = 0
        self._withdrawn = 0

    @property
    def counts(self) -> TrackerCounts:
        """A snapshot."""
        return TrackerCounts(self._sightings, self._confirmed, self._closed, self._unreadable, self._withdrawn)

    def update(self, t_mono_ns: int, sightings: Sequence[Sighting]) -> TrackerOutput:
        """Add the sightings of the frame exposed at ``t_mono_ns``; return confirmed and final tracks."""
        self._sightings += len(sightings)
        over = self._take_over(t_mono_ns)
        free = list(self._open)
        waiting = list(sightings)
        pairs = sorted(
            (
                (fit, i, j)
                for i, s in enumerate(waiting)
                for j, t in enumerate(free)
                if (fit := self._fit(t, s)) > 0
            ),
            reverse=True,
        )
        taken_sightings: set[int] = set()
        taken_tracks: set[int] = set()
        for _, i, j in pairs:
            if i not in taken_sightings and j not in taken_tracks:
                free[j].add(waiting[i])
                taken_sightings.add(i)
                taken_tracks.add(j)
        for j, track in enumerate(free):
            track.missed += j not in taken_tracks
        # In a time-lapse a plate may be in every frame: only now is it known that it is not in this one.
        over += self._take_over(t_mono_ns)
        for i, sighting in enumerate(waiting):
            if i not in taken_sightings:
                self._start(sighting)
        return TrackerOutput(self._confirm([free[j] for j in sorted(taken_tracks)]), self._close(over))

    def flush(self) -> tuple[Track, ...]:
        """Close all open tracks: the camera has stopped.  This confirms none."""
        over, self._open = self._open, []
        return self._close(over)

    def _take_over(self, t_mono_ns: int) -> list[_Open]:
        """Take out the tracks that are over."""
        over = [track for track in self._open if self._is_over(track, t_mono_ns)]
        if over:
            self._open = [track for track in self._open if not self._is_over(track, t_mono_ns)]
        return over

    def _is_over(self, track: _Open, t_mono_ns: int) -> bool:
        unseen = t_mono_ns - track.t_last_ns > self._config.lost_ms * _NS_PER_MS
        lost = unseen and track.missed > 0
        return lost or t_mono_ns - track.t_first_ns > self._config.max_ms * _NS_PER_MS

    def _start(self, sighting: Sighting) -> None:
        t_ns = sighting.frame.t_mono_ns
        track = _Open(next(self._ids), sighting.frame.camera, t_ns, t_ns, sighting.detection.box)
        track.add(sighting)
        self._open.append(track)

    def _fit(self, track: _Open, sighting: Sighting) -> float:
        """Score of a sighting as the continuation of a track; 0 if it cannot be."""
        box = sighting.detection.box
        elapsed_s = (sighting.frame.t_mono_ns - track.t_last_ns) / _NS_PER_S
        width_px = track.box.width_px
        growth = box.width_px / width_px if width_px else math.inf
        if abs(math.log(max(growth, 1e-6))) > math.log(1.3) + math.log(self._config.max_growth_per_s) * elapsed_s:
            return 0.0
        off_widths = self._off_px(track, box, elapsed_s) / max(1.0, width_px)
        reach = 0.6 + self._config.reach_widths_per_s * elapsed_s
        if off_widths > reach:
            return 0.0
        own_text = sighting.plate.text
        likeness = max([text_similarity(own_text, text) for text in track.best_of])
        # A different text must be almost exactly at the predicted position; a similar one may jump.
        if likeness < self._config.alike and off_widths > 0.5 * (likeness + 0.2):
            return 0.0
        if likeness < self._config.alike and self._both_sure(track, sighting):
            return 0.0
        return likeness + 0.5 * (1.0 - off_widths / reach) + 1e-3

    @staticmethod
    def _off_px(track: _Open, box: Box, elapsed_s: float) -> float:
        """Distance from the predicted position, assuming motion or standstill, whichever is nearer."""
        (x, y), (x0, y0) = _centre(box), _centre(track.box)
        vx, vy = track.velocity_px_s
        return min(
            math.hypot(x - x0, y - y0),
            math.hypot(x - x0 - vx * elapsed_s, y - y0 - vy * elapsed_s),
        )

    def _both_sure(self, track: _Open, sighting: Sighting) -> bool:
        sure = self._config.min_confidence_single
        best = max(prediction.confidence for prediction in track.predictions)
        return min(sighting.plate.confidence, best) >= sure

    def _confirm(self, grown: list[_Open]) -> tuple[Track, ...]:
        """Confirm those of the extended tracks on which two frames agree by now."""
        confirmed = []
        for track in grown:
            # Fusion is expensive: a sign that is read in every frame must not cause it in every frame.
            if track.confirmed is None and track.may_be_confirmed(self._config):
                made = self._fuse(track)
                if made is not None and not made.single_frame:
                    track.confirmed = made.plate
                    if self._read_ids is not None:
                        track.read_id = self._read_ids(track.t_last_ns)
                    confirmed.append(replace(made, confirmed=made.plate, read_id=track.read_id))
        self._confirmed += len(confirmed)
        return tuple(confirmed)

    def _close(self, over: list[_Open]) -> tuple[Track, ...]:
        closed = []
        for track in over:
            made = self._fuse(track)
            if made is None:
                self._unreadable += 1
                self._withdrawn += track.confirmed is not None
            else:
                self._closed += 1
                closed.append(made)
        return tuple(closed)

    def _fuse(self, track: _Open) -> Track | None:
        """Return the track with its text so far; None if that is not good enough for a read."""
        plate = fuse_predictions(track.predictions)
        n_agreeing = sum(1 for prediction in track.predictions if prediction.text == plate.text)
        config = self._config
        min_confidence = config.min_confidence if n_agreeing > 1 else config.min_confidence_single
        if not config.min_chars <= len(plate.chars) <= config.max_chars or plate.confidence < min_confidence:
            return None
        if n_agreeing < config.min_agreeing * len(track.predictions):
            return None
        best = track.best_of.get(plate.text) or max(track.best_of.values(), key=_quality_score)
        return Track(
            track_id=track.track_id,
            camera=track.camera,
            plate=plate,
            best=best,
            n_sightings=len(track.predictions),
            n_agreeing=n_agreeing,
            t_first_mono_ns=track.t_first_ns,
            t_last_mono_ns=track.t_last_ns,
            confirmed=track.confirmed,
            read_id=track.read_id,
            path=tuple(track.path),
        )


def text_similarity(a: str, b: str) -> float:
    """1 minus the edit distance (Levenshtein 1966) over the longer length; 0 for two empty texts."""
    if not a or not b:
        return 0.0
    if a == b:
        return 1.0
    row = list(range(len(b) + 1))
    for i, ca in enumerate(a, 1):
        diagonal, row[0] = row[0], i
        for j, cb in enumerate(b, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (ca != cb))
    return 1.0 - row[-1] / max(len(a), len(b))


def _quality_score(sighting: Sighting) -> float:
    """Sharpness, size and confidence."""
    return sighting.plate.confidence * math.sqrt(sighting.detection.box.area_px)


def _centre(box: Box) -> tuple[float, float]:
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
