"""The threads' loops: each moves records between a port, a stage object and a queue, and nothing else.

Frames are dropped by the camera when vision is late; tracks, sentences and receipts are never dropped: their queue is
bounded and makes the sender wait.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING

import structlog

from agent.errors import FatalError, OutboxDiskError
from agent.records import Track
from hw.ports import (
    CameraAbsentError,
    CameraEndedError,
    CameraStalledError,
    GnssLostError,
    LinkDown,
    LinkUp,
    NmeaLine,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.buffer import Command
    from agent.commit import CommitResult, ReadCommitter
    from agent.pipeline import CameraPipeline
    from agent.runtime.health import DeviceCounts
    from agent.runtime.supervisor import WorkerContext
    from agent.runtime.timing import StageTimes
    from agent.sync.uplink import Uplink
    from hw.backoff import Backoff
    from hw.ports import Camera, Clock, Exposure, Gnss, LinkEvent

_LOG = structlog.get_logger(__name__)
_NS_PER_S = 1_000_000_000
_FRAME_TIMEOUT_S = 2.0
_MAX_STALLS = 8
"""In a row; with the time of a start, ten such ends lie within the five minutes after which systemd starts the board
again: stall, reopened, process restarted, board restarted."""
_LINE_TIMEOUT_S = 0.5
_ROUND_S = 0.1
_NTP_EVERY_S = 10.0
_STUCK_PAUSE_S = 0.5
_DRAIN_MAX = 512


class ReadQueue:
    """The commit thread's queue: bounded, so a slow disk slows the camera's thread and never loses a track."""

    def __init__(self, limit: int = 256) -> None:
        self._queue: queue.Queue[NmeaLine | Track | Command] = queue.Queue(limit)

    def put(self, message: NmeaLine | Track | Command, worker: WorkerContext, counts: DeviceCounts) -> None:
        """Hand over; waits while the queue is full, still beating."""
        try:
            self._queue.put_nowait(message)
        except queue.Full:
            counts.queue_waits += 1
        else:
            return
        while True:
            try:
                self._queue.put(message, timeout=_ROUND_S)
            except queue.Full:
                worker.beat()
            else:
                return

    def answer(self, command: Command) -> None:
        """Hand over what the station said; the uplink's thread, whose deadline covers the wait."""
        self._queue.put(command)

    def take(self) -> list[NmeaLine | Track | Command]:
        """Wait a moment for a message; return all there are."""
        try:
            messages = [self._queue.get(timeout=_ROUND_S)]
        except queue.Empty:
            return []
        while len(messages) < _DRAIN_MAX:
            try:
                messages.append(self._queue.get_nowait())
            except queue.Empty:
                break
        return messages

    @property
    def empty(self) -> bool:
        """True when nothing waits."""
        return self._queue.empty()


def vision_loop(
    camera: Camera,
    build: Callable[[], CameraPipeline],
    on_vision: Callable[[CameraPipeline], None],
    inbox: ReadQueue,
    *,
    times: StageTimes,
    counts: DeviceCounts,
    expose: Callable[[Exposure], None] | None = None,
) -> Callable[[WorkerContext], None]:
    """Frames -> tracks into the inbox.  The models are loaded in the thread that uses them."""

    def loop(worker: WorkerContext) -> None:
        vision = build()
        on_vision(vision)
        monitor = _StallMonitor(camera.name, counts)
        while not worker.stopping:
            worker.beat()
            try:
                frame = camera.next_frame(timeout_s=_FRAME_TIMEOUT_S)
            except CameraStalledError as stall:
                monitor.on_stall(stall)
                continue
            except CameraEndedError:
                _LOG.info("camera_ended", camera=camera.name)
                break
            monitor.on_frame()
            times.start()
            step = vision.step(frame, times.lap)
            if expose is not None and step.exposure is not None:
                expose(step.exposure)
            for track in step.tracks:
                inbox.put(track, worker, counts)
        for track in vision.flush():
            inbox.put(track, worker, counts)

    return loop


class _StallMonitor:
    """How long a silent camera is waited for: a restart may wake one that is there or was, not one that never was."""

    def __init__(self, camera: str, counts: DeviceCounts) -> None:
        self._camera = camera
        self._counts = counts
        self._stalls = 0
        self._worked = False

    def on_frame(self) -> None:
        """A frame came."""
        self._stalls, self._worked = 0, True
        self._counts.missing_cameras.discard(self._camera)

    def on_stall(self, stall: CameraStalledError) -> None:
        """None came; raises FatalError when the process should begin anew."""
        self._stalls += 1
        self._counts.camera_stalls += 1
        self._counts.missing_cameras.add(self._camera)
        _LOG.warning("camera_stalled", camera=self._camera, in_a_row=self._stalls, reason=str(stall))
        if self._stalls >= _MAX_STALLS and (self._worked or not isinstance(stall, CameraAbsentError)):
            raise FatalError(f"{stall}; {self._stalls} times in a row: the agent begins anew")


def gnss_loop(
    gnss: Gnss, inbox: ReadQueue, *, counts: DeviceCounts, backoff: Backoff
) -> Callable[[WorkerContext], None]:
    """Sentences into the inbox; a receiver that went away is asked for again and again."""

    def loop(worker: WorkerContext) -> None:
        while not worker.stopping:
            worker.beat()
            try:
                line = gnss.next_line(timeout_s=_LINE_TIMEOUT_S)
            except GnssLostError as error:
                counts.gnss_losses += 1
                _LOG.warning("gnss_lost", reason=str(error))
                worker.pause(backoff.next_s())
                continue
            if line is not None:
                backoff.reset()
                inbox.put(line, worker, counts)

    return loop


def commit_loop(
    committer: ReadCommitter, inbox: ReadQueue, clock: Clock, *, on_settled: Callable[[CommitResult], None]
) -> Callable[[WorkerContext], None]:
    """The one writer of the outbox."""

    def loop(worker: WorkerContext) -> None:
        ntp_due_ns = 0
        while not (worker.stopping and inbox.empty):
            worker.beat()
            for message in inbox.take():
                _dispatch(committer, message)
            now_ns = clock.mono_ns()
            if now_ns >= ntp_due_ns:
                ntp_due_ns = now_ns + round(_NTP_EVERY_S * _NS_PER_S)
                if clock.synchronised():
                    committer.add_ntp_time(now_ns, clock.utc_ns())
            settled = committer.commit_ready(now_ns)
            on_settled(settled)
            if settled.stuck:
                worker.pause(_STUCK_PAUSE_S)
        on_settled(committer.flush())
        if committer.waiting:
            _LOG.error("reads_not_stored", count=committer.waiting, why="the disk takes nothing")

    return loop


def _dispatch(committer: ReadCommitter, message: NmeaLine | Track | Command) -> None:
    if isinstance(message, NmeaLine):
        committer.add_sentence(message)
    elif isinstance(message, Track):
        committer.add_track(message)
    else:
        committer.add_command(message)


class UplinkQueue:
    """The uplink thread's queue: events of the link, payloads to send, and plain wake-ups.

    Unbounded, because the window bounds what the link can say and the rest comes once a minute.
    """

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[LinkEvent | tuple[str, bytes] | None] = queue.SimpleQueue()

    def event(self, event: LinkEvent) -> None:
        """Hand in an event of the link; any thread."""
        self._queue.put(event)

    def health(self, payload: bytes) -> None:
        """Hand in a health message; any thread."""
        self._queue.put(("health", payload))

    def status(self, payload: bytes) -> None:
        """Hand in a status message; any thread."""
        self._queue.put(("status", payload))

    def report(self, payload: bytes) -> None:
        """Hand in a report on updates; any thread."""
        self._queue.put(("report", payload))

    def wake(self) -> None:
        """Something new waits; any thread."""
        self._queue.put(None)

    def take(self) -> list[LinkEvent | tuple[str, bytes]]:
        """Wait a moment; return all that came."""
        came = []
        try:
            came.append(self._queue.get(timeout=_ROUND_S))
            while True:
                came.append(self._queue.get_nowait())
        except queue.Empty:
            pass
        return [item for item in came if item is not None]


def uplink_loop(
    uplink: Uplink, mailbox: UplinkQueue, clock: Clock, *, on_link: Callable[[bool, str], None]
) -> Callable[[WorkerContext], None]:
    """Outbox -> link, and the station's answers back."""

    def loop(worker: WorkerContext) -> None:
        while not worker.stopping:
            worker.beat()
            for item in mailbox.take():
                _deliver(uplink, item, clock.mono_ns(), on_link)
            try:
                uplink.pump(clock.mono_ns())
            except OutboxDiskError as error:
                _LOG.warning("outbox_unreadable", reason=str(error))
                worker.pause(_STUCK_PAUSE_S)

    return loop


def _deliver(
    uplink: Uplink, item: LinkEvent | tuple[str, bytes], now_ns: int, on_link: Callable[[bool, str], None]
) -> None:
    match item:
        case ("health", bytes() as payload):
            uplink.offer_health(payload)
        case ("status", bytes() as payload):
            uplink.set_status(payload)
        case ("report", bytes() as payload):
            uplink.set_report(payload)
        case tuple():
            raise ValueError(f"unknown mail {item[0]}")
        case _:
            uplink.handle(item, now_ns)
            if isinstance(item, LinkUp):
                on_link(True, "")
            elif isinstance(item, LinkDown):
                on_link(False, item.reason)
