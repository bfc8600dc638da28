"""Hits of a running agent: matches tracks, alerts at once, records stages and decisions.

Shared by the thread of :mod:`agent.runtime.hit_component`, the command thread and the panel, and used by the replay
without threads.  The hit's file is written before its alert, so that what was heard is known after a power cut.  All
else that must be on the disk goes through the commit thread: first the hit's file, then the outbox, so that the queue
never knows less than the log.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING

import structlog

from agent.buffer import NewRecord
from agent.errors import ImageError
from agent.hits.machine import locate
from agent.hits.records import Actor, Hit, HitState
from protocol.errors import HotlistError, SealError, WireError
from protocol.wire.codec import decode, encode
from protocol.wire.records.disposition import Disposition as DispositionBody
from protocol.wire.records.hit import Hit as HitBody

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from agent.commit import LateRecord
    from agent.hits.bodies import HitBodies
    from agent.hits.desk import Effects, HitDesk, Matching, Now
    from agent.hits.machine import Verification
    from agent.hits.records import Decision
    from agent.hits.rules import HitRules
    from agent.hits.watch import Entered, Watched, WatchedPlates
    from agent.hotlist.records import ListInfo, Match
    from agent.pictures import PictureMaker
    from agent.records import Geotag, Picture, PlateText, Sighting, TimeTag, Track
    from agent.runtime.alarm import Alarm
    from agent.runtime.hit_files import HitFiles
    from protocol.wire.enums import PictureKind
    from protocol.wire.registry import RecordBody

_LOG = structlog.get_logger(__name__)
_NS_PER_MS = 1_000_000
_MAX_DELAYS = 1024
_SETTLE_NS = 15 * 60 * 1_000_000_000
"""How long a time must stay before entries of officers are deleted by it."""


class HitRecord:
    """A stage or a decision on its way to the disk; see :class:`agent.commit.LateRecord`."""

    def __init__(self, service: HitService, hit: Hit, decision: Decision | None) -> None:
        """``decision`` is None for a stage of the hit."""
        self._service = service
        self.hit = hit
        self.decision = decision
        self.record_id = service.new_id()
        self.policy = service.rules().policy
        self.on_disk = threading.Event()

    @property
    def t_mono_ns(self) -> int:
        """When it happened."""
        return self.hit.t_mono_ns if self.decision is None else self.decision.t_mono_ns

    def complete(self, when: TimeTag, where: Geotag) -> NewRecord:
        """Commit thread."""
        return self._service.complete(self, when, where)

    def stored(self, seq: int) -> None:
        """Commit thread."""
        self._service.settle(self, seq)
        self.on_disk.set()


class _Restored:
    """A record of the run before that may not be in the outbox."""

    def __init__(self, service: HitService, hit: Hit, body: RecordBody) -> None:
        self._service, self.hit, self._body = service, hit, body
        self.decision = None
        self.record_id = service.new_id()

    @property
    def t_mono_ns(self) -> int:
        return 0

    def complete(self, _when: TimeTag, _where: Geotag) -> NewRecord:
        self._service.note_pending(self, self._body)
        pictures = self.hit.pictures if isinstance(self._body, HitBody) else ()
        return NewRecord(self._body, self.record_id, pictures)

    def stored(self, seq: int) -> None:
        self._service.settle(self, seq)


class HitService:
    """The hits of one run.  Any thread may call, unless a method says otherwise."""

    def __init__(
        self,
        desk: HitDesk,
        watched: WatchedPlates,
        *,
        lists: Callable[[], Matching],
        files: HitFiles,
        bodies: HitBodies,
        pictures: PictureMaker,
        now: Callable[[], Now],
        rules: Callable[[], HitRules],
        emit: Callable[[LateRecord], None],
        scene: Callable[[int], tuple[TimeTag, Geotag]],
        alarm: Alarm | None = None,
        first: Callable[[Callable[[], None]], None] = lambda work: work(),
    ) -> None:
        """``lists`` returns the lists in force, ``rules`` what the policy says here and now.

        ``emit`` hands a record to the commit thread at once.  ``scene`` returns time and place of an instant as far as
        they are known.  ``first`` does what must be done before an alert, and may give up waiting for it.
        """
        self._desk = desk
        self._watched = watched
        self._lists = lists
        self._files = files
        self._bodies = bodies
        self._pictures = pictures
        self.now = now
        self.rules = rules
        self._emit = emit
        self._scene = scene
        self._alarm = alarm
        self._first = first
        self._lock = threading.RLock()
        """Never held while a file is written: an alert must not wait for the disk."""
        self._saving = threading.Lock()
        """Held while a hit's file is written or deleted."""
        self._noted: set[bytes] = set()
        """Hits whose files the commit thread writes from now on."""
        self._watching = threading.Lock()
        self._expired_since_ns: int | None = None
        """Since when there are expired entries of officers; commit thread."""
        self._listeners: list[Callable[[Hit], None]] = []
        self._pending: dict[bytes, dict[HitRecord | _Restored, bytes]] = {}
        """Encoded bodies that are not in the outbox yet, by hit; commit thread."""
        self._forgotten: deque[bytes] = deque()
        """Hits whose files are to be deleted."""
        self._failed_matches = 0
        self._not_permitted = 0
        self._without_pictures = 0
        self.delays_ms: deque[int] = deque(maxlen=_MAX_DELAYS)
        """From the exposure of the second agreeing frame to the alert, of the latest hits."""

    def subscribe(self, listener: Callable[[Hit], None]) -> None:
        """Call ``listener`` with each changed hit, in any thread; before the start only."""
        self._listeners.append(listener)

    def new_id(self) -> bytes:
        """Return a new id."""
        return self._desk.mint(self.now().t_mono_ns)

    def restore(self) -> None:
        """Take over the queue of the run before; before the start."""
        found = self._files.load()
        self._desk.restore(saved.hit for saved in found)
        self._watched.restore(self._files.load_watched())
        for saved in found:
            for payload in saved.pending:
                try:
                    body = decode(payload, HitBody, DispositionBody)
                except WireError as error:
                    _LOG.error("hit_record_unreadable", hit=saved.hit.hit_id.hex(), reason=str(error))
                    continue
                self._emit(_Restored(self, saved.hit, body))
        for saved in found:
            self._tell(saved.hit)
        if found:
            _LOG.info("hits_restored", count=len(found), open=len(self.open_hits))
        self._show()

    # Tracks: hit thread

    def on_confirmed(self, track: Track) -> None:
        """Match a track that two frames agree on, and alert at once."""
        now = self.now()
        matches = self._match(track.plate, now)
        if not matches:
            return
        with self._lock:
            effects = self._desk.on_confirmed(track, matches, now)
        self._apply(effects, since_mono_ns=track.t_last_mono_ns)

    def on_final(self, track: Track) -> Track:
        """Match a closed track; return it marked for its read."""
        now = self.now()
        matches = self._match(track.plate, now)
        with self._lock:
            track, effects = self._desk.on_final(track, matches, now)
        self._apply(effects)
        return track

    def tick(self) -> None:
        """Do what is due; about ten times per second."""
        now = self.now()
        with self._lock:
            effects = self._desk.tick(now)
            if self._alarm is not None:
                self._alarm.repeat(self._desk.unacknowledged, now.t_mono_ns)
        self._apply(effects)

    def close(self) -> None:
        """Release the speaker.  Hits can still be decided."""
        with self._lock:
            if self._alarm is not None:
                self._alarm.close()

    def _match(self, plate: PlateText, now: Now) -> tuple[Match, ...]:
        own = self._watched.match(plate, now_utc_us=now.utc_us)
        try:
            listed = self._lists().match(plate, now_utc_us=now.utc_us, lat_deg=now.lat_deg, lon_deg=now.lon_deg)
        except (HotlistError, SealError, OSError) as error:
            # A damaged file of one list; the read itself is kept.
            self._failed_matches += 1
            _LOG.error("match_failed", reason=str(error))
            listed = ()
        rules = self.rules()
        found = (*own, *listed)
        permitted = tuple(match for match in found if rules.permit(match, now.utc_us))
        self._not_permitted += len(found) - len(permitted)
        return permitted

    def _apply(self, effects: Effects, *, since_mono_ns: int | None = None) -> list[HitRecord]:
        if effects.alerts and self._alarm is not None:
            self._first(partial(self._note_heard, effects.alerts))
            with self._lock:
                self._alarm.show(self._desk.unacknowledged)
                now_ns = self.now().t_mono_ns
                self._alarm.alert(effects.alerts, now_ns)
            if since_mono_ns is not None:
                self.delays_ms.append(max(0, (now_ns - since_mono_ns) // _NS_PER_MS))
        elif effects.changed:
            self._show()
        for hit in effects.changed:
            self._tell(hit)
        self._forgotten.extend(effects.forgotten)
        records = [self._stage(hit, sighting) for hit, sighting in effects.staged]
        records += [HitRecord(self, hit, decision) for hit, decision in effects.decisions]
        for record in records:
            self._emit(record)
        return records

    def _stage(self, hit: Hit, sighting: Sighting | None) -> HitRecord:
        """Add the pictures, which takes a while and is done after the alert."""
        _LOG.info(
            "hit",
            id=hit.hit_id.hex(),
            read=hit.read_id.hex(),
            stage=hit.stage.value,
            list=hit.match.list.list_id,
            rule=hit.match.rule.value,
        )
        if sighting is None:
            return HitRecord(self, hit, None)
        try:
            pictures = self._pictures.make(sighting, self.rules().shown)
        except ImageError as error:
            self._without_pictures += 1
            _LOG.error("hit_without_pictures", id=hit.hit_id.hex(), reason=str(error))
            return HitRecord(self, hit, None)
        with self._lock:
            attached = self._desk.attach(hit.hit_id, pictures)
        if attached is not None:
            self._tell(attached)
            hit = attached
        return HitRecord(self, hit, None)

    def _tell(self, hit: Hit) -> None:
        for listener in self._listeners:
            listener(hit)

    def _show(self) -> None:
        if self._alarm is not None:
            with self._lock:
                self._alarm.show(self._desk.unacknowledged)

    # Officers: command thread, and the main thread for the button

    def acknowledge_newest(self) -> None:
        """The acknowledge button: silence, and the newest hit that nobody has seen counts as seen."""
        now = self.now()
        with self._lock:
            if self._alarm is not None:
                self._alarm.hush()
            effects = self._desk.acknowledge_newest(Actor(), now.t_mono_ns)
        self._apply(effects)
        self._show()

    def acknowledge(self, hit_id: bytes, actor: Actor) -> list[HitRecord]:
        """Note that a hit was seen.  Raises HitRefusedError."""
        with self._lock:
            effects = self._desk.acknowledge(hit_id, actor, self.now().t_mono_ns)
            if self._alarm is not None and not self._desk.unacknowledged:
                self._alarm.hush()
        return self._apply(effects)

    def confirm(self, hit_id: bytes, given: Verification, actor: Actor) -> list[HitRecord]:
        """Confirm a hit.  Raises HitRefusedError unless the verification is complete."""
        with self._lock:
            effects = self._desk.confirm(hit_id, given, actor, self.now().t_mono_ns)
        return self._apply(effects)

    def reject(self, hit_id: bytes, given: Verification, actor: Actor) -> list[HitRecord]:
        """Reject a hit.  Raises HitRefusedError."""
        with self._lock:
            effects = self._desk.reject(hit_id, given, actor, self.now().t_mono_ns)
        return self._apply(effects)

    def note_outcome(self, hit_id: bytes, code: str, actor: Actor) -> list[HitRecord]:
        """Record an outcome.  Raises HitRefusedError."""
        with self._lock:
            effects = self._desk.note_outcome(hit_id, code, actor, self.now().t_mono_ns)
        return self._apply(effects)

    def watch(self, entered: Entered, actor: Actor) -> Watched:
        """Watch for a plate that an officer entered; ``entered`` is clean.  Raises HitRefusedError."""
        with self._watching:
            new = self._watched.add(entered, self.new_id().hex(), actor.badge, self.now().utc_us)
            self._files.save_watched(self._watched.watched)
        return new

    def unwatch(self, entry_id: str) -> Watched:
        """Stop watching for a plate.  Raises HitRefusedError."""
        with self._watching:
            gone = self._watched.remove(entry_id)
            self._files.save_watched(self._watched.watched)
        return gone

    def look_up(self, plate: PlateText) -> tuple[Match, ...]:
        """Match a typed plate with the lists."""
        return self._match(plate, self.now())

    # Views

    @property
    def lists(self) -> tuple[ListInfo, ...]:
        """The lists in force."""
        return self._lists().lists

    @property
    def max_list_age_s(self) -> float:
        """Age from which on a list is stale."""
        return self.rules().max_age_s

    @property
    def open_hits(self) -> tuple[Hit, ...]:
        """Hits that wait for a decision, the oldest first."""
        with self._lock:
            return self._desk.open_hits

    @property
    def watched(self) -> tuple[Watched, ...]:
        """Plates that officers watch for."""
        return self._watched.current(self.now().utc_us)

    def find(self, hit_id: bytes) -> Hit | None:
        """Return a hit; None if it is unknown or over."""
        with self._lock:
            return self._desk.get(hit_id) if self._desk.knows(hit_id) else None

    def picture(self, hit_id: bytes, kind: PictureKind) -> Picture | None:
        """Return a picture of a hit; None if there is none.  Raises HitRefusedError for an unknown hit."""
        with self._lock:
            hit = self._desk.get(hit_id)
        return next((picture for picture in hit.pictures if picture.kind is kind), None)

    # The disk: before an alert

    def _note_heard(self, hits: Sequence[Hit]) -> None:
        """Write the files of hits that are about to be heard, with their records: a power cut must not lose them."""
        policy = self.rules().policy
        for hit in hits:
            when, where = self._scene(hit.t_mono_ns)
            payload = encode(self._bodies.hit(locate(hit, when, where), when, where, policy))
            with self._saving:
                # A disk that was slow may let the commit thread pass.
                if hit.hit_id not in self._noted and self._desk.is_kept(hit.hit_id):
                    self._files.save(hit, (payload,))

    # The disk: commit thread

    def complete(self, record: HitRecord, when: TimeTag, where: Geotag) -> NewRecord:
        """Add time and place, and write the hit's file before its record is appended."""
        body: RecordBody
        if record.decision is None:
            with self._lock:
                located = self._desk.located(record.hit.hit_id, when, where)
            if located is not None:
                self._tell(located)
            body = self._bodies.hit(locate(record.hit, when, where), when, where, record.policy)
            pictures = record.hit.pictures
        else:
            body, pictures = self._bodies.disposition(record.decision, when, where), ()
        self.note_pending(record, body)
        return NewRecord(body, record.record_id, pictures)

    def note_pending(self, record: HitRecord | _Restored, body: RecordBody) -> None:
        """A record is about to be appended; after a power cut it is appended again."""
        self._pending.setdefault(record.hit.hit_id, {})[record] = encode(body)
        with self._saving:
            self._noted.add(record.hit.hit_id)
            self._save(record.hit)

    def settle(self, record: HitRecord | _Restored, seq: int) -> None:
        """A record is in the outbox."""
        hit_id = record.hit.hit_id
        pending = self._pending.get(hit_id, {})
        pending.pop(record, None)
        if not pending:
            self._pending.pop(hit_id, None)
        action = "stage" if record.decision is None else record.decision.action.value
        _LOG.info("hit_recorded", id=hit_id.hex(), seq=seq, action=action)
        with self._saving:
            self._save(record.hit)

    def tidy(self) -> None:
        """Delete what is over: files of hits, and plates of officers; after each round of the commit thread."""
        while self._forgotten:
            with self._saving:
                self._delete(self._forgotten.popleft())
        if self._watched.watched:
            self._drop_expired(self.now())

    def _drop_expired(self, now: Now) -> None:
        """A time that jumps hides entries; only one that has stayed deletes them."""
        if len(self._watched.current(now.utc_us)) == len(self._watched.watched):
            self._expired_since_ns = None
        elif self._expired_since_ns is None:
            self._expired_since_ns = now.t_mono_ns
        elif now.t_mono_ns - self._expired_since_ns >= _SETTLE_NS:
            with self._watching:
                self._watched.drop_expired(now.utc_us)
                self._files.save_watched(self._watched.watched)

    def _delete(self, hit_id: bytes) -> None:
        self._noted.discard(hit_id)
        self._files.delete(hit_id)

    def _save(self, hit: Hit) -> None:
        pending = self._pending.get(hit.hit_id, {})
        with self._lock:
            kept = self._desk.is_kept(hit.hit_id)
            newest = self._desk.get(hit.hit_id) if self._desk.knows(hit.hit_id) else hit
            if not kept and not pending:
                self._desk.forget(hit.hit_id)
        if kept or pending:
            self._files.save(newest, pending.values())
        else:
            self._delete(hit.hit_id)

    # Health

    def counters(self) -> Mapping[str, int]:
        """Counters by their published names."""
        own = {
            "match_failures": self._failed_matches,
            "not_permitted": self._not_permitted,
            "without_pictures": self._without_pictures,
            "sounds": 0 if self._alarm is None else self._alarm.sounded,
            "file_failures": self._files.failures,
            "files_unreadable": self._files.unreadable,
        }
        return {f"hits.{name}": value for name, value in {**asdict(self._desk.counts), **own}.items()}

    def gauges(self) -> Mapping[str, int]:
        """Gauges by their published names."""
        waiting = self.open_hits
        return {
            "hits.open": len(waiting),
            "hits.unacknowledged": sum(hit.state is HitState.NEW for hit in waiting),
            "hits.watched": len(self.watched),
            "hits.alert_ms": self.delays_ms[-1] if self.delays_ms else 0,
        }
