"""One record type, declared here alone, goes from a unit without a camera to the station's export and to verify.

Nothing else knows the type: outbox, seal, real broker, station, search, export, series and purge take it from the
registry.
"""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Annotated, ClassVar

import pytest
from typer.testing import CliRunner

from agent.buffer import Limits, NewRecord, OutboxReader, open_outbox
from agent.runtime.queues import ReadQueue, UplinkQueue
from agent.runtime.supervisor import Supervisor
from agent.runtime.uplink import uplink_loop
from agent.sync.encoder import RecordEncoder
from agent.sync.uplink import Uplink
from cli.main import app
from hw.clock import RealClock
from hw.config import MqttLinkConfig
from hw.link_mqtt import LinkMqtt
from protocol.seal import Opener, ReceiptVerifier, Sealer, SigningKey, StationKey, load_keyring
from protocol.seal.series import examine, read_series
from protocol.wire.codec import U63, Text64, key
from protocol.wire.enums import TimeSource
from protocol.wire.registry import Column, Priority, Projection, RecordBody, RecordTime, RecordType
from protocol.wire.released import released_registry
from protocol.wire.topics import heard_by_unit
from station.asker import Asker
from station.commands import Commands
from station.ingest import Ingest
from station.query import Query
from station.service import BrokerAddress, StationService
from station.store import open_store
from tests.builders import BOOT, make_read
from tests.mosquitto import Mosquitto

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.wire.registry import Registry

pytestmark = pytest.mark.integration

UNIT = "unit-07"
NOW_US = 1_790_000_000_000_000
WAIT_S = 60.0


class Refuelling(RecordBody):
    """A type that no release has: fuel taken on, at some place."""

    SCHEMA: ClassVar[str] = "fuel/1"

    mono_us: Annotated[U63, key("mono")]
    utc_us: Annotated[U63, key("t")]
    place: Annotated[Text64, key("at")]
    litres_e2: Annotated[U63, key("l")]


RECORD_TYPE = RecordType(
    schema="fuel/1",
    model=Refuelling,
    priority=Priority.URGENT,
    evictable=False,
    retention=lambda fuel: "logistics" if fuel.litres_e2 else None,
    when=lambda fuel: RecordTime(fuel.mono_us, fuel.utc_us, TimeSource.GNSS, 100),
    projection=Projection("refuellings", (Column("place", str, lambda fuel: fuel.place, indexed=True),)),
    export=lambda fuel: {"place": fuel.place, "litres": fuel.litres_e2 / 100},
)
FUEL = Refuelling(mono_us=5_000_000, utc_us=NOW_US - 1_000_000, place="pump 4", litres_e2=4_250)


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    folder = tmp_path / "keys"
    folder.mkdir()
    StationKey.generate().save(folder / "station.key")
    SigningKey.generate().save(folder / "receipt.key")
    unit = SigningKey.generate()
    unit.save(tmp_path / "unit.key")
    (folder / f"unit-{UNIT}.pub").write_bytes(unit.public.pem())
    return folder


def send_all(folder: Path, keys: Path, registry: Registry, port: int, records: list[object]) -> None:
    """Append on the unit, and let its uplink run until the station has receipted everything."""
    ring = load_keyring(keys)
    (station_key,) = ring.stations.values()
    assert ring.receipts is not None
    sealer = Sealer(UNIT, SigningKey.load(folder / "unit.key"), station_key)
    encoder = RecordEncoder(UNIT, "Example Sheriff", BOOT, registry, sealer)
    outbox, _ = open_outbox(folder / "unit", encoder, limits=Limits(min_free_bytes=0, ballast_bytes=0))
    outbox.append(records)
    reader = OutboxReader(outbox.path)
    uplink_queue, commands, clock = UplinkQueue(), ReadQueue(), RealClock()
    link = LinkMqtt(MqttLinkConfig(kind="mqtt", host="127.0.0.1", port=port, unit=UNIT))
    verifier = ReceiptVerifier.of([ring.receipts.public])
    uplink = Uplink(link, reader, commands.add_command, unit=UNIT, boot_id=BOOT, verifier=verifier)
    supervisor = Supervisor(clock)
    supervisor.spawn("uplink", uplink_loop(uplink, uplink_queue, clock, on_link=lambda *_: None))
    link.start(uplink_queue.event, subscribe=heard_by_unit(UNIT), will=None)
    until_ns = clock.mono_ns() + round(WAIT_S * 1e9)
    while outbox.stats().used_bytes and clock.mono_ns() < until_ns:
        if found := commands.take():
            outbox.apply(found)
    left = outbox.stats()
    supervisor.stop("uplink", timeout_s=WAIT_S)
    link.close()
    reader.close()
    outbox.close()
    assert left.used_bytes == 0, left


class Station:
    """The real service on its own thread, with a store in a folder."""

    def __init__(self, folder: Path, keys: Path, port: int, registry: Registry) -> None:
        self.opener = Opener(load_keyring(keys))
        self.store = open_store(folder / "station.db", registry=registry, open_picture=self.opener.picture)
        ingest = Ingest(self.store, "s", lambda: NOW_US, opener=self.opener)
        self.service = StationService(BrokerAddress("127.0.0.1", port), ingest, station="s")
        self.query = Query(self.store, Asker("tester"), lambda: NOW_US)
        self.service.start()
        assert self.service.connected.wait(WAIT_S)

    def close(self) -> None:
        self.service.close()
        self.store.close()


def test_a_type_declared_in_one_file_goes_from_the_unit_to_export_and_verify(tmp_path, keys):
    """Outbox, seal, MQTT, station, search, export, series: none of them names the type."""
    registry = released_registry().with_type(RECORD_TYPE)
    broker = Mosquitto(tmp_path).start()
    try:
        station = Station(tmp_path, keys, broker.port, registry)
        send_all(tmp_path, keys, registry, broker.port, [make_read(1, pictures=()), NewRecord(FUEL)])
        (found,) = station.query.records("fuel/1")
        assert (found.record.body, found.record.envelope.unit) == (FUEL, UNIT)
        csv = io.StringIO()
        assert station.query.export_csv(csv, schema="fuel/1") == 1
        assert "pump 4" in csv.getvalue()
        assert "42.5" in csv.getvalue()
        prove(station, keys, tmp_path / "series.lpr", registry, unknown=0)
        gone = Commands(station.store, Asker("tester"), lambda: NOW_US + 10**12).purge(1, retention="logistics")
        assert gone.records == 1
        assert station.query.records("fuel/1") == []
        prove(station, keys, tmp_path / "purged.lpr", registry, unknown=0, deleted=1)
        station.close()
    finally:
        broker.kill()


def test_older_station_keeps_unknown_records_and_decodes_them_after_its_update(tmp_path, keys):
    """Stored, receipted, exported and proven as they are; projected when the station knows the type."""
    newer, older = released_registry().with_type(RECORD_TYPE), released_registry()
    broker = Mosquitto(tmp_path).start()
    try:
        station = Station(tmp_path, keys, broker.port, older)
        send_all(tmp_path, keys, newer, broker.port, [NewRecord(FUEL), make_read(1, pictures=())])
        (found,) = station.query.records("fuel/1")
        assert found.record.body is None
        prove(station, keys, tmp_path / "series.lpr", older, unknown=1)
        verified = CliRunner().invoke(app, ["verify", str(tmp_path / "series.lpr")])
        assert verified.exit_code == 0, verified.output
        station.close()
        station = Station(tmp_path, keys, broker.port, newer)
        (found,) = station.query.records("fuel/1")
        assert found.record.body == FUEL
        csv = io.StringIO()
        station.query.export_csv(csv, schema="fuel/1")
        assert "pump 4" in csv.getvalue()
        prove(station, keys, tmp_path / "again.lpr", newer, unknown=0)
        station.close()
    finally:
        broker.kill()


def prove(station: Station, keys: Path, path: Path, registry: Registry, *, unknown: int, deleted: int = 0) -> None:
    """Export the signed series and check that it is complete, and that every entry of the export is in the trail."""
    ring = load_keyring(keys)
    with path.open("wb") as out:
        count = station.query.export_evidence(out, ring)
    with path.open("rb") as file:
        _, proofs = read_series(file)
        (unit,) = examine(proofs, {UNIT: ring.units[UNIT].values()}, registry)
    assert (unit.records, unit.unknown, unit.deleted) == (count, unknown, deleted)
    assert unit.is_right, json.dumps([unit.missing, unit.changed, unit.broken])
    assert "export evidence" in {row.what for row in station.query.audit_trail()}
