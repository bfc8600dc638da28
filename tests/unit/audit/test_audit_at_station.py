"""Audit entries and purge records of a sealed unit, at the station: searched, exported and verified."""

from __future__ import annotations

import io
from contextlib import closing

import pytest

from agent.audit import AuditDraft
from agent.buffer import OutboxReader
from agent.runtime.stages import build_policy_store, build_read_path
from cli.simulate import config_for, fresh_keys
from cli.verify import examine_file
from hw.drive_load import load_drive
from protocol.policy.envelope import sign_pack
from protocol.seal import load_keyring
from protocol.seal.keys import SigningKey
from protocol.wire.records.audit import Audit
from protocol.wire.records.purge import Purge
from station.asker import Asker
from station.ingest import Ingest
from station.query import Query
from station.store import open_store
from tests.builders import BOOT, UTC_NS, make_fix, make_track
from tests.drive_builder import write_drive
from tests.unit.policy.packs import make_pack

S = 1_000_000_000
KEY = SigningKey.generate()


@pytest.fixture
def unit(tmp_path):
    """Configuration of a sealed unit with a policy, and the station's keys."""
    drive = load_drive(write_drive(tmp_path / "drive", seconds=1))
    seal, opener = fresh_keys(tmp_path / "keys", drive.header.unit)
    (tmp_path / "policy.pub").write_bytes(KEY.public.pem())
    config = config_for(drive, tmp_path / "state", seal=seal, policy={"key": str(tmp_path / "policy.pub")})
    config.state_dir.mkdir()
    signed = tmp_path / "xx.lprpol"
    signed.write_bytes(sign_pack(make_pack(), KEY, as_of_s=1))
    build_policy_store(config).install(signed)
    return config, opener


def play(config) -> None:
    """Two look-ups and a read that expires after three minutes."""
    path = build_read_path(config, boot_id=BOOT, models=())
    committer = path.committer
    for second in range(1, 240):
        now = second * S
        path.timebase.feed_fix(make_fix(now, utc_ns=UTC_NS + now))
        if second in {5, 200}:
            committer.add_audit(AuditDraft("4711", "look_up", f"plate {second}", case_number="7", t_mono_ns=now))
        if second == 40:
            committer.add_track(make_track(t_mono_ns=now))
        committer.commit_ready(now)
    path.outbox.close()


@pytest.mark.slow
def test_audit_entries_and_purges_arrive_and_are_verified(unit, tmp_path):
    config, opener = unit
    play(config)
    store = open_store(tmp_path / "station.db", open_picture=opener.picture)
    ingest = Ingest(store, "station", lambda: UTC_NS // 1000, opener=opener)
    with closing(OutboxReader(config.state_dir / "outbox-3.db")) as reader:
        rows = reader.records(after_seq=0, limit=100)
    for row in rows:
        assert b"plate" not in row.payload, "sealed"
        ingest.handle(f"lpr/1/{config.unit}/up/read", row.payload)
    query = Query(store, Asker("test"), lambda: UTC_NS // 1000)
    entries = [stored.body for stored in query.records(Audit.SCHEMA)]
    assert [(entry.n, entry.obj, entry.case_number) for entry in entries] == [
        (1, "plate 5", "7"),
        (2, "plate 200", "7"),
    ]
    assert entries[1].prev == entries[0].digest()
    (purge,) = [stored.body for stored in query.records(Purge.SCHEMA)]
    assert (purge.policy, purge.records) == ("us-xx/3", (("read/1", 1),))
    assert "look_up" in exported(query)
    series = tmp_path / "series"
    with series.open("wb") as out:
        query.export_evidence(out, load_keyring(tmp_path / "keys"))
    (found,) = examine_file(series)
    store.close()
    assert found.is_right
    assert (found.audit_entries, found.reads) == (2, 0)


def exported(query) -> str:
    out = io.StringIO()
    query.export_csv(out, schema=Audit.SCHEMA)
    return out.getvalue()
