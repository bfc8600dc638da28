"""The ports: interfaces of all hardware and I/O, and their records.

The ports are low-level: a camera yields pixels and exposure times, a receiver yields sentences, a link yields
acknowledgements.  Structural typing: a fake imports nothing from here but the records.

Threads: unless a method says otherwise, each object is used by one thread; ``close`` may be called from any
thread, more than once, and makes blocked calls return or raise.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from protocol.errors import PatrolError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray


class HwError(PatrolError):
    """Root of all hardware errors."""


class HwConfigError(HwError, ValueError):
    """The configured hardware does not exist or cannot be opened; the message says what to do."""


class CameraStalledError(HwError, TimeoutError):
    """No new frame arrived within the timeout."""


class CameraAbsentError(CameraStalledError):
    """The camera cannot be opened: it is missing.  Opening is retried at the next call."""


class CameraEndedError(HwError, EOFError):
    """A finite source (file, folder, drive) has no more frames."""


class GnssLostError(HwError, OSError):
    """The receiver disconnected; reopen it."""


class LinkDownError(HwError, ConnectionError):
    """Nothing was published: the link is down or its window is full."""


class Scene(Protocol):
    """Masked areas of a camera's picture, and texts that are not plates."""

    def masked_share(self, x0: float, y0: float, x1: float, y1: float) -> float:
        """Return the masked share of a box, 0..1; the box in shares of the frame's width and height."""

    def ignores(self, text: str) -> bool:
        """Return whether a text (A-Z, 0-9) is configured as not a plate."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One camera image."""

    seq: int
    """Counts every frame the camera delivered, dropped ones included, from 0."""
    camera: str
    t_mono_ns: int
    """Start of exposure on the monotonic clock."""
    rgb: NDArray[np.uint8]
    """Height x width x 3, RGB, read-only by agreement."""
    exposure_us: int
    gain: float
    lores: NDArray[np.uint8] | None = None
    """The same instant, smaller, where the camera offers it."""
    scene: Scene | None = None
    """Mask and ignored texts; None if not configured."""


@dataclass(frozen=True, slots=True)
class Exposure:
    """Exposure time and gain of the sensor."""

    exposure_us: int
    gain: float


@dataclass(frozen=True, slots=True)
class NmeaLine:
    """One sentence as the receiver sent it, line end stripped; may be garbage."""

    t_mono_ns: int
    """Arrival of its first byte."""
    text: str
    binary_bytes: int = 0
    """Bytes since the line before that belong to no line: other protocols, noise."""


class Lamp(StrEnum):
    """States of the status lamp, most important first."""

    FAULT = "fault"
    DISK = "disk"
    NO_CAMERA = "no_camera"
    PRIVATE = "private"
    """The driver pressed the privacy button: no frames are processed."""
    VIEW = "view"
    """A camera's view is bad: covered, dirty, or moved."""
    NO_FIX = "no_fix"
    NOT_DELIVERED = "not_delivered"
    """Connected, but nothing was receipted for minutes while records wait."""
    NO_UPLINK = "no_uplink"
    LOG_REFUSED = "log_refused"
    """The station's audit log does not continue what this unit has witnessed."""
    RECORDING = "recording"
    OFF = "off"


class HitLamp(StrEnum):
    """Patterns of the hit lamp: the highest priority of the hits that nobody has acknowledged."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    OFF = "off"


class Button(StrEnum):
    """Buttons for the driver."""

    ACKNOWLEDGE = "acknowledge"
    """Silences buzzer and hit lamp."""
    PRIVACY = "privacy"
    """Stops or resumes processing."""


class Buzz(StrEnum):
    """Sounds of the buzzer."""

    READ = "read"
    HIT_HIGH = "hit_high"
    HIT_MEDIUM = "hit_medium"
    HIT_LOW = "hit_low"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Vitals:
    """State of the board; None if unavailable."""

    temperature_c: float | None
    throttled: bool | None
    undervoltage: bool | None
    disk_free_bytes: int
    rss_bytes: int
    load_1min: float
    written_bytes: int | None = None
    """Bytes this process has written to storage."""
    default_interface: str | None = None
    """Network interface of the default route; None if there is none."""


@dataclass(frozen=True, slots=True)
class LinkUp:
    """The link is connected and subscribed."""

    max_in_flight: int
    """The peer's limit on unacknowledged messages (MQTT 5 Receive Maximum), or our own."""
    max_packet_bytes: int | None = None
    """Maximum packet size of the peer, if it states one."""
    note: str = ""
    """What a person should know of the connection."""


@dataclass(frozen=True, slots=True)
class LinkDown:
    """The link is down; all tokens in flight are void.  May occur twice for one outage."""

    reason: str
    is_fault: bool = False
    """True when it was given up because of a packet that could not be read, or of a defect."""


@dataclass(frozen=True, slots=True)
class Acked:
    """The peer acknowledged the message of ``token`` (a PUBACK, not a receipt)."""

    token: int


@dataclass(frozen=True, slots=True)
class Refused:
    """The peer permanently refused the message of ``token``."""

    token: int
    code: int
    reason: str


@dataclass(frozen=True, slots=True)
class Received:
    """A message from the peer."""

    topic: str
    payload: bytes


LinkEvent = LinkUp | LinkDown | Acked | Refused | Received


@dataclass(frozen=True, slots=True)
class Will:
    """The will: published by the broker if the connection is lost."""

    topic: str
    payload: bytes


class Camera(Protocol):
    """Frames, newest first.  Late consumers lose frames: ``Frame.seq`` shows how many."""

    @property
    def name(self) -> str:
        """Stable name, e.g. ``front``."""

    def next_frame(self, *, timeout_s: float) -> Frame:
        """Return the newest frame not returned before, waiting up to ``timeout_s``.

        Raises CameraStalledError if none arrives (CameraAbsentError if the camera is missing),
        CameraEndedError if the source has ended.
        """

    def close(self) -> None:
        """Release the camera; a waiting ``next_frame`` raises CameraEndedError."""


@dataclass(frozen=True, slots=True)
class Mounting:
    """What a technician set on the unit itself, in place of the configuration and in addition to it."""

    rotate: int | None = None
    """Degrees clockwise, a multiple of 90; None: as configured."""
    polygon: tuple[tuple[float, float], ...] = ()
    """Corners of an area without plates, x and y as shares of the rotated picture; fewer than three: none."""


@runtime_checkable
class Mountable(Protocol):
    """A camera whose pictures can be rotated and masked while it runs."""

    @property
    def rotation(self) -> int:
        """Degrees clockwise by which its pictures are rotated now."""

    def remount(self, mounting: Mounting) -> None:
        """Rotate and mask from the next frame on; any thread."""


@runtime_checkable
class Exposable(Protocol):
    """A camera whose exposure can be set."""

    def expose(self, exposure: Exposure) -> None:
        """Request an exposure for the next frames; each frame has its actual exposure."""


class Gnss(Protocol):
    """Raw sentences of a receiver."""

    def next_line(self, *, timeout_s: float) -> NmeaLine | None:
        """Return the next sentence, or None if none arrived in time or the source is closed or exhausted.

        Raises GnssLostError if the device disconnected.
        """

    @property
    def dropped_lines(self) -> int:
        """Number of lines that were discarded because they are too long.  Any thread may ask."""

    @property
    def unused_reports(self) -> int:
        """Number of gpsd's reports that were not passed on.  Any thread may ask."""

    def close(self) -> None:
        """Release the receiver."""


class Panel(Protocol):
    """Lamps, buzzer, ignition and buttons.  Any thread may call."""

    @property
    def ignition_on(self) -> bool:
        """Debounced ignition sense; True if not wired."""

    def set_lamp(self, lamp: Lamp) -> None:
        """Show a pattern until the next call."""

    def set_hit_lamp(self, lamp: HitLamp) -> None:
        """Show a pattern on the hit lamp until the next call, or until it is silenced; returns immediately."""

    def buzz(self, sound: Buzz) -> None:
        """Play once; returns immediately."""

    def set_illuminator(self, *, on: bool) -> None:
        """Switch the infrared illuminator."""

    def take_presses(self) -> tuple[Button, ...]:
        """Return the buttons pressed since the last call, in order."""

    def hush(self) -> None:
        """Silence the buzzer and the hit lamp."""

    def close(self) -> None:
        """Switch everything off and release the pins."""


class Speaker(Protocol):
    """Speaks short lines.  Any thread may call."""

    def say(self, text: str, *, language: str) -> None:
        """Speak a line in ``en`` or ``es``; returns immediately.  A line that is being spoken is cut off."""

    def hush(self) -> None:
        """Stop speaking."""

    def close(self) -> None:
        """Stop speaking and release the device."""


class Link(Protocol):
    """The connection to the broker.  ``publish`` never queues: accepted messages are in flight."""

    def start(
        self, on_event: Callable[[LinkEvent], None], *, subscribe: tuple[str, ...], will: Will | None
    ) -> None:
        """Connect in the background and reconnect as needed; events come from the link's thread."""

    def publish(self, topic: str, payload: bytes, *, token: int, retain: bool = False, qos: int = 1) -> None:
        """Send once.  QoS 1 yields Acked or Refused with ``token``.  Any thread may call.

        Raises LinkDownError if nothing was sent.
        """

    def confirm(self) -> None:
        """Say that the connection is of use, because a receipt came: the next reconnect may be a quick one.

        Any thread may call.
        """

    def close(self) -> None:
        """Disconnect cleanly and join the link's thread."""


class Board(Protocol):
    """The computer itself."""

    def vitals(self) -> Vitals:
        """Read the current state; fast enough to be called every second."""


class Clock(Protocol):
    """Time.  Any thread may call."""

    @property
    def boot_id(self) -> bytes:
        """Boot id, 16 bytes: identifies the run of the monotonic clock."""

    def mono_ns(self) -> int:
        """Monotonic nanoseconds; orders events within a boot."""

    def utc_ns(self) -> int:
        """UTC of the system clock; may be months off."""

    def synchronised(self) -> bool:
        """True if the operating system reports that its clock is synchronised (NTP)."""
