"""The measured part of the self-test: storage, recogniser, memory, broker connection."""

from __future__ import annotations

import os
import queue
import statistics
import tempfile
from typing import TYPE_CHECKING

import numpy as np

from agent.records import Box, Detection
from agent.runtime.stages import build_recogniser, software
from cli.diagnostics.step import Mark, Step, in_a_line
from hw.clock import NS_PER_S
from hw.ports import Acked, Frame, HwError, LinkDown, LinkUp, Refused
from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Status
from protocol.wire.enums import UnitState
from protocol.wire.topics import Channel, build

if TYPE_CHECKING:
    from pathlib import Path

    from agent.runtime.config import AgentConfig
    from hw.ports import Board, Clock, Link, LinkEvent

_WRITES, _WRITE_BYTES = 200, 4096
_MEBI = 2**20
_BULK_MIB = 16
_SLOW_MS, _TOO_SLOW_MS = 100.0, 1000.0
_ROUNDS = 20
_MIN_FPS = 5.0
_PLATE_PX = (160.0, 40.0)
_MAX_RSS_MIB = 400
"""The service is limited to 512 MiB."""
_CONNECT_S = 30.0
_TRIPS = 5


def disk_step(folder: Path, clock: Clock) -> Step:
    """Small writes, each flushed to the card, like those of the outbox; then a large one."""
    times_ms = []
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix="selftest-") as file:
            for _ in range(_WRITES):
                start_ns = clock.mono_ns()
                file.write(os.urandom(_WRITE_BYTES))
                file.flush()
                os.fsync(file.fileno())
                times_ms.append((clock.mono_ns() - start_ns) / 1e6)
            start_ns = clock.mono_ns()
            for _ in range(_BULK_MIB):
                file.write(os.urandom(_MEBI))
            file.flush()
            os.fsync(file.fileno())
            bulk_s = (clock.mono_ns() - start_ns) / NS_PER_S
    except OSError as error:
        return Step(
            "storage",
            Mark.FAIL,
            f"{folder}: {error.strerror}; check that it exists, is writable and has free space",
        )
    figures = {
        "fsync_median_ms": statistics.median(times_ms),
        "fsync_p99_ms": statistics.quantiles(times_ms, n=100)[-1],
        "fsync_worst_ms": max(times_ms),
        "write_mib_s": _BULK_MIB / max(bulk_s, 1e-9),
    }
    return Step("storage", _speed_mark(figures), _storage_text(figures), figures)


def _speed_mark(figures: dict[str, float]) -> Mark:
    p99_ms = figures["fsync_p99_ms"]
    return Mark.FAIL if p99_ms > _TOO_SLOW_MS else Mark.WARN if p99_ms > _SLOW_MS else Mark.OK


def _storage_text(figures: dict[str, float]) -> str:
    said = in_a_line(figures)
    return (
        said
        if _speed_mark(figures) is Mark.OK
        else f"{said}: slow; the card is worn or of low quality, use an industrial one"
    )


def recogniser_step(config: AgentConfig, clock: Clock, frame: Frame | None) -> Step:
    """Time to process one frame with one plate on this board; ``frame`` is a camera's, if there is one."""
    reader = build_recogniser(config)
    if frame is None:
        frame = Frame(0, "none", clock.mono_ns(), np.full((720, 1280, 3), 90, np.uint8), 0, 1.0)
    height_px, width_px = frame.rgb.shape[:2]
    left, top = (width_px - _PLATE_PX[0]) / 2, (height_px - _PLATE_PX[1]) / 2
    plate = [Detection(Box(left, top, left + _PLATE_PX[0], top + _PLATE_PX[1]), 0.9)]
    find_ms, read_ms = [], []
    for _ in range(_ROUNDS):
        start_ns = clock.mono_ns()
        reader.detect(frame)
        found_ns = clock.mono_ns()
        reader.read(frame, plate)
        find_ms.append((found_ns - start_ns) / 1e6)
        read_ms.append((clock.mono_ns() - found_ns) / 1e6)
    find, read = statistics.median(find_ms), statistics.median(read_ms)
    figures = {"find_ms": find, "read_ms": read, "fps": 1000 / max(find + read, 1e-6)}
    said = f"detection {find:.1f} ms, OCR {read:.1f} ms per plate: {figures['fps']:.0f} frames a second"
    if figures["fps"] < _MIN_FPS:
        return Step(
            "recogniser",
            Mark.FAIL,
            f"{said}, {_MIN_FPS:g} needed: check for throttling, and whether LiteRT is installed",
            figures,
        )
    return Step("recogniser", Mark.OK, said, figures)


def memory_step(board: Board) -> Step:
    """Resident memory with models and a frame loaded.  Raises HwError."""
    rss_mib = board.vitals().rss_bytes / _MEBI
    mark = Mark.OK if rss_mib <= _MAX_RSS_MIB else Mark.WARN
    return Step("memory", mark, f"{rss_mib:.0f} MiB resident; limit of the service: 512", {"rss_mib": rss_mib})


def link_step(link: Link, clock: Clock, unit: str, models: tuple[str, ...]) -> Step:
    """Connect, and publish the unit's status a few times: time until the broker acknowledges it."""
    events: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
    status = Status(
        unit=unit,
        boot_id=clock.boot_id,
        state=UnitState.OFFLINE,
        reason="self-test",
        software=software(),
        models=models,
    )
    topic, payload = build(unit, Channel.STATUS), encode(status)
    start_ns = clock.mono_ns()
    trips_ms = []
    try:
        link.start(events.put, subscribe=(), will=None)
        up = events.get(timeout=_CONNECT_S)
        connect_s = (clock.mono_ns() - start_ns) / NS_PER_S
        if not isinstance(up, LinkUp):
            return Step("broker", Mark.FAIL, up.reason if isinstance(up, LinkDown) else str(up))
        for token in range(1, _TRIPS + 1):
            sent_ns = clock.mono_ns()
            link.publish(topic, payload, token=token, retain=True)
            answer = events.get(timeout=_CONNECT_S)
            if not isinstance(answer, Acked):
                reason = answer.reason if isinstance(answer, Refused | LinkDown) else str(answer)
                return Step("broker", Mark.FAIL, f"connected, then: {reason}")
            trips_ms.append((clock.mono_ns() - sent_ns) / 1e6)
    except (queue.Empty, HwError) as error:
        why = str(error) or f"no answer within {_CONNECT_S:g} s"
        return Step("broker", Mark.FAIL, f"{why}: check modem, SIM, antenna and [hw.link]")
    figures = {
        "connect_s": connect_s,
        "trip_median_ms": statistics.median(trips_ms),
        "trip_worst_ms": max(trips_ms),
    }
    said = f"connected in {connect_s:.1f} s; message round trip: median {figures['trip_median_ms']:.0f} ms"
    return Step("broker", Mark.OK, f"{said}, worst {figures['trip_worst_ms']:.0f} ms", figures)
