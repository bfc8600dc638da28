"""The authority and the image builder refuse before anything is written."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import http.client
import json
import shutil
import ssl
import threading
import tomllib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from agent.runtime.config import load_config
from cli.provision import app
from protocol.errors import KeyFileError
from protocol.seal import SigningKey, StationKey, VerifyKey
from protocol.seal.keys import RECEIPT_PUBLIC
from provision import image
from provision.ca_store import CaStore
from provision.card import load_card
from provision.enrol import PATH, RENEW, server
from provision.errors import ProvisionError
from provision.first_boot import configuration
from provision.pki import (
    common_name,
    issue,
    load_authority,
    make_authority,
    make_request,
    serial_of,
    sign_request,
)
from tests.conftest import ROOT


@pytest.fixture
def authority(tmp_path):
    folder = tmp_path / "authority"
    make_authority(folder, "fleet")
    (tmp_path / "station.pub").write_bytes(StationKey.generate().pem())
    (tmp_path / RECEIPT_PUBLIC).write_bytes(SigningKey.generate().public.pem())
    return folder


def card(authority, unit, *more):
    return CliRunner().invoke(
        app,
        ["card", str(authority), unit, "--agency", "A", "--enrol-at", "e:1", "--broker", "b:1", "--station-key",
         str(authority.parent / "station.pub"), "--out", str(authority.parent / "card.json"), *more],
    )  # fmt: skip


@pytest.mark.parametrize(
    "name",
    ["station", "Station", "station-2", "station2", "stations", "ca", "authority", "server", "broker", "enrol"],
)
def test_no_unit_gets_a_name_with_rights(authority, name):
    made = card(authority, name)
    assert isinstance(made.exception, ProvisionError)
    assert "reserved" in str(made.exception)
    assert not (authority.parent / "card.json").exists()
    with pytest.raises(ProvisionError, match="reserved"):
        CaStore(authority).new_token(name, expires_s=2**40)


def enrolled_before_names_were_reserved(authority, unit):
    """The authority's row and the certificate (DER) that the unit shows."""
    now = dt.datetime(2026, 5, 12, tzinfo=dt.UTC)
    key = ec.generate_private_key(ec.SECP256R1())
    request = make_request(key, unit)
    store = CaStore(authority)
    pem = sign_request(load_authority(authority), request, unit, now=now)
    with store._open() as con:
        con.execute(
            "INSERT INTO certificates VALUES (?, ?, ?, ?, ?, NULL)",
            (f"{serial_of(pem):x}", unit, hashlib.sha256(request).digest(), pem, int(now.timestamp())),
        )
    shown = x509.load_pem_x509_certificate(pem).public_bytes(serialization.Encoding.DER)
    return store, shown, make_request(key, unit), now + dt.timedelta(days=300)


@pytest.mark.parametrize("name", ["server-7", "release-car", "admin", "station-2", "all", "ca"])
def test_a_unit_that_has_a_reserved_name_renews_and_gets_cards(authority, name):
    """It was enrolled before the name was reserved, and must not stop delivering when its certificate ends."""
    store, shown, request, now = enrolled_before_names_were_reserved(authority, name)
    fresh = store.renew(name, shown, request, now=now)
    assert common_name(fresh) == name
    assert card(authority, name, "--again").exit_code == 0


@pytest.mark.parametrize(
    ("name", "why"),
    [("unit-07", "there is a unit Unit-07"), ("UNIT-07", "there is a unit Unit-07"), ("-x", "option")],
)
def test_no_unit_gets_a_name_that_people_would_mistake(authority, name, why):
    enrolled_before_names_were_reserved(authority, "Unit-07")
    with pytest.raises(ProvisionError, match=why):
        CaStore(authority).new_token(name, expires_s=2**40)
    assert CaStore(authority).new_token("Unit-07", expires_s=2**40)


def test_a_unit_with_the_rights_of_a_station_is_not_renewed(authority):
    store, shown, request, now = enrolled_before_names_were_reserved(authority, "station")
    with pytest.raises(ProvisionError, match="rights of a station: use another id"):
        store.renew("station", shown, request, now=now)


@pytest.mark.slow
def test_no_server_gets_the_name_of_a_unit(authority, tmp_path):
    assert card(authority, "unit-07").exit_code == 0
    made = CliRunner().invoke(app, ["issue", str(authority), "unit-07", "--out", str(tmp_path / "out")])
    assert "a unit has this name" in str(made.exception)
    assert not (tmp_path / "out").exists()


def test_revoking_an_unknown_unit_is_refused(authority):
    before = (authority / "crl.pem").read_bytes() if (authority / "crl.pem").exists() else None
    made = CliRunner().invoke(app, ["revoke", str(authority), "nosuch"])
    assert "nosuch: no certificate and no card was ever issued for it" in str(made.exception)
    assert before == ((authority / "crl.pem").read_bytes() if (authority / "crl.pem").exists() else None)
    assert card(authority, "unit-07").exit_code == 0
    assert CliRunner().invoke(app, ["revoke", str(authority), "unit-07"]).exit_code == 0


HARDWARE = """
[[hw.cameras]]
kind = "device"
source = 0

[hw.panel]
kind = "gpio"
status_pin = 27

[sync]
window = 64
"""


def test_the_card_brings_the_units_hardware(authority, tmp_path):
    """What the first boot writes is a whole configuration with the card's tables and the fleet's link."""
    (tmp_path / "hardware.toml").write_text(HARDWARE)
    assert card(authority, "unit-07", "--config", str(tmp_path / "hardware.toml")).exit_code == 0
    path = tmp_path / "config.toml"
    path.write_text(configuration(load_card(tmp_path / "card.json"), tmp_path))
    config = load_config(path)
    assert (config.unit, config.hw.cameras[0].kind, config.hw.panel.status_pin) == ("unit-07", "device", 27)
    assert (config.hw.link.host, config.hw.link.tls.ca, config.sync.window) == ("b", tmp_path / "ca.pem", 64)
    assert config.seal.receipt_key == tmp_path / "receipt.pub"
    assert "gnss" not in tomllib.loads(path.read_text())["hw"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (HARDWARE.replace("source", "sauce"), "hw.cameras[0].sauce: unknown key"),
        (HARDWARE + 'unit = "x"', "sync.unit: unknown key"),
        ('unit = "x"\n' + HARDWARE, "unit: set by the card"),
        (HARDWARE + '[hw.link]\nkind = "none"', "without [hw.link]"),
        ("not toml", "cannot be used"),
        ('hw = {cameras = [{kind = "pi"}]}', "not inline"),
    ],
)
def test_a_card_with_a_wrong_configuration_is_not_written(authority, tmp_path, text, told):
    (tmp_path / "hardware.toml").write_text(text)
    made = card(authority, "unit-07", "--config", str(tmp_path / "hardware.toml"))
    assert isinstance(made.exception, ProvisionError)
    assert told in str(made.exception)
    assert not (tmp_path / "card.json").exists()


def test_put_card_on_a_missing_target_is_one_line(authority, tmp_path):
    assert card(authority, "unit-07").exit_code == 0
    made = CliRunner().invoke(app, ["put-card", str(tmp_path / "nosuch"), str(tmp_path / "card.json")])
    assert isinstance(made.exception, ProvisionError)


def disk(path):
    """A partition table with a FAT and a Linux partition."""
    sector = bytearray(512)
    for index, kind in enumerate((0x0C, 0x83)):
        start = 446 + 16 * index
        sector[start + 4] = kind
        sector[start + 8 : start + 16] = (8).to_bytes(4, "little") + (8).to_bytes(4, "little")
    sector[510:] = b"\x55\xaa"
    path.write_bytes(sector + bytes(16_384))
    return path


@pytest.mark.parametrize("what", ["space", "folder", "systemd", "mount", "full"])
def test_a_failed_image_leaves_nothing_behind(tmp_path, monkeypatch, what):
    base, wheels, out = disk(tmp_path / "base.img"), tmp_path / "wheels", tmp_path / "out" / "fleet.img"
    wheels.mkdir()
    (wheels / "patrol_lpr-1-py3-none-any.whl").touch()
    systemd = ROOT / "systemd"
    if what != "folder":
        out.parent.mkdir()
    if what == "space":
        monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 10, 0))
    if what == "systemd":
        systemd = tmp_path
    if what == "full":

        def copy(_, target):
            target.write_bytes(b"half")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(shutil, "copyfile", copy)

    def refused(*_):
        raise ProvisionError("mount: refused")

    monkeypatch.setattr(image, "_run", refused)
    monkeypatch.setattr(image, "_tool", lambda name: name)
    with pytest.raises(ProvisionError, match=r"^[^\n]+$"):
        image.build(base, out, systemd=systemd, wheels=wheels)
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


SMALL = ["00" * 32, "01" + "00" * 31, "ec" + "ff" * 30 + "7f", "ec" + "ff" * 31, "01" + "00" * 30 + "80"]


@pytest.mark.parametrize(
    "text",
    [*SMALL, "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
     "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"],
)  # fmt: skip
def test_keys_of_small_order_are_refused(text):
    with pytest.raises(KeyFileError, match="small order"):
        VerifyKey.from_raw(bytes.fromhex(text))


@pytest.fixture
def enrolling(authority, tmp_path):
    key, cert = issue(load_authority(authority), "localhost", hosts=["localhost"])
    (tmp_path / "e.key").write_bytes(key)
    (tmp_path / "e.pem").write_bytes(cert)
    made = server(CaStore(authority), "127.0.0.1", 0, cert=tmp_path / "e.pem", key=tmp_path / "e.key")
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield made.server_address[1]
    made.shutdown()
    made.server_close()


@pytest.mark.parametrize("path", [PATH, RENEW])
@pytest.mark.parametrize(
    "body",
    [
        b"[" * 16_000,
        b'{"a":' * 3_000,
        b"[]", b"5", b'"x"', b"null", b"{}", b"\xff\xfe",
        json.dumps({"unit": "unit-07", "token": "x", "request": [], "signing_key":
                    base64.b64encode(bytes(32)).decode()}).encode(),
    ],
)  # fmt: skip
def test_no_request_gets_a_traceback(enrolling, authority, path, body, capfd):
    context = ssl.create_default_context(cafile=str(authority / "ca.pem"))
    connection = http.client.HTTPSConnection("localhost", enrolling, context=context, timeout=10)
    connection.request("POST", path, body)
    answer = connection.getresponse()
    assert answer.status in {400, 403}
    assert "error" in json.loads(answer.read())
    connection.close()
    assert "Traceback" not in capfd.readouterr().err
