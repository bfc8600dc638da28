"""Hardware configuration: typed, frozen, unknown keys rejected."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, AliasChoices, BaseModel, ConfigDict, Field, field_serializer, model_validator

from hw.paths import STATE_DIR


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


MAX_NUMBER = 255
"""Of a device, such as /dev/video255."""
_MAX_U32 = 2**32 - 1
_USER_INFO = re.compile(r"(?<=://)\S*@")
_QUERY = re.compile(r"\b(user(?:name)?|pass(?:word|wd)?|pwd|token)=[^&\s'\"]*", re.IGNORECASE)


def without_credentials(text: str) -> str:
    """Mask user and password of every address in a text, for logs, reports and messages."""
    return _QUERY.sub(r"\1=***", _USER_INFO.sub("***@", text))


Role = Literal["front", "rear", "left", "right"]
Pin = Annotated[int, Field(ge=0, le=27)]


Share = Annotated[float, Field(ge=0, le=1)]
IgnoredText = Annotated[str, Field(pattern=r"[A-Za-z0-9]")]


def _has_area(box: tuple[float, float, float, float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = box
    if x0 >= x1 or y0 >= y1:
        raise ValueError("expected [x0, y0, x1, y1] with x0 < x1 and y0 < y1")
    return box


MaskBox = Annotated[tuple[Share, Share, Share, Share], AfterValidator(_has_area)]


class _CameraBase(_Model):
    name: str = Field(
        "front", pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$", description="Stable name, included in every read"
    )
    role: Role = Field(default="front", description="Direction the camera points in")
    rotate: Literal[0, 90, 180, 270] = Field(
        default=0,
        description="Degrees by which pictures are rotated clockwise; 180 for a camera mounted upside down",
    )
    flip: Literal["none", "horizontal", "vertical"] = Field(
        default="none",
        description="Mirror pictures after the rotation: left-right (horizontal) or top-bottom (vertical)",
    )
    hfov_deg: float | None = Field(
        default=None,
        ge=5,
        le=150,
        description="Horizontal field of view of the lens in degrees, for the motion of vehicles; "
        "estimated from the traffic if not given",
    )
    mask: Path | tuple[MaskBox, ...] | None = Field(
        default=None,
        description="Areas without plates: boxes [x0, y0, x1, y1] as shares of the picture, 0 to 1, "
        "or the path of a picture that is dark there",
    )
    ignore: tuple[IgnoredText, ...] = Field(
        default=(),
        description="Texts that are not plates, such as the camera's name; * matches any characters",
    )


SHUTTER_CAP_US = 1000
"""Maximum exposure in microseconds with metering = plates."""
MAX_GAIN = 16.0
"""Maximum gain with metering = plates."""


class PiCameraConfig(_CameraBase):
    """A Raspberry Pi camera through picamera2."""

    kind: Literal["pi"]
    index: int = Field(default=0, ge=0, le=MAX_NUMBER, description="Number of the camera on this board")
    width_px: int = Field(default=1280, ge=160, le=9152, description="Width of the main stream in pixels")
    height_px: int = Field(default=720, ge=120, le=6944, description="Height of the main stream in pixels")
    fps: float = Field(default=30.0, gt=0, le=240, description="Frames per second requested from the sensor")
    pixel_format: Literal["RGB888", "YUV420", "NV12"] = Field(
        default="RGB888", description="Requested format of the main stream"
    )
    lores_width_px: int | None = Field(
        None, ge=64, description="Width of the low-resolution stream in pixels; if omitted, none"
    )
    lores_height_px: int | None = Field(
        default=None, ge=64, description="Height of the low-resolution stream in pixels"
    )
    exposure_us: int | None = Field(
        default=None, gt=0, description="Fixed exposure in microseconds; if omitted, automatic"
    )
    gain: float | None = Field(default=None, ge=1, description="Fixed analogue gain; if omitted, automatic")
    metering: Literal["plates", "pipeline"] = Field(
        default="plates",
        description="Exposure control: plates (by the agent, for moving plates) or pipeline (the camera's own)",
    )
    shutter_cap_us: int = Field(
        default=SHUTTER_CAP_US,
        ge=30,
        le=20_000,
        description="Maximum exposure in microseconds with metering = plates",
    )
    max_gain: float = Field(
        validation_alias=AliasChoices("max_gain", "most_gain"),
        default=MAX_GAIN,
        ge=1,
        le=64,
        description="Maximum gain with metering = plates",
    )

    @model_validator(mode="after")
    def _lores_is_whole(self) -> Self:
        if (self.lores_width_px is None) != (self.lores_height_px is None):
            raise ValueError("give both lores_width_px and lores_height_px, or neither")
        return self


class VideoCameraConfig(_CameraBase):
    """A video file."""

    kind: Literal["video"]
    path: Path = Field(description="The video file")
    loop: bool = Field(default=False, description="Restart at the end")
    realtime: bool = Field(
        default=False, description="Play in real time and drop late frames; otherwise every frame in turn"
    )


class FolderCameraConfig(_CameraBase):
    """A folder of pictures, in the order of their names, numbers in them by their value."""

    kind: Literal["folder"]
    path: Path = Field(description="The folder")
    fps: float = Field(
        default=5.0, gt=0, le=240, description="Frames per second, for the timestamps of the pictures"
    )
    loop: bool = Field(default=False, description="Restart at the end")
    realtime: bool = Field(
        default=False, description="Play in real time and drop late pictures; otherwise every picture in turn"
    )


class DeviceCameraConfig(_CameraBase):
    """A USB camera (V4L2) or a network stream (RTSP), through OpenCV."""

    kind: Literal["device"]
    source: Annotated[int, Field(ge=0, le=MAX_NUMBER)] | str = Field(
        description="Number of /dev/videoN, a device path, or a stream address such as rtsp://user:password@host/path",
        repr=False,
    )
    width_px: int | None = Field(
        None, ge=160, description="Requested width in pixels; if omitted, the camera's default"
    )
    height_px: int | None = Field(default=None, ge=120, description="Requested height in pixels")
    fps: float | None = Field(default=None, gt=0, le=240, description="Requested frames per second")
    fourcc: str | None = Field(
        default=None,
        pattern=r"^[A-Z0-9]{4}$",
        description="Requested pixel format of a USB camera, such as MJPG; if omitted, the camera's default",
    )
    timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=60,
        description="Maximum time in seconds for a network stream to open or to deliver data",
    )

    @model_validator(mode="after")
    def _is_no_file(self) -> Self:
        if isinstance(self.source, str) and os.path.isfile(self.source):  # noqa: PTH113 - Path's raises for long names
            raise ValueError('source is a file: use kind = "video"')
        return self

    @property
    def is_device(self) -> bool:
        """True for a local device, False for a network address."""
        return isinstance(self.source, int) or self.source.startswith("/dev/")

    @field_serializer("source", when_used="json")
    def _source_without_credentials(self, source: int | str) -> int | str:
        return without_credentials(source) if isinstance(source, str) else source


class SimCameraConfig(_CameraBase):
    """The frames of a drive."""

    kind: Literal["sim"]


CameraConfig = Annotated[
    PiCameraConfig | VideoCameraConfig | FolderCameraConfig | DeviceCameraConfig | SimCameraConfig,
    Field(discriminator="kind"),
]


class SerialGnssConfig(_Model):
    """A receiver that sends NMEA 0183 over a serial or USB port."""

    kind: Literal["serial"]
    port: str = Field(default="/dev/patrol-gnss", description="Device file")
    baud: Annotated[int, Field(ge=1200, le=921600)] | Literal["auto"] = Field(
        default="auto", description="Baud rate; auto tries the common ones until a valid sentence arrives"
    )


class GpsdGnssConfig(_Model):
    """A receiver that is used through gpsd."""

    kind: Literal["gpsd"]
    host: str = Field(default="127.0.0.1", min_length=1, description="Host name or address of gpsd")
    port: int = Field(default=2947, ge=1, le=65535, description="TCP port of gpsd")


class FixedGnssConfig(_Model):
    """No receiver: a reader at a fixed site.  Time comes from the operating system's clock (NTP)."""

    kind: Literal["fixed"]
    lat_deg: float = Field(
        ge=-90, le=90, allow_inf_nan=False, description="Latitude of the site, WGS 84, north positive"
    )
    lon_deg: float = Field(ge=-180, le=180, allow_inf_nan=False, description="Longitude, east positive")
    error_m: float = Field(
        gt=0, le=10_000, description="How far the plates may be from there, one sigma, in metres"
    )

    @model_validator(mode="after")
    def _is_somewhere(self) -> Self:
        if abs(self.lat_deg) < 1 and abs(self.lon_deg) < 1:
            raise ValueError("no road is around 0 N 0 E: give the place of the site in degrees")
        return self


class SimGnssConfig(_Model):
    """The sentences of a drive."""

    kind: Literal["sim"]


class NoGnssConfig(_Model):
    """No receiver: reads have no position."""

    kind: Literal["none"]


GnssConfig = Annotated[
    SerialGnssConfig | GpsdGnssConfig | FixedGnssConfig | SimGnssConfig | NoGnssConfig, Field(discriminator="kind")
]


class GpioPanelConfig(_Model):
    """Lamps, buzzer and ignition sense on the 40-pin header.  Omit pins that are not wired."""

    kind: Literal["gpio"]
    chip: int = Field(default=0, ge=0, le=MAX_NUMBER, description="Number of /dev/gpiochipN")
    ignition_pin: Pin | None = Field(
        default=None, description="BCM number of the ignition sense input, high when on"
    )
    ignition_debounce_s: float = Field(
        default=1.0, ge=0, le=60, description="Seconds a new ignition state must be stable"
    )
    status_pin: Pin | None = Field(default=None, description="BCM number of the status lamp")
    hit_pin: Pin | None = Field(default=None, description="BCM number of the hit lamp")
    buzzer_pin: Pin | None = Field(default=None, description="BCM number of the buzzer")
    illuminator_pin: Pin | None = Field(default=None, description="BCM number of the infrared illuminator")
    acknowledge_pin: Pin | None = Field(
        default=None, description="BCM number of the acknowledge button, to ground when pressed"
    )
    privacy_pin: Pin | None = Field(
        default=None, description="BCM number of the privacy button, to ground when pressed"
    )

    @model_validator(mode="after")
    def _pins_differ(self) -> Self:
        named = {name: getattr(self, name) for name in type(self).model_fields if name.endswith("_pin")}
        used = [pin for pin in named.values() if pin is not None]
        if twice := sorted({pin for pin in used if used.count(pin) > 1}):
            where = ", ".join(name for name, pin in named.items() if pin in twice)
            raise ValueError(f"pin used twice: {where}")
        return self


class SimPanelConfig(_Model):
    """A simulated panel; its ignition follows the script of the drive."""

    kind: Literal["sim"]


class NoPanelConfig(_Model):
    """No panel: ignition counts as on."""

    kind: Literal["none"]


PanelConfig = Annotated[GpioPanelConfig | SimPanelConfig | NoPanelConfig, Field(discriminator="kind")]


MAX_IN_FLIGHT = 256
"""Messages without acknowledgement; more do not make a link faster."""
MQTT_PORT = 1883
MQTT_PATH = "/mqtt"
KEEPALIVE_S = 30
"""Keep-alive interval."""
CONNECT_TIMEOUT_S = 30.0
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class TlsConfig(_Model):
    """Certificates, all PEM files."""

    ca: Path | None = Field(
        default=None, description="Trusted authorities; if omitted, those of the operating system"
    )
    cert: Path | None = Field(default=None, description="Certificate of this unit")
    key: Path | None = Field(default=None, description="Private key of this unit")

    @model_validator(mode="after")
    def _pair_is_whole(self) -> Self:
        if (self.cert is None) != (self.key is None):
            raise ValueError("give both cert and key, or neither")
        return self


class MqttLinkConfig(_Model):
    """An MQTT broker."""

    kind: Literal["mqtt"]
    host: str = Field(min_length=1, description="Name or address of the broker")
    port: int = Field(default=MQTT_PORT, ge=1, le=65535, description="TCP port; 8883 is usual with TLS")
    unit: str = Field(pattern=r"^[A-Za-z0-9_-]{1,36}$", description="Unit id, used as the MQTT client id")
    protocol: Literal["5", "3.1.1"] = Field(
        default="5", description="MQTT version; only 5 reports why a message is refused"
    )
    tls: TlsConfig | None = Field(
        default=None, description="If omitted, plain TCP, to a broker on this machine only"
    )
    transport: Literal["tcp", "websockets"] = Field(
        default="tcp",
        description="websockets: as a web page's connection, where a proxy lets nothing else through",
    )
    path: str = Field(
        default=MQTT_PATH, pattern=r"^/[A-Za-z0-9._~/-]{0,127}$", description="Path of the address; for websockets"
    )
    username: str | None = Field(default=None, description="User name, if the broker requires one")
    password_file: Path | None = Field(default=None, description="File whose first line is the password")
    keepalive_s: int = Field(default=KEEPALIVE_S, ge=5, le=3600, description="Keep-alive interval in seconds")
    connect_timeout_s: float = Field(
        default=CONNECT_TIMEOUT_S, gt=0, le=600, description="Connection timeout in seconds"
    )
    session_expiry_s: int = Field(
        default=3600,
        ge=0,
        le=_MAX_U32,
        description="Seconds the broker keeps the session after a disconnect (MQTT 5)",
    )
    will_delay_s: int = Field(
        default=30, ge=0, le=_MAX_U32, description="Seconds until the broker publishes the will (MQTT 5)"
    )
    window: int = Field(
        default=MAX_IN_FLIGHT,
        ge=1,
        le=1000,
        description="Maximum number of messages in flight; the broker may lower it",
    )

    @model_validator(mode="after")
    def _plain_stays_at_home(self) -> Self:
        if self.tls is None and self.host not in LOOPBACK:
            raise ValueError(
                f"tls is missing: plain TCP is only allowed to a broker on this machine, not to {self.host}"
            )
        return self

    @model_validator(mode="after")
    def _password_has_a_user(self) -> Self:
        if self.password_file is not None and self.username is None:
            raise ValueError("password_file without username")
        return self

    @model_validator(mode="after")
    def _path_is_of_websockets(self) -> Self:
        if self.transport == "tcp" and self.path != MQTT_PATH:
            raise ValueError('path without transport = "websockets"')
        return self


class SimLinkConfig(_Model):
    """A scripted link without a network."""

    kind: Literal["sim"]


class NoLinkConfig(_Model):
    """No uplink: reads stay in the outbox."""

    kind: Literal["none"]


class EspeakSpeakerConfig(_Model):
    """A speaker with the speech synthesiser espeak-ng, through the sound device of the operating system."""

    kind: Literal["espeak"]
    program: Path = Field(default=Path("/usr/bin/espeak-ng"), description="The program; apt: espeak-ng")
    words_per_minute: int = Field(default=160, ge=80, le=450, description="Speed of speech")
    volume: int = Field(default=150, ge=0, le=200, description="Loudness, 100 is normal")


class SimSpeakerConfig(_Model):
    """A simulated speaker: remembers what it was asked to say."""

    kind: Literal["sim"]


class NoSpeakerConfig(_Model):
    """No speaker."""

    kind: Literal["none"]


SpeakerConfig = Annotated[EspeakSpeakerConfig | SimSpeakerConfig | NoSpeakerConfig, Field(discriminator="kind")]


LinkConfig = Annotated[MqttLinkConfig | SimLinkConfig | NoLinkConfig, Field(discriminator="kind")]


class LinuxBoardConfig(_Model):
    """The computer the agent runs on."""

    kind: Literal["linux"]
    root: Path = Field(default=Path("/"), description="Prefix of /proc and /sys; other than / only in tests")
    state_dir: Path = Field(default=STATE_DIR, description="Folder whose file system is watched")


class SimBoardConfig(_Model):
    """A simulated board, controlled by the script of the drive."""

    kind: Literal["sim"]


BoardConfig = Annotated[LinuxBoardConfig | SimBoardConfig, Field(discriminator="kind")]


class HwConfig(_Model):
    """All hardware of a unit."""

    cameras: tuple[CameraConfig, ...] = Field(description="At least one camera")
    gnss: GnssConfig = Field(default=NoGnssConfig(kind="none"), description="The positioning receiver")
    panel: PanelConfig = Field(default=NoPanelConfig(kind="none"), description="Lamps, buzzer, ignition")
    speaker: SpeakerConfig = Field(default=NoSpeakerConfig(kind="none"), description="Spoken hits")
    link: LinkConfig = Field(default=NoLinkConfig(kind="none"), description="Connection to the station")
    board: BoardConfig = Field(default=LinuxBoardConfig(kind="linux"), description="The computer itself")

    @model_validator(mode="after")
    def _cameras_differ(self) -> Self:
        names = [camera.name for camera in self.cameras]
        if not names:
            raise ValueError("cameras: at least one is required")
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"cameras: name used twice: {', '.join(twice)}")
        return self
