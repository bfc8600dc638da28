"""The composition root: configuration -> stages.  Used by the vehicle, the demo and the replay."""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from agent.audit import AuditLog
from agent.buffer import OpenReport, Outbox, life_of, open_outbox
from agent.capture import FrameRateLimiter
from agent.commit import ReadCommitter
from agent.exposure import ExposureConfig, ExposurePolicy
from agent.geotag import Geotagger
from agent.geotag.deduplicate import Deduplicator
from agent.geotag.fixes import FixRing
from agent.geotag.nmea import NmeaState
from agent.geotag.read_maker import ReadMaker
from agent.geotag.timebase import Timebase
from agent.pictures import PictureMaker
from agent.pipeline import CameraPipeline
from agent.policy.reads import ReadPolicy
from agent.read_id import ReadIdMint
from agent.recognise import Recogniser, load_active
from agent.recognise.models_folder import default_models_folder
from agent.runtime.audit import CHAIN_FILE, ChainFile
from agent.runtime.lists import list_kinds
from agent.runtime.policy import PoliciesInForce
from agent.runtime.policy_files import TIME_FILE, TimeFile, load_hash_key
from agent.runtime.policy_store import FETCHED, PolicyStore, install_fetched, load_policy_keys, policy_kind
from agent.runtime.policy_store import FOLDER as POLICY_FOLDER
from agent.runtime.witness import FILE as WITNESS_FILE
from agent.runtime.witness import WitnessFile
from agent.sync.encoder import RecordEncoder
from agent.sync.transfer import FileTransfer, Transfers
from agent.sync.uplink import Uplink
from agent.track import MotionEstimator, Tracker
from agent.update.fetch import update_kind
from agent.view import ViewWatch
from agent.witness import Witness
from hw.config import PiCameraConfig
from hw.paths import CONFIG_DIR
from hw.ports import Exposable
from protocol.errors import KeyFileError
from protocol.seal import ReceiptVerifier, Sealer, SigningKey, StationKey, VerifyKey
from protocol.wire.records.audit import Audit
from protocol.wire.records.shift import Shift
from protocol.wire.released import released_registry
from updater.release_state import INBOX, linked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from agent.buffer import Command
    from agent.pipeline import PlateRecognizer
    from agent.runtime.config import AgentConfig
    from agent.sync.ports import Downloads, Waiting
    from agent.sync.transfer import FileKind
    from hw.ports import Camera, Link
    from protocol.wire.registry import Registry

PACKAGE = "patrol-lpr"
_S_PER_DAY = 86_400


def software() -> str:
    """Name and version; part of every read."""
    return f"{PACKAGE} {version(PACKAGE)}"


def build_recogniser(config: AgentConfig) -> Recogniser:
    """Load both models; one recogniser per camera, because an interpreter must be used by one thread only.

    Raises BundleError when a bundle does not match its contract.
    """
    table = config.recognise
    # OpenCV's threads would compete with the models for the cores, and cost more than they save at these sizes.
    cv2.setNumThreads(1)
    bundles = load_active(table.models or default_models_folder())
    return Recogniser(
        *bundles,
        table.recogniser_config(),
    )


def build_pipeline(
    config: AgentConfig,
    reader: PlateRecognizer,
    camera: Camera | None = None,
    *,
    track_ids: Iterator[int] | None = None,
    read_ids: Callable[[int], bytes] | None = None,
) -> CameraPipeline:
    """Build one camera's pipeline; for a live ``camera`` with exposure control and monitoring of its view.

    ``track_ids`` is given if the pipeline may be built again in one process: track ids must not repeat.  ``read_ids``
    makes the ids of reads for a time of the monotonic clock.
    """
    tracker = Tracker(config.track.tracker_config(), ids=track_ids, read_ids=read_ids)
    rate_limiter = FrameRateLimiter(max_fps=config.recognise.max_fps)
    if camera is None:
        return CameraPipeline(reader, tracker, rate_limiter)
    own = next((c for c in config.hw.cameras if c.name == camera.name), None)
    exposure = None
    if isinstance(camera, Exposable) and isinstance(own, PiCameraConfig) and own.metering == "plates":
        exposure = ExposurePolicy(exposure_config(own))
    view = ViewWatch(reference=config.state_dir / f"view-{camera.name}.npy")
    return CameraPipeline(reader, tracker, rate_limiter, exposure=exposure, view=view)


def exposure_config(camera: PiCameraConfig) -> ExposureConfig:
    """Exposure settings from a camera's table."""
    return ExposureConfig(cap_us=camera.shutter_cap_us, max_gain=camera.max_gain)


@dataclass(frozen=True, slots=True)
class ReadPath:
    """The committer and the parts whose counts are published."""

    committer: ReadCommitter
    outbox: Outbox
    encoder: RecordEncoder
    """It also signs the head of the series."""
    nmea: NmeaState
    timebase: Timebase
    rereads: Deduplicator
    report: OpenReport
    ids: ReadIdMint
    policies: PoliciesInForce | None = None
    """None: policies are off."""
    read_policy: ReadPolicy | None = None

    def new_id(self, t_mono_ns: int) -> bytes:
        """Return a new id for a time of the monotonic clock; any thread."""
        return self.ids.mint(self.timebase.tag(t_mono_ns).utc_ns)


def build_policies(config: AgentConfig) -> PoliciesInForce | None:
    """As ``load_policies``, after a file that was fetched before the last stop is installed."""
    if config.policy.mode == "on":
        install_fetched(build_policy_store(config), _fetched_policies(config) / FETCHED)
    return load_policies(config)


def load_policies(config: AgentConfig) -> PoliciesInForce | None:
    """Load the policies of the state folder, changing nothing; None if they are off.  Raises KeyFileError."""
    if config.policy.mode == "off":
        return None
    return PoliciesInForce(build_policy_store(config), config.agency)


def build_policy_store(config: AgentConfig) -> PolicyStore:
    """Return the folder of policies with the keys that sign them.  Raises KeyFileError."""
    return PolicyStore(config.state_dir / POLICY_FOLDER, load_policy_keys(config.policy.key), unit=config.unit)


def _fetched_policies(config: AgentConfig) -> Path:
    return config.state_dir / "fetched-policies"


def build_read_path(
    config: AgentConfig,
    *,
    boot_id: bytes,
    models: tuple[str, ...],
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    registry: Registry | None = None,
    life: bytes | None = None,
) -> ReadPath:
    """Open the outbox in ``state_dir`` and create everything that feeds it.

    ``life`` is that of the outbox; if omitted, the one in the folder, or a new one.  Raises OutboxError when the
    outbox cannot be opened.
    """
    policies = build_policies(config)
    read_policy = None if policies is None else ReadPolicy(policies, load_hash_key(config.policy.hash_key))
    nmea = NmeaState(config.geotag.nmea_config())
    timebase = Timebase(boot_id)
    rereads = Deduplicator(config.reread.deduplicator_config())
    ids = ReadIdMint(random_bytes)
    maker = ReadMaker(
        ids=ids,
        pictures=PictureMaker(config.pictures.picture_config()),
        models=models,
        software=software(),
        roles={camera.name: camera.role for camera in config.hw.cameras},
        policy=read_policy,
        motions={c.name: MotionEstimator(c.role, hfov_deg=c.hfov_deg) for c in config.hw.cameras},
    )
    ring = FixRing(config.geotag.fix_ring_config())
    geotagger = Geotagger(maker, ring=ring, timebase=timebase, rereads=rereads, hold_ms=config.geotag.hold_ms)
    encoder = RecordEncoder(
        config.unit,
        config.agency,
        boot_id,
        registry or released_registry(),
        build_sealer(config),
        life_of(config.state_dir) if life is None else life,
    )
    outbox, report = open_outbox(config.state_dir, encoder, limits=config.outbox.limits())
    committer = ReadCommitter(
        nmea,
        geotagger,
        timebase,
        outbox,
        audit=_audit_log(config.state_dir, outbox),
        policies=policies,
        times=TimeFile(config.state_dir / TIME_FILE),
        keep_s={Shift.SCHEMA: round(config.shift.keep_days * _S_PER_DAY)},
    )
    return ReadPath(committer, outbox, encoder, nmea, timebase, rereads, report, ids, policies, read_policy)


def _audit_log(state_dir: Path, outbox: Outbox) -> AuditLog:
    entries = outbox.stats().types.get(Audit.SCHEMA)
    return AuditLog(
        ChainFile(state_dir / CHAIN_FILE), outbox.holds, appended=0 if entries is None else entries.appended
    )


def build_sealer(config: AgentConfig) -> Sealer | None:
    """Load the keys; None if sealing is off.  Raises KeyFileError."""
    table = config.seal
    if table.mode == "off":
        return None
    try:
        return Sealer(config.unit, load_unit_key(config), StationKey.load_public(table.station_key))
    except KeyFileError as error:
        raise KeyFileError(
            f'{error}; make keys with `patrol-lpr keys`, name them in [seal], or set mode = "off" for a test'
        ) from error


def load_unit_key(config: AgentConfig) -> SigningKey:
    """Load the private key of this unit; raises KeyFileError."""
    own = config.seal.unit_key
    return SigningKey.load(own or Path(os.environ.get("CREDENTIALS_DIRECTORY", CONFIG_DIR)) / "unit.key")


def build_fetcher(config: AgentConfig, *, boot_id: bytes) -> FileTransfer | None:
    """Create the transfer of updates; None if no release is installed or updates are not fetched."""
    table = config.update
    if table.fetch == "never" or linked(table.home, "current") is None:
        return None
    kind = update_kind((config.state_dir / INBOX).parent, table.home, free_only=table.fetch == "free")
    return _file_transfer(config, kind, boot_id)


def build_transfers(
    config: AgentConfig,
    updates: FileTransfer | None,
    *,
    boot_id: bytes,
    kinds: tuple[FileKind, ...] = (),
    on_list: Callable[[Path], None] = lambda _: None,
    now_s: Callable[[], float | None] = lambda: None,
) -> Transfers:
    """Create the transfers of all kinds of files; ``updates`` is the one of updates, if there is one.

    ``kinds`` are those whose files belong to a component; ``on_list`` is called with the path of each hot list that
    was fetched; ``now_s`` returns UTC if it is known.
    """
    others = (_file_transfer(config, kind, boot_id) for kind in (*kinds, *file_kinds(config, on_list, now_s)))
    return Transfers(config.unit, (*others, *(() if updates is None else (updates,))))


def file_kinds(
    config: AgentConfig, on_list: Callable[[Path], None], now_s: Callable[[], float | None]
) -> tuple[FileKind, ...]:
    """Return the kinds of files besides updates that this unit accepts, in the order of their requests.

    Raises KeyFileError.
    """
    lists = list_kinds(config, on_list)
    if config.policy.mode == "off":
        return lists
    return (policy_kind(build_policy_store(config), _fetched_policies(config), now_s), *lists)


def _file_transfer(config: AgentConfig, kind: FileKind, boot_id: bytes) -> FileTransfer:
    return FileTransfer(
        kind,
        unit=config.unit,
        boot_id=boot_id,
        timeout_s=config.sync.receipt_timeout_s,
        min_free_bytes=config.outbox.limits().min_free_bytes,
    )


def load_receipt_keys(config: AgentConfig) -> ReceiptVerifier | None:
    """Load the keys that verify receipts; None if no key is configured.  Raises KeyFileError."""
    path = config.seal.receipt_key
    return None if path is None else ReceiptVerifier.of(VerifyKey.load_all(path))


def build_uplink(
    config: AgentConfig,
    link: Link,
    waiting: Waiting,
    commands: Callable[[Command], None],
    *,
    boot_id: bytes,
    downloads: Downloads | None = None,
    witness: Callable[[bytes], bytes | None] | None = None,
) -> Uplink:
    """Create the uplink.  Raises KeyFileError."""
    return Uplink(
        link,
        waiting,
        commands,
        unit=config.unit,
        boot_id=boot_id,
        verifier=load_receipt_keys(config),
        config=config.sync.uplink_config(),
        downloads=downloads,
        witness=witness,
    )


def build_witness(config: AgentConfig, utc_s: Callable[[], int | None]) -> Witness | None:
    """Create the witness of the station's audit log; None if the unit has no key.  Raises KeyFileError."""
    if config.seal.mode == "off":
        return None
    return Witness(config.unit, load_unit_key(config), WitnessFile(config.state_dir / WITNESS_FILE), utc_s)
