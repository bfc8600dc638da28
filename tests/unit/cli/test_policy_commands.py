"""``patrol-lpr policy``: from a text file to a policy in force on a unit, and why a record is kept."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from agent.buffer import Quarantined, open_outbox
from agent.buffer.retention import Limits
from agent.runtime.policy_files import load_hash_key
from agent.sync.encoder import RecordEncoder
from cli import keys
from cli.policy import app
from protocol.errors import KeyFileError, PolicyError, SignedFileError
from protocol.policy.pack import PolicyPack, pack_of_toml, strict_pack
from protocol.seal import Sealer, SigningKey, StationKey
from protocol.wire.released import released_registry
from station.ingest import Ingest
from station.store import open_store
from tests.builders import BOOT, UTC_NS, make_encoder, make_read, make_read_record
from tests.conftest import ROOT

EXAMPLES = sorted((ROOT / "docs" / "policies").glob("*.toml"))
VIRGINIA = ROOT / "docs" / "policies" / "us-va.toml"
END_US = UTC_NS // 1000 + 180_000_000


def run(*words, ok=True):
    done = CliRunner().invoke(app, [str(word) for word in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert (done.exit_code == 0) is ok, done.output
    return done.output


@pytest.fixture
def folder(tmp_path):
    keys.make_signer(tmp_path, "policy")
    return tmp_path


@pytest.fixture
def unit(folder):
    path = folder / "config.toml"
    path.write_text(
        f'unit = "unit-07"\nagency = "Example Sheriff"\nstate_dir = "{folder}/state"\n[[hw.cameras]]\nkind = "pi"\n'
        f'[seal]\nmode = "off"\n[policy]\nkey = "{folder}/policy.pub"\n'
    )
    (folder / "state").mkdir()
    return path


def signed(folder, *options, source=VIRGINIA):
    out = folder / "va.lprpol"
    run("sign", source, out, "--key", folder / "policy.key", "--owner", "Example Sheriff", *options)
    return out


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_and_says_where_its_figures_are_from(path):
    """A figure of a state's law has a source; whether it was seen in the text itself is said."""
    pack = pack_of_toml(path.read_text(encoding="utf-8"), path.name)
    assert pack.id == path.stem
    if pack.id.startswith("us-"):
        assert "retain.nonhit" in {source.figure for source in pack.sources}
    assert f"policy {pack.name} is valid" in run("check", path)


def test_strict_default_is_stricter_than_every_example():
    strict = strict_pack()
    assert strict.keep == "hits_only"
    assert strict.retain.hit.seconds <= min(
        pack_of_toml(path.read_text(encoding="utf-8"), path.name).retain.hit.seconds for path in EXAMPLES
    )


def test_figures_from_summaries_are_named_when_signing(folder):
    out = run(
        "sign",
        ROOT / "docs/policies/us-nh.toml",
        folder / "nh.lprpol",
        "--key",
        folder / "policy.key",
        "--owner",
        "X",
    )
    assert "from summaries of the law or policy: retain.nonhit" in out


def test_signed_policy_is_shown_with_its_sources(folder):
    text = run("inspect", signed(folder), "--key", folder / "policy.pub")
    assert "policy us-va/1 of Example Sheriff" in text
    assert "HB 2724 of 2025" in text
    told = json.loads(run("inspect", folder / "va.lprpol", "--key", folder / "policy.pub", "--json"))
    assert told["header"]["owner"] == "Example Sheriff"
    assert told["policy"]["retain"]["nonhit"] == {"minutes": None, "hours": None, "days": 21}


def test_policy_of_another_key_is_refused(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    keys.make_signer(other, "policy")
    with pytest.raises(SignedFileError, match="another agency"):
        run("inspect", signed(folder), "--key", other / "policy.pub")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"id = ", "not TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (b'id = "x"\ncolour = 1\n', "colour: unknown key"),
        (b"LPRSIG1\nxxxx", "this is a signed policy"),
    ],
)
def test_what_is_no_policy_is_refused(folder, content, words):
    path = folder / "wrong.toml"
    path.write_bytes(content)
    with pytest.raises(PolicyError, match=words):
        run("check", path)
    with pytest.raises(PolicyError, match="cannot be read"):
        run("check", folder / "none.toml")


def test_contradictory_policy_is_not_signed(folder):
    path = folder / "wrong.toml"
    path.write_text(VIRGINIA.read_text().replace('keep = "every_read"', 'keep = "hits_only"'))
    with pytest.raises(PolicyError, match=r"contradicts retain\.nonhit"):
        signed(folder, source=path)
    assert not (folder / "va.lprpol").exists()


def test_policy_is_installed_once(folder, unit):
    assert "policy us-va/1 is in force" in run("install", signed(folder), "--config", unit)
    with pytest.raises(SignedFileError, match="not above 1"):
        run("install", folder / "va.lprpol", "--config", unit)


def test_policy_is_offered_to_the_units_that_it_is_for(folder):
    db = folder / "station.db"
    open_store(db).close()
    path = signed(folder, "--unit", "unit-*")
    assert "policy us-va/1 offered to unit-07" in run(
        "offer", "unit-07", path, "--key", folder / "policy.pub", "--db", db
    )
    with pytest.raises(SignedFileError, match="this unit is van-1"):
        run("offer", "van-1", path, "--key", folder / "policy.pub", "--db", db)
    store = open_store(db)
    assert [row.filter for row in store.audit_trail() if row.what == "offer"] == [
        "unit=unit-07 kind=policy release=1"
    ]
    store.close()


def test_expired_policy_is_not_installed(folder, unit, monkeypatch):
    path = signed(folder, "--days", "1")
    monkeypatch.setattr("time.time", lambda: 4_000_000_000.0)
    with pytest.raises(SignedFileError, match="has expired"):
        run("install", path, "--config", unit)


@pytest.fixture
def outbox(folder):
    (folder / "state").mkdir(exist_ok=True)
    opened, _ = open_outbox(folder / "state", make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0))
    yield opened
    opened.close()


def kept(number, **other):
    read = make_read(number, policy="us-xx/3", expires_utc_us=END_US, **other)
    return replace(read, expires_utc_us=END_US)


def test_record_in_the_outbox_is_explained(folder, unit, outbox):
    read = kept(1)
    outbox.append([read])
    text = run("explain", read.read_id.hex(), "--config", unit)
    assert "is in the outbox: read/1, number 1" in text
    assert "kept as class nonhit under policy us-xx/3" in text
    assert "at most until 2026-05-28 20:29:40 UTC" in text
    assert "in force now: strict/1" in text
    assert "7ABC123" not in text
    told = json.loads(run("explain", read.read_id.hex(), "--config", unit, "--json"))
    assert (told["policy"], told["until_utc_us"], told["found"]) == ("us-xx/3", END_US, True)


def test_quarantined_record_is_explained(unit, outbox):
    read = kept(1)
    outbox.append([read])
    outbox.apply([Quarantined(1, "malformed")])
    assert "is in quarantine" in run("explain", read.read_id.hex(), "--config", unit)


def test_class_of_a_sealed_record_is_shown(tmp_path, unit):
    """The unit cannot open its own record; the outbox knows the class."""
    sealer = Sealer("unit-07", SigningKey.generate(), StationKey.generate())
    sealing = RecordEncoder("unit-07", "Example Sheriff", BOOT, released_registry(), sealer)
    opened, _ = open_outbox(tmp_path / "state", sealing, limits=Limits(min_free_bytes=0, ballast_bytes=0))
    opened.append([make_read(1)])
    opened.close()
    text = run("explain", make_read(1).read_id.hex(), "--config", unit)
    assert "kept as class nonhit; its policy is inside the sealed record" in text


def test_record_without_a_policy_is_explained(unit, outbox):
    outbox.append([make_read(1)])
    text = run("explain", make_read(1).read_id.hex(), "--config", unit)
    assert "no policy was in force" in text
    assert "no policy limits it" in text


def test_record_that_is_not_there_is_explained(unit, outbox):
    assert "purge records and tombstones" in run("explain", "ab" * 16, "--config", unit, ok=False)


def test_what_is_no_id_is_refused(unit):
    assert "32 hexadecimal digits" in run("explain", "xyz", "--config", unit, ok=False)


def test_record_at_the_station_is_explained(folder):
    db = folder / "station.db"
    store = open_store(db)
    record = make_read_record(1, policy="us-xx/3", expires_utc_us=END_US)
    Ingest(store, "station", lambda: 1).handle("lpr/1/unit-07/up/read", record.payload)
    store.close()
    text = run("explain", record.envelope.record_id.hex(), "--db", db)
    assert "under policy us-xx/3" in text
    assert "purge records" in run("explain", "ab" * 16, "--db", db, ok=False)


def test_key_for_hashes_is_made_once_and_private(folder):
    keys.make_hash(folder)
    path = folder / "plate-hash.key"
    assert len(load_hash_key(path)) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyFileError, match="already exists"):
        keys.make_hash(folder)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_hash_key(path)


@pytest.mark.parametrize(("text", "words"), [("zz", "not a key"), ("ab", "has 1 bytes")])
def test_wrong_key_for_hashes_is_refused(tmp_path, text, words):
    path = tmp_path / "plate-hash.key"
    path.write_text(text)
    with pytest.raises(KeyFileError, match=words):
        load_hash_key(path)
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_hash_key(tmp_path / "none")


DOCUMENTS = ("docs/privacy.md", "docs/compliance.md")


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_name_files_that_exist(name):
    """What is claimed is shown by the file that is named."""
    text = (ROOT / name).read_text(encoding="utf-8")
    named = re.findall(r"`((?:tests|docs|protocol|systemd|hw|agent)/[\w./-]+)`", text)
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_requirement_has_a_line():
    text = (ROOT / "docs/compliance.md").read_text(encoding="utf-8")
    found = re.findall(r"^\| ([PC]\d+) \|", text, flags=re.MULTILINE)
    assert set(found) == {f"P{n}" for n in range(1, 11)} | {f"C{n}" for n in range(1, 7)}


def test_commands_of_the_document_work(tmp_path, monkeypatch):
    text = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
    commands = re.search(r"```\n(.*?)```", text, flags=re.DOTALL)[1].splitlines()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    for line in commands:
        program, group, *words = shlex.split(line)
        assert program == "patrol-lpr"
        if group == "keys":
            assert keys.make_signer(tmp_path / words[1], "policy") == 0
        else:
            run(*words)


def test_every_key_of_a_policy_is_documented():
    text = (ROOT / "docs/privacy.md").read_text(encoding="utf-8")
    keys_of = set(PolicyPack.model_fields) - {"format", "id", "version", "title", "position_sigmas", "sources"}
    assert [name for name in keys_of if f"`{name}" not in text] == []
