"""Every parser that faces strangers, fuzzed with coverage (atheris): `python -m tests.fuzz --minutes 10`.

A target takes bytes and may raise only the errors its module promises; anything else ends the run and leaves the input
in the findings folder.  Seeds come from the goldens and the shipped files; what was ever found lies in
`tests/fuzz_corpus/TARGET/` and is played again by the fast tests.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import logging
import queue
import random
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING

import numpy as np
import structlog
from rich.console import Console
from rich.table import Table

from agent.errors import BundleError, ConfigError, DriveError
from agent.geotag.nmea import NmeaConfig, NmeaState
from agent.hits.records import Hit, HitState
from agent.hits.saved import (
    SavedHitError,
    dump_hit,
    dump_pictures,
    dump_watched,
    load_hit,
    load_pictures,
    load_watched,
)
from agent.hits.watch import Watched
from agent.recognise.bundle import load_active, load_bundle
from agent.runtime.commands import Commands
from agent.runtime.config import load_config
from agent.runtime.hit_verbs import HitVerbs
from agent.shift.errors import ShiftError
from agent.shift.state import DutyState, dump_state, load_state
from agent.sync.uplink import Uplink
from agent.witness import WitnessState, decode_state
from hw.backoff import Backoff
from hw.config import MqttLinkConfig
from hw.drive_format import DriveFormatError
from hw.drive_load import load_drive
from hw.link_mqtt import LinkMqtt
from hw.ports import LinkDown, NmeaLine, Received
from protocol.errors import (
    CheckpointError,
    DocumentError,
    EntryError,
    HotlistError,
    KeyFileError,
    KeyUnknownError,
    PolicyError,
    RosterError,
    SignedFileError,
    TokenError,
    UpdateError,
    WireError,
)
from protocol.hotlist.columns import decode_column
from protocol.hotlist.entry import Entry, decode_block, decode_entry, encode_block, encode_entry
from protocol.hotlist.manifest import parse_manifest as parse_list_manifest
from protocol.hotlist.package import read_head, verify_package
from protocol.merkle.checkpoint import cosign, parse_checkpoint, sign_checkpoint
from protocol.merkle.documents import HoldRelease, HoldStatement, PurgeCertificate, parse_document
from protocol.merkle.entry import LogEntry
from protocol.merkle.entry import decode_entry as decode_log_entry
from protocol.merkle.entry import encode_entry as encode_log_entry
from protocol.merkle.examine import examine_log
from protocol.merkle.export import (
    LogDocument,
    LogHeader,
    LogNote,
    LogPart,
    LogProof,
    LogRange,
    LogSignature,
    read_log,
    write_log,
)
from protocol.merkle.tree import Frontier, leaf_hash
from protocol.plate_formats import FORMATS
from protocol.policy.envelope import open_pack, sign_pack
from protocol.policy.pack import parse_pack, strict_pack
from protocol.roster.envelope import roster_header, sign_roster, verify_roster
from protocol.roster.roster import parse_roster
from protocol.roster.token import Token, sign_token, verify_token
from protocol.seal import KeyRing, Opener, ReceiptVerifier, Sealer, SigningKey, StationKey, VerifyKey, sign_answer
from protocol.seal.envelope import decode_sealed
from protocol.seal.evidence import START, decode_signed, sign
from protocol.seal.series import Proof, examine, make_header, read_series, write_series
from protocol.update.envelope import verify_update, write_update
from protocol.update.manifest import FileEntry, Manifest, Part, parse_manifest
from protocol.wire.codec import decode
from protocol.wire.control.chunk import PictureChunk
from protocol.wire.control.transfer import ChunkRequest, FileOffer, FilePart, UpdateReport
from protocol.wire.control.unit_state import Health, Status
from protocol.wire.record import decode_record
from protocol.wire.released import released_registry
from provision.card import Card, load_card
from provision.errors import ProvisionError
from station import service as station_service
from station.ingest import Ingest
from station.lists.behaviour import load_behaviour
from station.lists.budget import Budget
from station.lists.importer import Importer
from station.lists.plan import Plan
from station.lists.report import Report
from station.lists.space import build_space
from station.store import open_store, sqlite_file
from tests.builders import BOOT, make_picture, make_plate, make_read_record
from tests.drive_builder import write_drive
from tests.duty_builder import make_roster
from tests.fake_broker import BODIES, PATIENCE_S, Broker, Peer, broken_packet, packet, text
from tests.hit_rig import OneOfficer, make_hit_service
from tests.hotlist_builder import make_package
from tests.listed import make_match
from tests.nmea_lines import epoch_lines
from tests.station_template import StationTemplate

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parent.parent
FOUND = Path(__file__).parent / "fuzz_corpus"
SLICE_S = 60
OWN, STATION = SigningKey.generate(), StationKey.generate()
RING = KeyRing({STATION.id: STATION}).with_unit("unit-07", OWN.public)


def _goldens() -> list[bytes]:
    return [_golden(path.stem) for path in sorted((ROOT / "tests/golden/wire").glob("*.hex"))]


def _golden(name: str) -> bytes:
    return bytes.fromhex((ROOT / f"tests/golden/wire/{name}.hex").read_text())


def _only(allowed: tuple[type[Exception], ...], call: Callable[[bytes], object]) -> Callable[[bytes], None]:
    def target(data: bytes) -> None:
        try:
            call(data)
        except allowed:
            return

    return target


def nmea() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Sentences, however broken, leave a state that still takes good ones."""

    def target(data: bytes) -> None:
        state = NmeaState(NmeaConfig())
        for number, line in enumerate(data.decode("latin-1").split("\n")):
            state.feed(NmeaLine(number * 10_000_000, line))

    good = "\n".join(line.text for s in range(3) for line in epoch_lines(s)).encode()
    return target, [good, good.replace(b",", b",,"), b"$GNRMC,*00\n" + good]


def records() -> tuple[Callable[[bytes], None], list[bytes]]:
    """What comes to a station."""

    registry = released_registry()

    def target(data: bytes) -> None:
        _only((WireError,), lambda payload: decode_record(payload, registry))(data)
        for model in (PictureChunk, Health, Status):
            _only((WireError,), lambda payload, model=model: decode(payload, model))(data)
        _only((WireError,), lambda payload: decode(payload, ChunkRequest, UpdateReport))(data)

    return target, _goldens()


def receipts() -> tuple[Callable[[bytes], None], list[bytes]]:
    """What comes to a unit: receipts, nacks, picture statuses, signed and not."""

    class Nothing:
        def changes(self) -> int:
            return 0

        def given_up(self) -> int:
            return 0

        def priorities(self) -> list:
            return []

        def pictures(self, priority: object, *, after_pic: int, limit: int) -> list:
            return []

        def publish(self, *_: object, **__: object) -> None:
            return

        def confirm(self) -> None:
            return

    believed = ReceiptVerifier.of([OWN.public])

    def target(data: bytes) -> None:
        _only((WireError,), believed.check)(data)
        for verifier in (None, believed):
            uplink = Uplink(Nothing(), Nothing(), lambda _: None, unit="unit-07", boot_id=BOOT, verifier=verifier)
            uplink.handle(Received("lpr/1/unit-07/dn/receipt", data), 0)

    return target, [*_goldens(), sign_answer(OWN, _golden("receipt")), sign_answer(OWN, _golden("nack"))]


def commands() -> tuple[Callable[[bytes], None], list[bytes]]:
    """What comes on other topics to a unit that takes no updates: nothing there does anything."""

    class Silent:
        def publish(self, *_: object, **__: object) -> None:
            raise AssertionError("a command made the unit speak")

    def target(data: bytes) -> None:
        topic, _, payload = data.partition(b"\n")
        heard: list[object] = []
        uplink = Uplink(Silent(), Silent(), heard.append, unit="unit-07", boot_id=BOOT)
        name = topic.decode("latin-1")
        for other in ("lpr/1/unit-07/dn/cmd", "x" if name == "lpr/1/unit-07/dn/receipt" else name):
            uplink.handle(Received(other, payload), 0)
        assert not heard
        assert uplink.counts.foreign == 2

    return target, [b"lpr/1/unit-08/dn/receipt\n" + golden for golden in _goldens()]


def updates() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Update files, and manifests that somebody with the key has signed."""
    data = b"[log]\nlevel = 'debug'\n"
    entry = FileEntry(
        part=Part.CONFIG, name="config.toml", size=len(data), sha256=hashlib.sha256(data).hexdigest()
    )
    made = Manifest(format=1, release=1, units=("*",), not_before_s=0, expires_s=1, files=(entry,))
    whole = io.BytesIO()
    write_update(whole, made, OWN, lambda _: io.BytesIO(data))

    def target(data: bytes) -> None:
        _only((UpdateError,), lambda file: verify_update(io.BytesIO(file), OWN.public))(data)
        _only((UpdateError,), parse_manifest)(data)

    return target, [whole.getvalue(), made.canonical()]


def hotlists() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Packages of hot lists, manifests that somebody with the key has signed, and their columns."""
    whole = make_package([Entry("1", "ABC123"), Entry("2", "AB?12*")], OWN)
    head = read_head(io.BytesIO(whole), [OWN.public])

    def target(data: bytes) -> None:
        _only((HotlistError,), lambda file: verify_package(io.BytesIO(file), [OWN.public]))(data)
        _only((HotlistError,), parse_list_manifest)(data)
        out = np.zeros(4, np.uint64)
        column = io.BytesIO(data)
        _only((HotlistError,), lambda file: decode_column(column.read, len(file), out, is_sorted=True))(data)
        _only((HotlistError,), decode_block)(data)
        _only((HotlistError,), lambda entry: decode_entry(entry, "x"))(data)

    return target, [whole, head.manifest.canonical(), encode_block([b"a"]), encode_entry(Entry("1", "ABC123"))]


def list_files() -> tuple[Callable[[bytes], None], list[bytes]]:
    """The files of lists' owners, of any form."""
    budget = Budget(build_space(FORMATS, {}), load_behaviour())
    about = {"id": "x", "name": "x", "owner": "x", "agencies": ["*"]}
    plans = [
        Plan.model_validate({"list": about, "columns": {"plate": 1}}),
        Plan.model_validate({"list": about, "file": {"format": "fixed"}, "columns": {"plate": [1, 8]}}),
    ]

    def one(data: bytes) -> None:
        for plan in plans:
            Importer(plan, budget, Report()).run(
                io.BytesIO(data), io.BytesIO(), as_of_utc_us=10**15, previous=None
            )

    rows = 'LIC,LIS,MIS\nABC123,CA,"a, b"\nXYZ-789,NV,\nAB?12*,TX,=1\n'
    return _only((HotlistError,), one), [
        rows.encode(),
        rows.encode("utf-16"),
        rows.replace(",", ";").encode("cp1252"),
    ]


def rosters() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Rosters that somebody with the key has signed, files that nobody has, tokens, and the state of shifts."""
    roster = make_roster()
    header = roster_header(roster, id="sheriff", version=1, as_of_s=0)
    token = Token(badge="4711", unit="unit-07", not_before_s=0, expires_s=60, nonce="0" * 32)

    def target(data: bytes) -> None:
        _only((SignedFileError, RosterError), lambda file: verify_roster(io.BytesIO(file), [OWN.public]))(data)
        _only((RosterError,), parse_roster)(data)
        text = data.decode("latin-1")
        _only((TokenError,), lambda _: verify_token(text, OWN.public, unit="unit-07", now_s=1))(data)
        _only((ShiftError,), load_state)(data)

    state = dump_state(DutyState())
    return target, [sign_roster(roster, header, OWN), roster.canonical(), sign_token(token, OWN).encode(), state]


def policies() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Signed policies, and their contents: of a person with the key, or of a stranger."""
    key = SigningKey.generate()
    pack = strict_pack()
    signed = sign_pack(pack, key, as_of_s=1_780_000_000)

    def target(data: bytes) -> None:
        for call in (lambda: open_pack(io.BytesIO(data), [key.public]), lambda: parse_pack(data)):
            with suppress(SignedFileError, PolicyError):
                call()

    return target, [signed, pack.canonical()]


def offers() -> tuple[Callable[[bytes], None], list[bytes]]:
    """What an uplink that fetches updates receives on the topics of updates."""

    def target(data: bytes) -> None:
        for model in (FileOffer, FilePart):
            _only((WireError,), lambda payload, model=model: decode(payload, model))(data)

    return target, _goldens()


def seals() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Sealed and signed records."""
    sealer, opener = Sealer("unit-07", OWN, STATION), Opener(RING)
    record = make_read_record().payload

    def target(data: bytes) -> None:
        _only((WireError, KeyUnknownError), lambda payload: opener.record(decode_sealed(payload)))(data)
        _only((WireError,), decode_signed)(data)
        _only((WireError, KeyUnknownError), opener.picture)(data)

    signed, _ = sign(OWN, "unit-07", 1, START, record=record, salt=bytes(16))
    return target, [sealer.record(1, bytes(16), record, b"")[0], signed, sealer.picture(bytes(32), b"jpeg")[1]]


def series() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Exported series that somebody sends to an auditor."""

    def target(data: bytes) -> None:
        _only((WireError,), lambda d: examine(read_series(io.BytesIO(d))[1], {"unit-07": [OWN.public]}))(data)

    out, prev, proofs = io.BytesIO(), START, []
    for seq in range(1, 4):
        record = make_read_record(seq, seq=seq).payload
        signed, prev = sign(OWN, "unit-07", seq, prev, record=record, salt=bytes(16))
        inner = decode_signed(signed)
        proofs.append(Proof(inner.evidence("unit-07", seq), inner.salt, inner.record))
    write_series(out, make_header("station", 1, [("unit-07", OWN.public.raw)]), proofs)
    return target, [out.getvalue()]


def audit_logs() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Exported audit logs, checkpoints and what a unit keeps of them, from strangers."""
    log = SigningKey.generate()
    frontier, entries = Frontier(), []
    for number in range(5):
        told = LogEntry(utc_us=number, who="clerk", what="search", filter="plates=A", count=1)
        entries.append(encode_log_entry(told))
        frontier.append(leaf_hash(entries[-1]))
    note = sign_checkpoint(log, 5, frontier.root())
    certificate = HoldRelease(number=1, utc_us=1, who="c", case_number="c", reason="r").encode()
    out = io.BytesIO()
    header = LogHeader(
        station="s", utc_us=1, size=5, public_key=log.public.raw, keys=(("unit-07", OWN.public.raw),)
    )
    line = cosign(OWN, "unit-07", parse_checkpoint(note).checkpoint, 1)
    rows = [
        LogNote(note=note.encode()),
        LogSignature(unit="unit-07", size=5, line=line.encode(), note=b""),
        LogDocument(kind="release", data=certificate),
        LogRange(purge=1, unit="unit-07", ranges=((1, 4),)),
        LogPart(first=0, entries=tuple(entries)),
        LogProof(number=0, entry=entries[0], size=5, proof=(bytes(32),)),
    ]
    write_log(out, header, rows)

    def target(data: bytes) -> None:
        _only((WireError,), lambda d: examine_log(*read_log(io.BytesIO(d))))(data)
        _only((CheckpointError,), lambda d: parse_checkpoint(d.decode("latin-1")))(data)
        _only((EntryError,), decode_log_entry)(data)
        for kind in (PurgeCertificate, HoldStatement, HoldRelease):
            _only((DocumentError,), lambda d, kind=kind: parse_document(d, kind))(data)
        decode_state(data)

    state = WitnessState(log.public.raw, note).encode()
    return target, [out.getvalue(), note.encode(), entries[0], certificate, state]


def station() -> tuple[Callable[[bytes], None], list[bytes]]:
    """The whole way into the station, topic included; each input finds an empty store."""

    def target(data: bytes) -> None:
        topic, _, payload = data.partition(b"\n")
        with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
            store = open_store(Path(folder) / "s.db")
            ingest = Ingest(store, "s", lambda: 1, opener=Opener(RING), sealed_only=False)
            ingest.handle(topic.decode("latin-1"), payload)
            ingest.handle(topic.decode("latin-1"), payload)
            store.close()

    names = (b"read", b"pic", b"health")
    seeds = [b"lpr/1/unit-07/up/" + name + b"\n" + golden for name in names for golden in _goldens()]
    return target, [*seeds, *(b"lpr/1/unit-07/st\n" + golden for golden in _goldens())]


_SUBSCRIBED, _UP = 1, 2


class _Played:
    """A broker that says the input and hangs up; then a sound one must be met again, or the target has broken."""

    def __init__(self, *, five: bool) -> None:
        self.broker = Broker(five=five)

    def say(self, data: bytes) -> None:
        """The first byte selects the stage: instead of CONNACK, instead of SUBACK, or once the client is up."""
        stage, data = (data[0] % 3, data[1:]) if data else (_UP, b"")
        peer = self._next(stage)
        with suppress(OSError):
            if stage == _SUBSCRIBED:
                peer.send(peer.connack())
            peer.send(data)
        peer.end()

    def _next(self, stage: int) -> Peer:
        """Take the next connection whose client has not hung up since; raises TimeoutError when nobody comes."""
        while True:
            try:
                return self.broker.welcome() if stage == _UP else self.broker.accept()
            except TimeoutError:
                raise
            except (OSError, EOFError):
                continue


class _UnitLink(_Played):
    """Every connection of a unit's link ends with a reason: none ends its thread, or leaves it waiting."""

    def __init__(self, *, five: bool) -> None:
        super().__init__(five=five)
        self._events: queue.SimpleQueue[object] = queue.SimpleQueue()
        config = MqttLinkConfig(
            kind="mqtt", host="127.0.0.1", port=self.broker.port, unit="unit-07", protocol="5" if five else "3.1.1"
        )
        self._link = LinkMqtt(config, backoff=Backoff(0, 0.001), brief_s=0)
        self._link.start(self._events.put, subscribe=("lpr/1/unit-07/dn/receipt",), will=None)

    def __call__(self, data: bytes) -> None:
        self.say(data)
        while not isinstance(event := self._events.get(timeout=PATIENCE_S), LinkDown):
            pass
        if not event.reason:
            raise AssertionError("a connection ended without a reason")

    def close(self) -> None:
        self._link.close()
        self.broker.__exit__()


class _StationLink(_Played):
    """The station's thread goes on whatever its broker sends."""

    def __init__(self) -> None:
        super().__init__(five=True)
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        self._poll_s, station_service._POLL_S = station_service._POLL_S, 0.002
        self._store = open_store(Path(tempfile.mkdtemp(dir="/dev/shm", prefix="fuzz-")) / "s.db")
        ingest = Ingest(self._store, "s", lambda: 1, opener=Opener(RING), sealed_only=False)
        address = station_service.BrokerAddress("127.0.0.1", self.broker.port)
        self._service = station_service.StationService(address, ingest, station="s", backoff=Backoff(0, 0.001))
        self._service.start()

    def __call__(self, data: bytes) -> None:
        self.say(data)
        if not self._service.is_alive:
            raise AssertionError("the station's thread has ended")

    def close(self) -> None:
        self._service.close()
        self._store.close()
        self.broker.__exit__()
        station_service._POLL_S = self._poll_s


def _link_seeds() -> list[bytes]:
    """Sound and unsound packets at each stage."""
    rng = random.Random("link")  # noqa: S311 - reproducible, not secret
    packets = [packet(head, body) for head, body in BODIES]
    streams = [*packets, b"".join(packets), *(broken_packet(rng) for _ in range(10))]
    return [bytes([stage]) + data for stage in range(3) for data in streams]


def link_unit() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Streams of packets to a unit's link, MQTT 5."""
    return _UnitLink(five=True), _link_seeds()


def link_unit_311() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Streams of packets to a unit's link, MQTT 3.1.1."""
    return _UnitLink(five=False), _link_seeds()


def link_station() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Streams of packets to the station, MQTT 5."""
    head = text(b"lpr/1/unit-07/up/read") + b"\0\7\0"
    return _StationLink(), [*_link_seeds(), *(bytes([_UP]) + packet(0x32, head + golden) for golden in _goldens())]


def _file_target(
    name: str,
    prepare: Callable[[Path], Path],
    call: Callable[[Path], object],
    allowed: tuple[type[Exception], ...],
) -> Callable[[bytes], None]:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="fuzz-"))
    root = prepare(folder)

    def target(data: bytes) -> None:
        (root / name).write_bytes(data)
        _only(allowed, lambda _: call(root))(data)

    return target


def configuration() -> tuple[Callable[[bytes], None], list[bytes]]:
    """A configuration file."""
    example = subprocess.run(
        [sys.executable, "-m", "cli", "config", "example"], capture_output=True, check=True, cwd=ROOT
    ).stdout
    target = _file_target(
        "c.toml", lambda folder: folder, lambda root: load_config(root / "c.toml"), (ConfigError,)
    )
    return target, [example, b'unit = "u"\nagency = "a"\n[hw]\ncameras = [{ kind = "sim" }]\n']


def bundle() -> tuple[Callable[[bytes], None], list[bytes]]:
    """The contract of a model."""
    shipped = load_active(ROOT / "models")[1].folder

    def prepare(folder: Path) -> Path:
        (folder / "model.tflite").write_bytes((shipped / "model.tflite").read_bytes())
        return folder

    target = _file_target("bundle.toml", prepare, lambda root: load_bundle(root, kind="ocr"), (BundleError,))
    return target, [(shipped / "bundle.toml").read_bytes()]


def card() -> tuple[Callable[[bytes], None], list[bytes]]:
    """The card on a unit's boot partition, which anybody with a reader can change."""
    seed = Card(
        unit="unit-07", agency="Example Sheriff", enrol_host="enrol.example.org", enrol_port=8443,
        broker_host="broker.example.org", token="0" * 40, ca_pem="PEM", station_pem=STATION.pem().decode(),
        receipt_pem=OWN.public.pem().decode(),
    ).model_dump_json().encode()  # fmt: skip

    def call(root: Path) -> None:
        made = load_card(root / "card.json")
        (root / "receipt.pub").write_bytes(made.receipt_pem.encode())
        VerifyKey.load_all(root / "receipt.pub")

    return _file_target("card.json", lambda folder: folder, call, (ProvisionError, KeyFileError)), [seed]


def _drive(name: str) -> tuple[Callable[[bytes], None], list[bytes]]:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm", prefix="fuzz-"))
    seed = (write_drive(folder / "seed", seconds=1) / name).read_bytes()
    target = _file_target(
        name, lambda root: write_drive(root / "drive", seconds=1), load_drive, (DriveError, DriveFormatError)
    )
    return target, [seed]


def drive_header() -> tuple[Callable[[bytes], None], list[bytes]]:
    """drive.toml."""
    return _drive("drive.toml")


def drive_script() -> tuple[Callable[[bytes], None], list[bytes]]:
    """script.toml."""
    return _drive("script.toml")


def drive_tables() -> tuple[Callable[[bytes], None], list[bytes]]:
    """frames.csv."""
    return _drive("frames.csv")


def drive_sentences() -> tuple[Callable[[bytes], None], list[bytes]]:
    """gnss.nmea."""
    return _drive("gnss.nmea")


def hit_files() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Files of hits that wait, after their decryption."""

    def call(data: bytes) -> None:
        for load in (load_hit, load_pictures, load_watched):
            with suppress(SavedHitError):
                load(data)

    hit = Hit(bytes(16), bytes(16), "front", "front", 5, make_plate(), 2, make_match(), pictures=(make_picture(),))
    watched = Watched("e-1", "7ABC123", "US-CA", "amber alert", "1234", 5, 10**15, bytes(16))
    return _only((), call), [dump_hit(hit, (b"one",)), dump_pictures(hit.pictures), dump_watched([watched])]


def hit_commands() -> tuple[Callable[[bytes], None], list[bytes]]:
    """Lines on the command socket that are about hits; every one gets an answer, and none confirms without a check."""
    service = make_hit_service()
    commands = Commands(OneOfficer())
    commands.add(HitVerbs(service).verbs())

    def call(data: bytes) -> None:
        answer = json.loads(commands.answer(data))
        assert set(answer) >= {"id", "ok"}
        assert all(hit.checks.all_equal for hit in service.open_hits if hit.state is HitState.CONFIRMED)

    checks = {"characters": True, "region": True, "vehicle": True}
    lines: list[dict[str, object]] = [
        {"verb": "acknowledge", "hit_id": "00" * 16},
        {"verb": "dispose", "hit_id": "00" * 16, "decision": "confirm", "checks": checks, "reference": "17"},
        {"verb": "outcome", "hit_id": "00" * 16, "code": "none"},
        {"verb": "watch_plate", "text": "7ABC?23", "region": "US-CA", "reason": "scene", "hours": 2},
        {"verb": "unwatch_plate", "entry_id": "e-1"},
    ]
    return _only((), call), [json.dumps({"id": 1, "session": "token", **line}).encode() for line in lines]


TARGETS = {
    made.__name__: made
    for made in (
        nmea, records, receipts, commands, updates, hotlists, list_files, rosters, policies, offers, seals, series,
        audit_logs,
        station, configuration, bundle, card, drive_header,
        drive_script, drive_tables, drive_sentences, link_unit, link_unit_311, link_station,
        hit_files, hit_commands,
    )
}  # fmt: skip


def _own_functions() -> list[FunctionType]:
    """Ours alone: instrumenting every library takes longer than the fuzzing."""
    found = {}
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in {"protocol", "agent", "hw", "station", "provision"}:
            holders = [module, *(value for value in vars(module).values() if isinstance(value, type))]
            for holder in holders:
                for value in vars(holder).values():
                    function = getattr(value, "__func__", getattr(value, "fget", value))
                    if isinstance(function, FunctionType) and function.__module__ == name:
                        found[id(function)] = function
    return list(found.values())


def _fuzz(name: str, seconds: int, seed: int, findings: Path, corpus: Path) -> None:
    import atheris  # noqa: PLC0415 - only the fuzzing process needs it, and it instruments what it sees

    target, seeds = TARGETS[name]()
    # Migrating a station's new file for every input would take longer than everything else.
    sqlite_file._migrate = StationTemplate().migrate
    # The first call imports modules; on a busy machine that took longer than an input may.
    target(b"")
    for function in _own_functions():
        atheris.instrument_func(function)
    for number, data in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(data)
    limits = [
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        "-max_len=8192",
        "-timeout=20",
        "-rss_limit_mb=2048",
    ]
    prefix = f"-artifact_prefix={findings}/{name}-"
    atheris.Setup([sys.argv[0], *limits, prefix, "-print_final_stats=1", str(corpus)], target)
    atheris.Fuzz()


def _fuzz_in_slices(name: str, seconds: float, seed: int, findings: Path) -> tuple[int, str]:
    """Return the number of runs, and the output of a slice that failed; empty if the target held.

    Instrumented functions lose some 40 kB a run in atheris (none without it): one process for all the time would meet
    the limit of memory, which is there for what an input makes us keep.
    """
    slices = max(1, round(seconds / SLICE_S))
    runs = 0
    with tempfile.TemporaryDirectory() as corpus:
        for number in range(slices):
            words = ["--only", name, "--seconds", str(round(seconds / slices)), "--corpus", corpus]
            done = subprocess.run(
                [
                    sys.executable, "-m", "tests.fuzz", *words,
                    "--seed", str(seed + 1000 * number), "--findings", str(findings),
                ],
                capture_output=True,
                text=True,
                check=False,
            )  # fmt: skip
            stats = [line for line in done.stderr.splitlines() if "number_of_executed_units" in line]
            runs += int(stats[0].split()[-1]) if stats else 0
            if done.returncode != 0 or not stats:
                return runs, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return runs, ""


def main() -> None:
    """Fuzz the targets one after the other; exit 1 when one of them breaks its promise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    parser.add_argument("targets", nargs="*", default=list(TARGETS))
    one = parser.add_argument_group("one slice of one target, in this process")
    one.add_argument("--only", choices=TARGETS)
    one.add_argument("--seconds", type=int)
    one.add_argument("--corpus", type=Path)
    options = parser.parse_args()
    options.findings.mkdir(exist_ok=True)
    if options.only:
        _fuzz(options.only, options.seconds, options.seed, options.findings, options.corpus)
        return
    table, broken = Table("target", "runs", "result"), False
    for name in options.targets:
        runs, output = _fuzz_in_slices(name, options.minutes * 60, options.seed, options.findings)
        broken |= bool(output)
        if output:
            (options.findings / f"{name}.log").write_text(output)
        table.add_row(name, f"{runs:,}", "[red]broken[/]" if output else "held")
        Console().print(f"{name}: {runs} runs, {'BROKEN' if output else 'held'}", highlight=False)
    Console().print(table)
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
