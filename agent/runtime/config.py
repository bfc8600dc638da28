"""The configuration: TOML, typed, frozen, unknown keys rejected, all errors reported with their key paths.

If a stage has a dataclass for its settings, its defaults are declared only there; the table converts them to the units
of the file, and back for the stage.
"""

from __future__ import annotations

import copy
import json
import os
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from agent.buffer import Limits
from agent.errors import ConfigError
from agent.geotag import HOLD_MS
from agent.geotag.deduplicate import DeduplicatorConfig
from agent.geotag.fixes import FixRingConfig
from agent.geotag.nmea import NmeaConfig
from agent.hits.desk import HitSettings
from agent.pictures import PictureConfig
from agent.recognise import RecogniserConfig, RuntimeKind
from agent.shift.ports import DutyConfig
from agent.sync.metering import MeteringConfig
from agent.sync.uplink import UplinkConfig
from agent.track import TrackerConfig
from hw.config import HwConfig, without_credentials
from hw.paths import CONFIG_DIR, CONFIG_FILE, STATE_DIR
from updater.release_state import CONFIRMED, HOME

if TYPE_CHECKING:
    from collections.abc import Sequence

FORMAT = 1
"""Format of the configuration; a newer one is refused as a whole, not key by key."""
DEFAULT_PATH = CONFIG_FILE
RELEASE_PATH = HOME / "current/config.toml"
"""Configuration of the running release, merged over the unit's own."""
_OWN = ("unit", "state_dir", "seal", "policy")
"""Keys that an update cannot change: the unit's identity, who can read what it stores, and who says what it keeps."""
_MEBI = 2**20
_KIBI = 2**10
_RECOGNISER = RecogniserConfig()
_TRACKER = TrackerConfig()
_DEDUPLICATOR = DeduplicatorConfig()
_NMEA = NmeaConfig()
_FIX_RING = FixRingConfig()
_PICTURES = PictureConfig()
_LIMITS = Limits()
_UPLINK = UplinkConfig()
_HITS = HitSettings()
_SOCKET_PATH_MAX = 103
_MAX_SHOWN = 60
_ANY_UNIT: dict[str, Any] = {
    "cameras": [{"kind": "pi"}],
    "panel": {"kind": "gpio"},
    "link": {"kind": "mqtt", "host": "localhost", "tls": {}},
    "board": {"kind": "linux"},
}
_RECEIVERS: tuple[dict[str, Any], ...] = (
    {"kind": "serial"},
    {"kind": "gpsd"},
    {"kind": "fixed", "lat_deg": 45.0, "lon_deg": 45.0, "error_m": 10.0},
)
_DERIVED = ("unit", "state_dir")
"""Taken over into the hardware's tables."""
PLACEHOLDERS = {"unit": "change-me", "agency": "Change Me", "host": "station.example.org"}
"""What ``config example`` prints for values that every fleet has of its own."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RecogniseTable(_Table):
    """Models and processing limits."""

    models: Path | None = Field(
        default=None, description="Folder with active.toml; if omitted, the shipped models"
    )
    runtime: RuntimeKind = Field(default=_RECOGNISER.runtime, description="TFLite runtime")
    threads: int = Field(default=_RECOGNISER.detector_threads, ge=1, le=8, description="Threads of the detector")
    min_plate_width_px: float = Field(
        validation_alias=AliasChoices("min_plate_width_px", "least_plate_width_px"),
        default=_RECOGNISER.min_plate_width_px,
        ge=8,
        le=400,
        description="Minimum width of a plate in pixels; narrower ones are not read",
    )
    max_plates: int = Field(
        validation_alias=AliasChoices("max_plates", "most_plates"),
        default=_RECOGNISER.max_plates,
        ge=1,
        le=64,
        description="Maximum number of plates read per frame",
    )
    max_fps: float | None = Field(
        validation_alias=AliasChoices("max_fps", "most_fps"),
        default=None,
        gt=0,
        le=240,
        description="Maximum number of frames processed per second; if omitted, all",
    )

    def recogniser_config(self) -> RecogniserConfig:
        """For the recogniser."""
        return RecogniserConfig(
            runtime=self.runtime,
            detector_threads=self.threads,
            min_plate_width_px=self.min_plate_width_px,
            max_plates=self.max_plates,
        )


class TrackTable(_Table):
    """When the sightings of a plate become one read."""

    lost_ms: float = Field(
        default=_TRACKER.lost_ms,
        ge=50,
        le=10_000,
        description="Milliseconds without a sighting until a track closes",
    )
    min_confidence: float = Field(
        validation_alias=AliasChoices("min_confidence", "least_confidence"),
        default=_TRACKER.min_confidence,
        ge=0,
        le=1,
        description="Minimum confidence of a read",
    )
    min_confidence_single: float = Field(
        validation_alias=AliasChoices("min_confidence_single", "least_confidence_single"),
        default=_TRACKER.min_confidence_single,
        ge=0,
        le=1,
        description="Minimum confidence of a read from a single frame",
    )

    def tracker_config(self) -> TrackerConfig:
        """For the tracker."""
        return TrackerConfig(
            lost_ms=self.lost_ms,
            min_confidence=self.min_confidence,
            min_confidence_single=self.min_confidence_single,
        )


class RereadTable(_Table):
    """When a read is suppressed as a re-read."""

    window_s: float = Field(
        default=_DEDUPLICATOR.window_s, ge=0, le=86_400, description="Seconds since the last report"
    )
    radius_m: float = Field(
        default=_DEDUPLICATOR.radius_m, ge=0, le=100_000, description="Metres from the last report"
    )

    def deduplicator_config(self) -> DeduplicatorConfig:
        """For the deduplicator."""
        return DeduplicatorConfig(window_s=self.window_s, radius_m=self.radius_m)


class GeotagTable(_Table):
    """Position and time of reads."""

    hold_ms: float = Field(
        default=HOLD_MS,
        ge=0,
        le=30_000,
        description="Maximum time in milliseconds to wait for a fix after the exposure",
    )
    max_age_s: float = Field(
        default=_FIX_RING.max_age_s,
        ge=1,
        le=86_400,
        description="Maximum age of a fix in seconds; older ones give no position",
    )
    latency_ms: float = Field(
        default=_NMEA.latency_ms, ge=0, le=2_000, description="Measured latency of the receiver in milliseconds"
    )

    def nmea_config(self) -> NmeaConfig:
        """For the parser of the receiver's sentences."""
        return NmeaConfig(latency_ms=self.latency_ms)

    def fix_ring_config(self) -> FixRingConfig:
        """For the latest fixes."""
        return FixRingConfig(max_age_s=self.max_age_s)


class PictureTable(_Table):
    """Pictures kept with a read."""

    plate: bool = Field(default=_PICTURES.plate, description="Keep the picture of the plate")
    overview: bool = Field(default=_PICTURES.overview, description="Keep the picture of the scene")
    overview_width_px: int = Field(
        default=_PICTURES.overview_width_px, ge=160, le=4096, description="Width of the scene picture in pixels"
    )
    overview_max_kib: int = Field(
        validation_alias=AliasChoices("overview_max_kib", "overview_most_kib"),
        default=_PICTURES.overview_max_bytes // _KIBI,
        ge=8,
        le=1024,
        description="Maximum size of the scene picture in KiB",
    )

    def picture_config(self) -> PictureConfig:
        """For what makes the pictures."""
        return PictureConfig(
            plate=self.plate,
            overview=self.overview,
            overview_width_px=self.overview_width_px,
            overview_max_bytes=self.overview_max_kib * _KIBI,
        )


class OutboxTable(_Table):
    """Limits of the outbox."""

    max_mib: int = Field(
        default=_LIMITS.max_bytes // _MEBI, ge=1, le=2**20, description="Maximum size of the outbox in MiB"
    )
    min_free_mib: int = Field(
        default=_LIMITS.min_free_bytes // _MEBI,
        ge=0,
        le=2**20,
        description="Free disk space in MiB below which pictures are evicted and only reads are added",
    )
    write_budget_mib_h: int = Field(
        default=2048,
        ge=1,
        le=2**20,
        description="Writes per hour in MiB above which a warning is raised (flash wear)",
    )
    ballast_mib: int = Field(
        default=_LIMITS.ballast_bytes // _MEBI,
        ge=0,
        le=1024,
        description="Size in MiB of the ballast file that is deleted when the disk is full",
    )

    def limits(self) -> Limits:
        """For the outbox."""
        return Limits(
            max_bytes=self.max_mib * _MEBI,
            min_free_bytes=self.min_free_mib * _MEBI,
            ballast_bytes=self.ballast_mib * _MEBI,
        )


class SyncTable(_Table):
    """Sending of records and pictures."""

    window: int = Field(
        default=_UPLINK.window,
        ge=1,
        le=1000,
        description="Maximum number of messages in flight; fewer on slow links",
    )
    receipt_timeout_s: float = Field(
        default=_UPLINK.receipt_timeout_s, gt=0, le=3600, description="Seconds after which a receipt is overdue"
    )
    chunk_kib: int = Field(
        default=_UPLINK.chunk_bytes // _KIBI, ge=1, le=64, description="Size of a picture chunk in KiB"
    )
    pictures: bool = Field(default=_UPLINK.send_pictures, description="Send pictures as well as reads")
    metered_pictures: bool = Field(
        default=_UPLINK.metering.pictures,
        description="Also send pictures over metered links; reads are always sent",
    )
    metered_picture_mib_h: float | None = Field(
        default=None, gt=0, description="Maximum MiB of pictures per hour over metered links; if omitted, no limit"
    )
    unmetered_interfaces: tuple[str, ...] = Field(
        default=("wlan", "wl", "eth", "en", "lo"),
        description="Name prefixes of unmetered network interfaces",
    )
    health_s: float = Field(default=60, ge=1, le=3600, description="Seconds between health messages")

    def uplink_config(self) -> UplinkConfig:
        """For the uplink."""
        budget_mib_h = self.metered_picture_mib_h
        return UplinkConfig(
            window=self.window,
            receipt_timeout_s=self.receipt_timeout_s,
            chunk_bytes=self.chunk_kib * _KIBI,
            send_pictures=self.pictures,
            metering=MeteringConfig(
                None if budget_mib_h is None else round(budget_mib_h * _MEBI), pictures=self.metered_pictures
            ),
        )


class SealTable(_Table):
    """Encryption and signatures of records."""

    mode: Literal["on", "off"] = Field(
        default="on",
        description="on: records are signed, chained and encrypted; off: they are stored unencrypted",
    )
    station_key: Path = Field(
        default=CONFIG_DIR / "station.pub", description="Public key of the station that can decrypt records"
    )
    receipt_key: Path | None = Field(
        default=None,
        description="receipt.pub of the station: only answers signed with it are accepted; if omitted, all are",
    )
    unit_key: Path | None = Field(
        default=None,
        description="Private key of this unit; if omitted, unit.key from the service's credentials or /etc/patrol-lpr",
    )


class HotlistTable(_Table):
    """Hot lists; entries are never written to the log."""

    key: Path | None = Field(
        default=None,
        description="hotlist.pub of the list authorities whose lists are accepted; if omitted, there are no lists",
    )
    open: Literal["start", "pin"] = Field(
        default="start",
        description="start: lists are opened when the agent starts; pin: when an officer signs on with a PIN",
    )
    fetch: Literal["always", "free", "never"] = Field(
        default="always",
        description="Fetch lists that the station offers: over any link, over unmetered ones only, or never",
    )
    max_alarms_per_1000: float | None = Field(
        default=None, ge=0, le=1000,
        description="Refuse lists with more expected false alarms per 1,000 cars; if omitted, none is refused for that",
    )  # fmt: skip


class PolicyTable(_Table):
    """What is kept, for how long and where: docs/privacy.md."""

    mode: Literal["on", "off"] = Field(
        default="on",
        description="on: the signed policies hold, or the strict default; off: all is kept until its receipt (tests)",
    )
    key: Path = Field(
        default=CONFIG_DIR / "policy.pub", description="Public keys, one of which must have signed a policy"
    )
    hash_key: Path | None = Field(
        default=None,
        description="Key of the agency for keyed hashes of plates; if omitted, such reads are not kept",
    )


class PowerTable(_Table):
    """Behaviour after the ignition goes off, and at high temperature."""

    hold_up_s: float = Field(
        default=60, ge=0, le=86_400, description="Seconds the agent keeps running after the ignition goes off"
    )
    off_request: Path | None = Field(
        default=Path("/run/patrol-lpr/power-off"),
        description="File that makes patrol-lpr-poweroff.path power the unit off; if omitted, only the agent exits",
    )
    slow_above_c: float = Field(
        default=75, ge=30, le=120, description="Temperature in °C above which the frame rate is reduced"
    )
    fast_below_c: float = Field(
        default=70, ge=20, le=119, description="Temperature in °C below which the frame rate is restored"
    )
    slow_fps: float = Field(default=4, gt=0, le=240, description="Frames processed per second at high temperature")

    @model_validator(mode="after")
    def _hysteresis(self) -> Self:
        if self.fast_below_c >= self.slow_above_c:
            raise ValueError("fast_below_c must be lower than slow_above_c")
        return self


class UpdateTable(_Table):
    """Updates."""

    home: Path = Field(default=HOME, description="Folder of the releases; without it there are no updates")
    confirm: Path = Field(
        default=CONFIRMED, description="File that tells patrol-lpr-confirm.path that a release on trial is healthy"
    )
    fetch: Literal["always", "free", "never"] = Field(
        default="free",
        description="always: over any link; free: over unmetered links, configurations over any; never",
    )
    well_s: float = Field(
        default=60,
        ge=0,
        le=3600,
        description="Seconds a new release must be healthy without interruption to be committed",
    )
    quiet_s: float = Field(
        default=120,
        ge=0,
        le=86_400,
        description="Seconds without a plate before the agent restarts into an update",
    )


class FeedTable(_Table):
    """The feed for views outside the process: docs/feed.md."""

    path: Literal["auto", "off"] | Path = Field(
        default="auto",
        description='UNIX socket of the feed; "auto": feed.sock in the service\'s runtime directory, off without one',
    )

    @field_validator("path")
    @classmethod
    def _length(cls, path: str | Path) -> str | Path:
        return _socket_path(path)


class MetricsTable(_Table):
    """Counters and gauges for Prometheus: docs/metrics.md."""

    file: Literal["auto", "off"] | Path = Field(
        default="auto",
        description='File for node_exporter; "auto": patrol-lpr.prom in the service\'s runtime directory',
    )


class CommandTable(_Table):
    """The socket on which views on the unit send commands: docs/commands.md."""

    path: Literal["auto", "off"] | Path = Field(
        default="auto",
        description='UNIX socket; "auto": /run/patrol-lpr-console/command.sock in the service, off elsewhere',
    )

    @field_validator("path")
    @classmethod
    def _length(cls, path: str | Path) -> str | Path:
        return _socket_path(path)


class HitTable(_Table):
    """Hits: docs/hits.md."""

    repeat_s: float = Field(
        default=_HITS.repeat_s,
        ge=0,
        le=3600,
        description="Seconds for which a vehicle that was seen raises no other hit",
    )
    rejected_s: float = Field(
        default=_HITS.rejected_s, ge=0, le=86_400, description="The same after an officer rejected the hit"
    )
    max_open: int = Field(
        default=_HITS.max_open, ge=1, le=500, description="Hits that may wait for a decision; more expire"
    )
    max_open_h: float = Field(
        default=_HITS.open_s / 3600, ge=0.1, le=168, description="Hours after which an undecided hit expires"
    )
    max_list_age_h: float = Field(
        default=24, ge=0.1, le=8760, description="Hours from which on a list is stale, if policies are off"
    )
    stale_lists: Literal["alert", "record"] = Field(
        default="alert",
        description="Hits of stale lists: alert, marked as such; record: without an alert, except high priority",
    )
    language: Literal["en", "es"] = Field(default="en", description="Language of spoken hits")
    manual_priority: Literal["high", "medium", "low"] = Field(
        default="high", description="Priority of plates that officers enter"
    )
    manual_max_h: float = Field(
        default=24, gt=0, le=720, description="Maximum number of hours for which an entered plate is watched for"
    )

    def hit_settings(self, *, final_s: float) -> HitSettings:
        """For the desk; ``final_s`` is the longest time from a confirmed track to the final one."""
        return HitSettings(
            repeat_s=self.repeat_s,
            rejected_s=self.rejected_s,
            max_open=self.max_open,
            open_s=self.max_open_h * 3600,
            final_s=final_s,
            quiet_if_stale=self.stale_lists == "record",
        )


def _socket_path(path: str | Path) -> str | Path:
    # unix(7): sun_path has 108 bytes, the last of them 0; the agent creates the socket as *.new first.
    if len(os.fsencode(path)) > _SOCKET_PATH_MAX:
        raise ValueError(f"a socket's path has at most {_SOCKET_PATH_MAX} bytes")
    return path


class ShiftTable(_Table):
    """Officers' shifts: docs/shifts.md."""

    roster_key: Path = Field(
        default=CONFIG_DIR / "agency.pub",
        description="Public key of the agency that signs rosters; without this file nobody can sign on",
    )
    session_idle_min: float = Field(
        default=15, gt=0, le=24 * 60, description="Minutes without a command after which an officer signs on again"
    )
    idle_sign_off_h: float = Field(
        default=4, gt=0, le=48, description="Hours without a command and without movement after which a shift ends"
    )
    resume_min: float = Field(
        default=30,
        gt=0,
        le=24 * 60,
        description="Minutes after a restart within which the officer must sign on again, or the shift ends",
    )
    ignition_sign_off: bool = Field(
        default=True, description="End shifts when the ignition's hold-up time is over"
    )
    keep_days: float = Field(
        default=14,
        gt=0,
        le=366,
        description="Days after which records of shifts are deleted on the unit, sent or not",
    )
    draft_days: float = Field(
        default=30,
        gt=0,
        le=366,
        description="Days after which a forgotten draft of an incident is sent unanswered",
    )
    coverage_min: float = Field(
        default=15, ge=1, le=24 * 60, description="Minutes that one message on coverage sums up"
    )

    def duty_config(self, unit: str) -> DutyConfig:
        """For the state machine."""
        return DutyConfig(
            unit,
            session_idle_s=self.session_idle_min * 60,
            idle_sign_off_s=self.idle_sign_off_h * 3600,
            resume_s=self.resume_min * 60,
            draft_days=self.draft_days,
            coverage_s=self.coverage_min * 60,
        )


class LogTable(_Table):
    """Logging."""

    level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Minimum severity")
    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: console on a terminal, otherwise json"
    )


class AgentConfig(_Table):
    """Configuration of one unit."""

    unit: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9_-]{1,36}$", description="Id of this unit, used in its MQTT topics")
    ]
    agency: Annotated[str, Field(min_length=1, max_length=64, description="Agency that owns the reads")]
    format: int = Field(default=FORMAT, ge=1, le=FORMAT, description="Format of this file")
    state_dir: Path = Field(default=STATE_DIR, description="Folder of the outbox and other state")
    hw: HwConfig = Field(description="The hardware")
    recognise: RecogniseTable = RecogniseTable()
    track: TrackTable = TrackTable()
    reread: RereadTable = RereadTable()
    geotag: GeotagTable = GeotagTable()
    pictures: PictureTable = PictureTable()
    outbox: OutboxTable = OutboxTable()
    sync: SyncTable = SyncTable()
    seal: SealTable = SealTable()
    hotlist: HotlistTable = HotlistTable()
    policy: PolicyTable = PolicyTable()
    power: PowerTable = PowerTable()
    update: UpdateTable = UpdateTable()
    feed: FeedTable = FeedTable()
    command: CommandTable = CommandTable()
    metrics: MetricsTable = MetricsTable()
    hits: HitTable = HitTable()
    shift: ShiftTable = ShiftTable()
    log: LogTable = LogTable()


def load_config(path: Path, overrides: Sequence[str] = (), *, over: Path | None = None) -> AgentConfig:
    """Read a TOML file, merge another over it, then apply ``section.key=value`` overrides (TOML, or bare words).

    ``over`` is the configuration of an update: tables are merged, everything else is replaced; if omitted, that of the
    running release is used.  A missing file changes nothing.  Raises ConfigError listing every error with its key path.
    """
    table, source = _table(path), str(path)
    over = over or (RELEASE_PATH if path == DEFAULT_PATH else None)
    if over is not None and over.exists():
        patch, source = _table(over), f"{path} with {over}"
        if own := [key for key in _OWN if key in patch]:
            raise ConfigError(f"{over}: {', '.join(own)} cannot be changed by an update: edit {path} on the unit")
        table = _overlaid(table, patch)
    for override in overrides:
        _override(table, override)
    return parse_config(_typed(table, overrides), source)


def _table(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `patrol-lpr config example` prints an example") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _overlaid(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in patch.items():
        inner = merged.get(key)
        # A back end of another kind shares no keys with the one before and replaces it as a whole.
        if (
            isinstance(inner, dict)
            and isinstance(value, dict)
            and value.get("kind", inner.get("kind")) == inner.get("kind")
        ):
            merged[key] = _overlaid(inner, value)
        else:
            merged[key] = value
    return merged


def parse_config(table: dict[str, Any], source: str) -> AgentConfig:
    """Check a table; raises ConfigError listing every error with its key path."""
    newer = table.get("format")
    if isinstance(newer, int) and newer > FORMAT:
        raise ConfigError(f"{source}: format {newer}, this version reads {FORMAT}: update the program first")
    try:
        return AgentConfig.model_validate(_with_derived(table))
    except ValidationError as error:
        lines = _lines(error, table)
        raise ConfigError(f"{source}: the configuration is invalid:\n" + "\n".join(lines)) from None


def _lines(error: ValidationError, table: dict[str, Any], *, skip: str = "") -> list[str]:
    """One line a mistake; a value that may be of several types is refused once, not once a type."""
    lines: dict[str, list[str]] = {}
    for item in error.errors():
        *_, last = item["loc"] or ("",)
        if item["loc"][:1] == ("hw",) and last in _DERIVED and item["input"] == table.get(last):
            continue  # told at the top level, where it was written
        if item["type"] == skip:
            continue
        told = lines.setdefault(_path(item["loc"], table), [])
        if (what := _what(item)) not in told:
            told.append(what)
    return [f"  {path}: {_either(told)}" for path, told in lines.items()]


def _either(told: list[str]) -> str:
    if len(told) == 1:
        return told[0]
    heads = [text.rpartition("; it is ")[0] or text for text in told]
    return f"{' or '.join(dict.fromkeys(heads))}; it is {told[0].rpartition('; it is ')[2]}"


def _with_derived(table: dict[str, Any]) -> dict[str, Any]:
    """By default the link uses the unit's id and the board monitors the state folder."""
    hw = table.get("hw")
    if not isinstance(hw, dict):
        return table
    hw = dict(hw)
    link, board = hw.get("link"), hw.get("board", {"kind": "linux"})
    if isinstance(link, dict) and link.get("kind") == "mqtt" and "unit" in table:
        hw["link"] = {"unit": table["unit"], **link}
    if isinstance(board, dict) and board.get("kind") == "linux" and "state_dir" in table:
        hw["board"] = {"state_dir": table["state_dir"], **board}
    return {**table, "hw": hw}


def _override(table: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not all(name.split(".")):
        raise ConfigError(f"--set {override}: expected section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    _set(table, name, value, override)


def _set(table: dict[str, Any], name: str, value: object, override: str) -> None:
    *sections, key = name.split(".")
    inner = table
    for section in sections:
        inner = inner.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {section} is not a section")
    inner[key] = value


def _typed(table: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Use a value of the command line as a string if it is invalid as TOML value but valid as a string.

    ``protocol=5`` and ``unit=12`` are strings, though TOML reads them as numbers.
    """
    errors = _error_count(table)
    for override in overrides if errors else ():
        name, _, text = override.partition("=")
        as_text = copy.deepcopy(table)
        _set(as_text, name, text, override)
        left = _error_count(as_text)
        if left < errors:
            table, errors = as_text, left
    return table


def _error_count(table: dict[str, Any]) -> int:
    try:
        AgentConfig.model_validate(_with_derived(table))
    except ValidationError as error:
        return error.error_count()
    return 0


def check_patch(patch: dict[str, Any], source: str) -> None:
    """Raise ConfigError for keys and values that no unit would take over; ``patch`` is what an update brings.

    What depends on the unit's own configuration is checked there.
    """
    if own := [key for key in _OWN if key in patch]:
        raise ConfigError(f"{source}: {', '.join(own)} cannot be changed by an update: edit the unit's own file")
    fewest: list[str] | None = None
    for receiver in _RECEIVERS:
        hw = {**_ANY_UNIT, "gnss": receiver}
        table = _overlaid({"unit": "unit", "agency": "agency", "hw": hw}, patch)
        try:
            AgentConfig.model_validate(_with_derived(table))
        except ValidationError as error:
            lines = _lines(error, table, skip="value_error")
        else:
            lines = []
        if fewest is None or len(lines) < len(fewest):
            fewest = lines
    if fewest:
        raise ConfigError(f"{source}: no unit would take this:\n" + "\n".join(fewest))


def refuse_placeholders(config: AgentConfig, path: Path) -> None:
    """Raise ConfigError if values of the example were not replaced: a unit must not send under another's name."""
    left = _placeholders_left(config)
    if left:
        raise ConfigError(f"{path}: still has values of the example:\n" + "\n".join(f"  {line}" for line in left))


def _placeholders_left(config: AgentConfig) -> list[str]:
    found: dict[str, object] = {"unit": config.unit, "agency": config.agency}
    if config.hw.link.kind == "mqtt":
        found["host"] = config.hw.link.host
    names = {"host": "hw.link.host"}
    return [
        f"{names.get(name, name)}: {value!r} is the example's value; write your own"
        for name, value in found.items()
        if value == PLACEHOLDERS[name]
    ]


def _path(loc: tuple[int | str, ...], table: Any) -> str:
    """``hw.cameras[0].fps``: the keys that people write, without the kinds that pydantic puts between them."""
    text, inner = "", table
    for index, part in enumerate(loc):
        last = index == len(loc) - 1
        if isinstance(part, int):
            text += f"[{part}]"
            inner = inner[part] if isinstance(inner, list | tuple) and part < len(inner) else None
        elif isinstance(inner, dict) and (part in inner or (last and inner.get("kind") != part)):
            text += f".{part}" if text else part
            inner = inner.get(part)
    return text or "(top level)"


_KINDS_OF_VALUES = (
    ("int", "a whole number"), ("float", "a number"), ("bool", "true or false"), ("string", "a text in quotes"),
    ("tuple", "a list in brackets"), ("path", "a path in quotes"), ("model", "a table"), ("dict", "a table"),
)  # fmt: skip
_LIMITS_OF_VALUES = {
    "greater_than": "must be above {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be below {lt}",
    "less_than_equal": "must be {le} or less",
    "string_too_short": "must have {min_length} or more characters",
    "string_too_long": "must have {max_length} or fewer characters",
    "string_pattern_mismatch": "has a character or a length that is not allowed, must match {pattern}",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "union_tag_invalid": "unknown kind, must be one of {expected_tags}",
    "finite_number": "must be a finite number",
}


def _what(item: Any) -> str:
    """A mistake in our own words: the validator's are for programmers."""
    kind, context = item["type"], item.get("ctx", {})
    if kind == "extra_forbidden":
        return "unknown key"
    if kind == "missing":
        return "missing"
    if kind == "union_tag_not_found":
        return "kind is missing"
    if kind == "value_error":
        return without_credentials(str(context["error"]))
    if kind in _LIMITS_OF_VALUES:
        shown = {name: f"{value:g}" if isinstance(value, float) else value for name, value in context.items()}
        told = _LIMITS_OF_VALUES[kind].format(**shown)
    else:
        told = next((f"must be {word}" for start, word in _KINDS_OF_VALUES if kind.startswith(start)), "not valid")
    given = item["input"].get("kind") if kind == "union_tag_invalid" else item["input"]
    return without_credentials(f"{told}; it is {_as_written(given)}")


def _as_written(value: object) -> str:
    """A value as TOML has it, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
