"""The automatic checks: one line for everything the agent needs, with what to do if a check fails."""

from __future__ import annotations

import datetime as dt
import queue
from contextlib import closing, suppress
from functools import partial
from typing import TYPE_CHECKING

from agent.buffer import OutboxReader
from agent.buffer.damage import MAX_UNREADABLE, read_mark
from agent.buffer.outbox import FILE_NAME
from agent.buffer.rescue import ASIDE
from agent.buffer.rows import SENDING
from agent.errors import OutboxDamagedError, OutboxDiskError
from agent.recognise import RuntimeKind, load_active
from agent.recognise.bundle import run_golden
from agent.recognise.interpreter import choose_runtime, slower_runtime_advice
from agent.recognise.models_folder import default_models_folder
from agent.runtime.config import AgentConfig, load_config
from agent.runtime.lists import build_lists
from agent.runtime.roster_file import RosterFile
from agent.runtime.stages import build_sealer, load_policies, load_receipt_keys, load_unit_key, software
from agent.runtime.witness import FILE as WITNESS_FILE
from agent.runtime.witness import WitnessFile
from agent.sync.delivery import Signs, why_undelivered
from agent.sync.uplink import Uplink, UplinkConfig
from cli.diagnostics.certificates import days_left, warning, wrong_name
from cli.diagnostics.receiver import amount, described, listen, sentences, why_no_fix
from cli.diagnostics.step import Mark, Step
from cli.terminal import explained
from hw.bauds import BAUDS, PATIENCE_S
from hw.clock import NS_PER_S, RealClock
from hw.config import LinuxBoardConfig
from hw.link_mqtt import FALLBACK
from hw.open import open_board, open_cameras, open_gnss, open_link, open_panel, open_speaker
from hw.ports import HwError, LinkDown, LinkUp, Will
from protocol.errors import PatrolError
from protocol.merkle.checkpoint import parse_checkpoint
from protocol.wire.codec import encode
from protocol.wire.control.unit_state import Status
from protocol.wire.enums import UnitState
from protocol.wire.topics import Channel, build, heard_by_unit
from updater.release_state import RELEASE_KEY, State, linked, read_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.buffer import OutboxStats
    from hw.ports import Link, LinkEvent, Vitals

_FRAME_TIMEOUT_S = 5.0
_GNSS_PATIENCE_S = (len(BAUDS) + 1) * PATIENCE_S
"""Long enough to try every baud rate."""
_GNSS_LISTEN_S = 5.0
"""Time for a fix after the first sentence."""
_LINK_TIMEOUT_S = 8.0
_RECEIPT_TIMEOUT_S = 10.0
_LINK_HINT = "check network, [hw.link], and whether the certificate was revoked"
_SALVAGE_HINT = (
    "restart the agent (`systemctl restart patrol-lpr`): it salvages readable records and announces the rest"
)
_LOOKED_AT = 256
"""Number of records that are read, the next ones to be sent."""
_MEBI = 2**20


def examine(path: Path, overrides: list[str]) -> Iterator[Step]:
    """Yield the findings; only one if the configuration is invalid."""
    try:
        config = load_config(path, overrides)
    except PatrolError as error:
        yield Step("configuration", Mark.FAIL, explained(error))
        return
    yield Step("configuration", Mark.OK, str(path))
    checks: dict[str, Callable[[AgentConfig], Step]] = {
        "models": _models,
        "keys": _keys,
        "release": _release,
        "policy": _policy,
        "roster": _roster,
        "station log": _station_log,
        "hot lists": _hotlists,
        "outbox": _outbox,
        "certificates": _certificates,
        "board": _board,
        "disk": _disk,
        "clock": partial(_clock, path),
        "cameras": _cameras,
        "receiver": _gnss,
        "panel": _panel,
        "speaker": _speaker,
        "broker": _link,
    }
    for what, check in checks.items():
        try:
            yield check(config)
        except (PatrolError, OSError) as error:
            yield Step(what, Mark.FAIL, explained(error))


def _models(config: AgentConfig) -> Step:
    runtime = choose_runtime(RuntimeKind(config.recognise.runtime))
    bundles = load_active(config.recognise.models or default_models_folder())
    wrong = [b.contract.id for b in bundles if not run_golden(b, runtime).passed]
    if wrong:
        return Step("models", Mark.FAIL, f"{', '.join(wrong)}: golden mismatch on {runtime}; reinstall the models")
    right = f"{', '.join(b.model_id for b in bundles)} on {runtime}"
    advice = slower_runtime_advice(RuntimeKind(config.recognise.runtime))
    return Step(
        "models", Mark.OK if advice is None else Mark.WARN, right if advice is None else f"{right}: {advice}"
    )


def _keys(config: AgentConfig) -> Step:
    if build_sealer(config) is None:
        return Step(
            "keys",
            Mark.WARN,
            "seal.mode is off: plates on the disk are not encrypted; create keys with `patrol-lpr keys`",
        )
    sealed = f"records are signed, and encrypted to {config.seal.station_key}"
    if load_receipt_keys(config) is None:
        forged = "seal.receipt_key is not set: whoever controls the broker can delete records with forged receipts"
        return Step("keys", Mark.WARN, f"{sealed}; {forged}")
    return Step("keys", Mark.OK, f"{sealed}; receipts must be signed")


def _policy(config: AgentConfig) -> Step:
    policies = load_policies(config)
    if policies is None:
        return Step(
            "policy", Mark.WARN, 'policy.mode is "off": everything is kept until its receipt; for tests only'
        )
    names = ", ".join(policies().names)
    if policies.problems:
        return Step("policy", Mark.FAIL, f"in force: {names}; refused: {'; '.join(policies.problems)}")
    if not policies().is_signed:
        advice = "sign one with `patrol-lpr policy sign`, and install it with `patrol-lpr policy install`"
        return Step("policy", Mark.WARN, f"no policy of {config.agency}, so only hits are kept: {advice}")
    return Step("policy", Mark.OK, f"in force: {names}")


def _station_log(config: AgentConfig) -> Step:
    state = WitnessFile(config.state_dir / WITNESS_FILE).load()
    if state.refusal:
        advice = "tell whoever supervises the station, see docs/audit.md"
        return Step("station log", Mark.FAIL, f"{state.refusal}; {advice}")
    if not state.note:
        return Step("station log", Mark.OK, "no checkpoint of the station's audit log has come yet")
    kept = parse_checkpoint(state.note).checkpoint
    told = f"{kept.size:,} entries witnessed, root {kept.root.hex()[:16]}"
    if state.refused_note:
        return Step("station log", Mark.WARN, f"{told}; an earlier checkpoint was refused, see {WITNESS_FILE}")
    return Step("station log", Mark.OK, told)


def _release(config: AgentConfig) -> Step:
    home = config.update.home
    running, committed = linked(home, "current"), linked(home, "committed")
    if running is None:
        return Step("release", Mark.OK, f"no releases in {home}: this installation is not updated by update files")
    if not RELEASE_KEY.exists():
        return Step("release", Mark.WARN, f"{running}; without {RELEASE_KEY} this unit accepts no updates")
    if running != committed:
        return Step("release", Mark.WARN, f"{running} is on trial, {committed} is committed")
    noted = read_state(home) or State()
    if noted.last_outcome in {"rolled_back", "refused"}:
        last = f"{noted.last_release} {noted.last_outcome.replace('_', ' ')}: {noted.last_reason}"
        return Step("release", Mark.WARN, f"{running}; {last}")
    return Step("release", Mark.OK, f"{running}, committed")


def _roster(config: AgentConfig) -> Step:
    key = config.shift.roster_key
    if not key.exists():
        return Step("roster", Mark.OK, f"no {key}: officers do not sign on to this unit")
    place = RosterFile(config.state_dir, key, config.unit)
    found = place.load()
    if found is None:
        advice = "offer one with `patrol-lpr roster offer`, or install one with `patrol-lpr roster install`"
        return Step("roster", Mark.WARN, f"no usable roster, so nobody can sign on: {advice}")
    told = f"version {found.version}, {len(found.roster.officers)} officers"
    expires_s = found.header.expires_s
    if expires_s is None:
        return Step("roster", Mark.OK, told)
    until = dt.datetime.fromtimestamp(expires_s, dt.UTC)
    if found.has_expired(RealClock().utc_ns() / NS_PER_S):
        return Step(
            "roster", Mark.WARN, f"{told}; expired on {until:%Y-%m-%d}, so nobody can sign on: offer a new one"
        )
    return Step("roster", Mark.OK, f"{told}, until {until:%Y-%m-%d}")


def _hotlists(config: AgentConfig) -> Step:
    found = build_lists(config, lambda: load_unit_key(config), lambda: None)
    if found is None:
        return Step("hot lists", Mark.OK, "hotlist.key is not set: reads are not matched with lists")
    if found.key is None:
        return Step("hot lists", Mark.OK, "locked until an officer signs on with a PIN")
    found.lists.unlock(found.key)
    if found.lists.faults:
        told = "; ".join(f"{fault.list_id}: {fault.reason}" for fault in found.lists.faults)
        return Step("hot lists", Mark.FAIL, f"{told}: install the list again")
    infos = found.lists.matcher.lists
    if not infos:
        advice = "offer one with `patrol-lpr hotlist offer`, or install one with `patrol-lpr hotlist install`"
        return Step("hot lists", Mark.WARN, f"no list in force: {advice}")
    now_us = RealClock().utc_ns() // 1000
    told = ", ".join(f"{info.list_id} version {info.version} ({info.entries:,} entries)" for info in infos)
    expired = [i.list_id for i in infos if i.expires_utc_us is not None and i.expires_utc_us <= now_us]
    if expired:
        return Step("hot lists", Mark.WARN, f"{told}; expired and not matched: {', '.join(expired)}")
    return Step("hot lists", Mark.OK, told)


def _outbox(config: AgentConfig) -> Step:
    path = config.state_dir / FILE_NAME
    if not path.exists():
        return Step("outbox", Mark.WARN, f"{path}: does not exist yet; created at first start")
    stats = _read_outbox(path)
    mark = read_mark(config.state_dir)
    if mark is not None and mark.seen:
        return Step("outbox", Mark.FAIL, f"damage was found ({mark.why}): {_SALVAGE_HINT}")
    detail = f"{stats.reads} reads pending, {stats.receipted} of {stats.appended} receipted"
    wrong = []
    if stats.evicted_reads:
        wrong.append(
            f"{stats.evicted_reads} reads were lost for lack of space: see disk, outbox.max_mib and the link"
        )
    if stats.quarantined:
        wrong.append(f"{stats.quarantined} quarantined: see `patrol-lpr outbox list --quarantined`")
    if aside := sorted(config.state_dir.glob(f"{ASIDE}*.db")):
        names = ", ".join(path.name for path in aside)
        wrong.append(f"was damaged; readable records were salvaged; {names} can be inspected, then deleted")
    return Step("outbox", Mark.WARN if wrong else Mark.OK, "; ".join([detail, *wrong]))


def _read_outbox(path: Path) -> OutboxStats:
    """Read the next records to be sent, like the uplink; raises OutboxDamagedError if they are damaged."""
    reader = OutboxReader(path)
    try:
        for _ in range(MAX_UNREADABLE - 1):
            with suppress(OutboxDiskError):
                return _look(reader)
        return _look(reader)
    except OutboxDamagedError as error:
        raise OutboxDamagedError(f"{error}; {_SALVAGE_HINT}") from error
    finally:
        reader.close()


def _look(reader: OutboxReader) -> OutboxStats:
    reader.records(after_seq=0, limit=_LOOKED_AT)
    for priority in SENDING:
        for picture in reader.pictures(priority, after_pic=0, limit=1):
            reader.jpeg(picture.pic)
    return reader.stats()


def _certificates(config: AgentConfig) -> Step:
    link = config.hw.link
    if link.kind != "mqtt" or link.tls is None:
        return Step("certificates", Mark.OK, "not needed: no broker, or one on this machine")
    days = days_left(link.tls, dt.datetime.fromtimestamp(RealClock().utc_ns() / NS_PER_S, dt.UTC))
    wrong = wrong_name(link.tls, config.unit) or warning(days)
    if wrong is not None:
        return Step("certificates", Mark.WARN, wrong)
    return Step("certificates", Mark.OK, f"match the unit's key and the fleet's authority, {days} days left")


def _board(config: AgentConfig) -> Step:
    vitals = _vitals(config)
    if vitals.undervoltage or vitals.throttled:
        return Step("board", Mark.WARN, "under-voltage or throttled: check supply and cooling")
    warm = "temperature unavailable" if vitals.temperature_c is None else f"{vitals.temperature_c:.0f} °C"
    return Step("board", Mark.OK, f"{warm}, load {vitals.load_1min:.1f}")


def _disk(config: AgentConfig) -> Step:
    vitals = _vitals(config)
    free_mib = vitals.disk_free_bytes // _MEBI
    if free_mib < config.outbox.min_free_mib:
        return Step(
            "disk",
            Mark.FAIL,
            f"{free_mib} MiB free, {config.outbox.min_free_mib} needed: reads are still stored, pictures give "
            "way; find out what fills it (`du -xh / | sort -h | tail`), or use a larger card",
        )
    return Step("disk", Mark.OK, f"{free_mib} MiB free for {config.state_dir}")


def existing_folder(folder: Path) -> Path:
    """Return the folder, or the next one above that exists: before the first start there is no state folder.

    Raises PermissionError.
    """
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _vitals(config: AgentConfig) -> Vitals:
    board = config.hw.board
    if isinstance(board, LinuxBoardConfig):
        board = board.model_copy(update={"state_dir": existing_folder(config.state_dir)})
    return open_board(board, RealClock()).vitals()


def _clock(path: Path, _: AgentConfig) -> Step:
    """A board without a battery clock starts months in the past: its own files are then newer than its clock."""
    clock = RealClock()
    written_ns, now_ns = path.stat().st_mtime_ns, clock.utc_ns()
    if now_ns < written_ns:
        return Step(
            "clock",
            Mark.FAIL,
            f"the clock says {_day(now_ns)}, but {path.name} was written on {_day(written_ns)}: no certificate"
            " is valid yet; connect network or receiver, or set it with `date`",
        )
    if clock.synchronised():
        return Step("clock", Mark.OK, "the system clock is synchronised")
    return Step("clock", Mark.WARN, "the system clock is not synchronised; time will come from the receiver")


def _day(utc_ns: int) -> str:
    return dt.datetime.fromtimestamp(utc_ns / NS_PER_S, dt.UTC).strftime("%Y-%m-%d")


def _cameras(config: AgentConfig) -> Step:
    """All of them, even if the first is missing."""
    seen, wrong = [], []
    for own in config.hw.cameras:
        try:
            (camera,) = open_cameras((own,), RealClock())
        except HwError as error:
            wrong.append(str(error))
            continue
        try:
            height_px, width_px = camera.next_frame(timeout_s=_FRAME_TIMEOUT_S).rgb.shape[:2]
            seen.append(f"{own.name} {width_px}x{height_px}")
        except HwError as error:
            wrong.append(str(error))
        finally:
            camera.close()
    if wrong:
        hint = "check cable and power; the agent must not be running (`systemctl stop patrol-lpr`)"
        return Step("cameras", Mark.FAIL, f"{'; '.join(wrong)}: {hint}")
    return Step("cameras", Mark.OK, ", ".join(seen))


def _gnss(config: AgentConfig) -> Step:
    if config.hw.gnss.kind == "none":
        return Step("receiver", Mark.WARN, "none configured: reads have no position")
    clock = RealClock()
    gnss = open_gnss(config.hw.gnss, clock)
    try:
        heard = listen(gnss, clock, max_s=_GNSS_PATIENCE_S, after_sentence_s=_GNSS_LISTEN_S)
    finally:
        gnss.close()
    if heard.fix is not None:
        kind = "" if config.hw.gnss.kind == "fixed" else f"{amount(heard.nmea)}, fix: "
        return Step("receiver", Mark.OK, f"{kind}{described(heard.fix)}")
    if sentences(heard.nmea):
        return Step("receiver", Mark.WARN, f"{amount(heard.nmea)}, no fix: {why_no_fix(heard.nmea)}")
    what = (
        "silence"
        if heard.first_line_s is None
        else f"{heard.nmea.counts.lines} lines, none of them a valid sentence"
    )
    hint = "check wiring, port and baud rate" if heard.first_line_s is None else why_no_fix(heard.nmea)
    return Step("receiver", Mark.FAIL, f"{what} in {_GNSS_PATIENCE_S:.0f} s: {hint}")


def _panel(config: AgentConfig) -> Step:
    if config.hw.panel.kind == "none":
        return Step("panel", Mark.WARN, "none configured")
    panel = open_panel(config.hw.panel, RealClock())
    ignition = panel.ignition_on
    panel.close()
    return Step("panel", Mark.OK, f"ignition {'on' if ignition else 'off'}")


def _speaker(config: AgentConfig) -> Step:
    speaker = open_speaker(config.hw.speaker)
    if speaker is None:
        return Step("speaker", Mark.OK, "none configured: hits sound and are not spoken")
    speaker.close()
    return Step("speaker", Mark.OK, "hear it with `patrol-lpr doctor --lamps`")


def _link(config: AgentConfig) -> Step:
    if config.hw.link.kind == "none":
        return Step("broker", Mark.WARN, "none configured: reads stay in the outbox")
    events: queue.SimpleQueue[LinkEvent] = queue.SimpleQueue()
    link = open_link(config.hw.link)
    try:
        # As the agent: a broker may refuse the will, or a topic, and take the connection without it.
        link.start(events.put, subscribe=heard_by_unit(config.unit), will=_will(config.unit))
        event = _first_answer(events)
        if isinstance(event, LinkUp):
            return _delivery(config, link, events, event)
    except queue.Empty:
        return Step("broker", Mark.FAIL, f"no connection within {_LINK_TIMEOUT_S:g} s: {_LINK_HINT}")
    finally:
        link.close()
    reason = str(event)
    if isinstance(event, LinkDown):
        reason = why_undelivered(Signs(is_up=False, down_reason=event.reason, was_fault=event.is_fault))
    return Step("broker", Mark.FAIL, f"{reason}: {_LINK_HINT}")


def _will(unit: str) -> Will:
    status = Status(
        unit=unit,
        boot_id=RealClock().boot_id,
        state=UnitState.OFFLINE,
        reason="doctor ended",
        software=software(),
        models=(),
    )
    return Will(build(unit, Channel.STATUS), encode(status))


def _first_answer(events: queue.SimpleQueue[LinkEvent]) -> LinkEvent:
    """Return the first event, or the second where another version of MQTT is tried; raises queue.Empty."""
    event = events.get(timeout=_LINK_TIMEOUT_S)
    if isinstance(event, LinkDown) and event.reason.endswith(FALLBACK):
        event = events.get(timeout=_LINK_TIMEOUT_S)
    return event


def _delivery(config: AgentConfig, link: Link, events: queue.SimpleQueue[LinkEvent], up: LinkUp) -> Step:
    """Send a record that waits and see whether it is receipted; it stays in the outbox, the agent sends it again."""
    connected = f"connected, window {up.max_in_flight}" + (f", {up.note}" if up.note else "")
    path = config.state_dir / FILE_NAME
    if not path.exists():
        return Step("broker", Mark.OK, f"{connected}; nothing waits, so that delivery was not tried")
    clock = RealClock()
    with closing(OutboxReader(path)) as reader:
        if not reader.priorities():
            return Step("broker", Mark.OK, f"{connected}; nothing waits, so that delivery was not tried")
        uplink = Uplink(
            link,
            reader,
            lambda _: None,
            unit=config.unit,
            boot_id=clock.boot_id,
            config=UplinkConfig(window=1, unreceipted=1, send_pictures=False),
            verifier=load_receipt_keys(config),
        )
        uplink.handle(up, clock.mono_ns())
        until_ns = clock.mono_ns() + round(_RECEIPT_TIMEOUT_S * NS_PER_S)
        while clock.mono_ns() < until_ns and not uplink.counts.receipts:
            uplink.pump(clock.mono_ns())
            with suppress(queue.Empty):
                uplink.handle(events.get(timeout=0.1), clock.mono_ns())
        if uplink.counts.receipts:
            return Step("broker", Mark.OK, f"{connected}; a record was sent and receipted")
        cause = uplink.delivery.cause
    return Step("broker", Mark.FAIL, f"{connected}, but nothing was receipted, because {cause}")
