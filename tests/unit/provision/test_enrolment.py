"""From a card to a certificate: over real TLS, cut short at every step, with every wrong token."""

from __future__ import annotations

import datetime as dt
import json
import ssl
import threading
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from agent.runtime.config import load_config
from agent.runtime.stages import build_sealer
from cli.provision import app
from protocol.errors import WireError
from protocol.seal import SigningKey, StationKey, VerifyKey
from provision.ca_store import CaStore, EnrolmentRefusedError
from provision.card import Card, load_card
from provision.enrol import RENEW, EnrolAt, post, server
from provision.errors import ProvisionError
from provision.first_boot import clock_is_credible, enrol, find_card, utc_from_sentences
from provision.pki import (
    belongs,
    issue,
    load_authority,
    load_key,
    make_authority,
    make_request,
    new_key,
    renew_after,
    sign_request,
    write_private,
)
from provision.renew import ask_again, renew
from tests.nmea_lines import START, rmc, sentence

if TYPE_CHECKING:
    from pathlib import Path

NOW = dt.datetime.now(dt.UTC)
STEPS = (
    "trust", "key", "signing key", "request", "answer", "certificate", "configuration", "token shredded",
)  # fmt: skip


class PowerCutError(Exception):
    """The lights go out."""


@dataclass
class Fleet:
    """An authority that answers on a port of this machine."""

    folder: Path
    ca_store: CaStore
    port: int

    def card(self, unit: str = "unit-07", *, hours: float = 1) -> Path:
        expires = int((NOW + dt.timedelta(hours=hours)).timestamp())
        made = Card(
            unit=unit, agency="Example Sheriff", enrol_host="127.0.0.1", enrol_port=self.port,
            broker_host="mqtt.example.org",
            token=self.ca_store.new_token(unit, expires_s=expires), ca_pem=self.ca_store.ca_pem.decode(),
            station_pem=StationKey.generate().pem().decode(),
            receipt_pem=SigningKey.generate().public.pem().decode(),
        )  # fmt: skip
        path = self.folder / "boot" / "patrol-lpr" / "provision.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(made.model_dump_json())
        return path


@pytest.fixture
def fleet(tmp_path):
    authority = make_authority(tmp_path / "ca", "fleet")
    key, cert = issue(authority, "enrol", hosts=("127.0.0.1",))
    write_private(tmp_path / "enrol.key", key)
    (tmp_path / "enrol.pem").write_bytes(cert)
    ca_store = CaStore(tmp_path / "ca")
    made = server(ca_store, "127.0.0.1", 0, cert=tmp_path / "enrol.pem", key=tmp_path / "enrol.key")
    thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield Fleet(tmp_path, ca_store, made.server_address[1])
    made.shutdown()
    made.server_close()
    thread.join()


def check_enrolled(fleet: Fleet, etc: Path, card: Path) -> None:
    key = serialization.load_pem_private_key((etc / "tls.key").read_bytes(), None)
    cert = (etc / "unit.pem").read_bytes()
    assert belongs(cert, key)
    assert x509.load_pem_x509_certificate(cert).subject.rfc4514_string() == "CN=unit-07"
    assert not card.exists()
    assert not (etc / "request.pem").exists()
    config = load_config(etc / "config.toml", [f'seal.unit_key="{etc}/unit.key"'])
    assert config.unit == "unit-07"
    assert build_sealer(config) is not None
    signing = SigningKey.load(etc / "unit.key")
    assert VerifyKey.load(fleet.folder / "ca" / "units" / "unit-unit-07.pub").id == signing.id
    (row,) = fleet.ca_store.listing()
    assert (row.unit, row.revoked_s) == ("unit-07", None)


def test_enrolment_from_a_card(fleet, tmp_path):
    card, steps = fleet.card(), []
    enrol(card, tmp_path / "etc", done=steps.append)
    assert tuple(steps) == STEPS
    check_enrolled(fleet, tmp_path / "etc", card)


@pytest.mark.parametrize("step", STEPS[:-1])
def test_first_boot_survives_power_cut_at_any_step(fleet, tmp_path, step):
    """One certificate in the ca_store, one key on the device, whichever step was the last."""
    card, etc = fleet.card(), tmp_path / "etc"

    def cut(name: str) -> None:
        if name == step:
            raise PowerCutError

    with pytest.raises(PowerCutError):
        enrol(card, etc, done=cut)
    enrol(card, etc)
    check_enrolled(fleet, etc, card)


@pytest.mark.parametrize(
    "tables", ["", '[[hw.cameras]]\nkind = "sim"\nname = "front"\n\n[hw.gnss]\nkind = "sim"\n']
)
def test_card_brings_the_keys_of_lists_policies_and_rosters(fleet, tmp_path, tables):
    """What the unit needs for its first drive with hot lists is not copied by hand."""
    path, etc = fleet.card(), tmp_path / "etc"
    made = {name: SigningKey.generate().public for name in ("hotlist", "policy", "agency")}
    second = SigningKey.generate().public
    pems = {f"{name}_pem": key.pem().decode() for name, key in made.items()}
    pems["hotlist_pem"] += second.pem().decode()
    path.write_text(json.dumps(json.loads(path.read_text()) | pems | {"config_toml": tables}))
    enrol(path, etc)
    assert [key.id for key in VerifyKey.load_all(etc / "hotlist.pub")] == [made["hotlist"].id, second.id]
    assert VerifyKey.load(etc / "policy.pub").id == made["policy"].id
    assert VerifyKey.load(etc / "agency.pub").id == made["agency"].id
    assert load_config(etc / "config.toml", []).hotlist.key == etc / "hotlist.pub"


def test_card_whose_tables_name_the_list_authority_keeps_them(fleet, tmp_path):
    path, etc = fleet.card(), tmp_path / "etc"
    table = '[hotlist]\nkey = "/srv/lists.pub"\n'
    told = json.loads(path.read_text()) | {"hotlist_pem": SigningKey.generate().public.pem().decode()}
    path.write_text(json.dumps(told | {"config_toml": table}))
    enrol(path, etc)
    assert tomllib.loads((etc / "config.toml").read_text())["hotlist"]["key"] == "/srv/lists.pub"


def test_card_contains_release_key(fleet, tmp_path):
    path, release = fleet.card(), SigningKey.generate()
    told = json.loads(path.read_text()) | {"release_pem": release.public.pem().decode()}
    path.write_text(json.dumps(told))
    enrol(path, tmp_path / "etc")
    assert VerifyKey.load(tmp_path / "etc" / "release.pub").id == release.id
    check_enrolled(fleet, tmp_path / "etc", path)


def test_private_files_are_readable_by_owner_only(fleet, tmp_path):
    enrol(fleet.card(), tmp_path / "etc")
    for name in ("tls.key", "unit.key"):
        assert (tmp_path / "etc" / name).stat().st_mode & 0o777 == 0o600


def test_token_is_valid_for_one_unit_once_and_expires(fleet, tmp_path):
    card = fleet.card()
    text = card.read_text()
    enrol(card, tmp_path / "etc")
    card.write_text(text)
    with pytest.raises(EnrolmentRefusedError, match="already used"):
        enrol(card, tmp_path / "another device")
    stolen = json.loads(text) | {"unit": "unit-08"}
    card.write_text(json.dumps(stolen))
    with pytest.raises(EnrolmentRefusedError, match="unknown, expired or for another"):
        enrol(card, tmp_path / "third device")
    late = fleet.card(hours=-1)
    with pytest.raises(EnrolmentRefusedError, match="unknown, expired"):
        enrol(late, tmp_path / "late device")
    assert late.exists(), "a card that did not work is not shredded"
    guessed = json.loads(fleet.card().read_text()) | {"token": "0" * 40}
    card.write_text(json.dumps(guessed))
    with pytest.raises(EnrolmentRefusedError):
        enrol(card, tmp_path / "guesser")


def test_server_of_another_authority_is_rejected(fleet, tmp_path):
    other = make_authority(tmp_path / "other", "somebody else")
    card = fleet.card()
    card.write_text(json.dumps(json.loads(card.read_text()) | {"ca_pem": other.pem.decode()}))
    with pytest.raises(ProvisionError, match=r"not the server of this unit's authority.*another fleet"):
        enrol(card, tmp_path / "etc")
    assert card.exists()


def test_unreachable_server_is_reported(fleet, tmp_path):
    card = fleet.card()
    card.write_text(json.dumps(json.loads(card.read_text()) | {"enrol_port": 1}))
    with pytest.raises(ProvisionError, match=r"127\.0\.0\.1:1: cannot be reached"):
        enrol(card, tmp_path / "etc")
    assert card.exists(), "it is asked again at the next try"


def make_card(fleet, tmp_path, *options: str) -> None:
    station = tmp_path / "station.pub"
    station.write_bytes(StationKey.generate().pem())
    (tmp_path / "receipt.pub").write_bytes(SigningKey.generate().public.pem())
    CliRunner().invoke(
        app,
        ["card", str(fleet.folder / "ca"), "unit-07", "--agency", "a", "--enrol-at", f"127.0.0.1:{fleet.port}",
         "--broker", "b:8883", "--station-key", str(station), "--out", str(tmp_path / "card.json"), *options],
        catch_exceptions=False,
    )  # fmt: skip


def test_card_command_takes_the_public_keys(fleet, tmp_path):
    """An image of an older release refuses what it does not know: keys that are not given are left out."""
    made = {name: SigningKey.generate().public for name in ("hotlist", "policy", "agency")}
    for name, key in made.items():
        (tmp_path / f"{name}.pub").write_bytes(key.pem())
    make_card(fleet, tmp_path)
    assert (
        not {"hotlist_pem", "policy_pem", "agency_pem"} & json.loads((tmp_path / "card.json").read_text()).keys()
    )
    words = [word for name in made for word in (f"--{name}-key", str(tmp_path / f"{name}.pub"))]
    make_card(fleet, tmp_path, *words)
    card = load_card(tmp_path / "card.json")
    assert [card.hotlist_pem, card.policy_pem, card.agency_pem] == [key.pem().decode() for key in made.values()]


def test_enrolled_id_gets_no_second_card(fleet, tmp_path):
    """An id that is enrolled gets no second card by mistake, and of two cards the newer alone is good."""
    first = fleet.card()
    text = first.read_text()
    second = fleet.card()
    newer = second.read_text()
    first.write_text(text)
    with pytest.raises(EnrolmentRefusedError, match="create a new card"):
        enrol(first, tmp_path / "one board")
    second.write_text(newer)
    enrol(second, tmp_path / "another board")
    with pytest.raises(ProvisionError, match="already enrolled: use another id"):
        make_card(fleet, tmp_path)
    assert not (tmp_path / "card.json").exists()
    make_card(fleet, tmp_path, "--again")
    assert load_card(tmp_path / "card.json").unit == "unit-07"


def test_revoked_unit_needs_a_new_card(fleet, tmp_path):
    card = fleet.card()
    fleet.ca_store.revoke("unit-07", now=NOW)
    with pytest.raises(EnrolmentRefusedError, match="unknown, expired"):
        enrol(card, tmp_path / "etc")
    make_card(fleet, tmp_path)
    enrol(tmp_path / "card.json", tmp_path / "etc")


def test_earlier_signing_keys_are_kept(fleet, tmp_path):
    enrol(fleet.card(), tmp_path / "first")
    enrol(fleet.card(), tmp_path / "second")
    names = sorted(path.name for path in (fleet.folder / "ca" / "units").iterdir())
    assert names == ["unit-unit-07.2.pub", "unit-unit-07.pub"]


def test_revoked_unit_is_on_crl(fleet, tmp_path):
    enrol(fleet.card(), tmp_path / "etc")
    assert fleet.ca_store.revoke("unit-07", now=NOW) == 1
    (row,) = fleet.ca_store.listing()
    crl = x509.load_pem_x509_crl((fleet.folder / "ca" / "crl.pem").read_bytes())
    assert [f"{revoked.serial_number:x}" for revoked in crl] == [row.serial]
    assert fleet.ca_store.revoke("unit-07", now=NOW) == 0


def test_crl_is_renewed_without_a_revocation(fleet, tmp_path):
    """A broker refuses all clients when its CRL has expired."""
    enrol(fleet.card(), tmp_path / "etc")
    fleet.ca_store.revoke("unit-07", now=NOW)
    later = NOW + dt.timedelta(days=300)
    until = fleet.ca_store.write_crl(now=later)
    crl = x509.load_pem_x509_crl((fleet.folder / "ca" / "crl.pem").read_bytes())
    (row,) = fleet.ca_store.listing()
    assert [f"{revoked.serial_number:x}" for revoked in crl] == [row.serial]
    assert crl.next_update_utc == until.replace(microsecond=0) > later


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[1]", b'{"unit": "../x", "token": "", "request": "", "signing_key": ""}']
)
def test_malformed_request_is_answered_without_certificate(fleet, body):
    import http.client  # noqa: PLC0415 - this test speaks by hand

    context = ssl.create_default_context(cadata=fleet.ca_store.ca_pem.decode())
    connection = http.client.HTTPSConnection("127.0.0.1", fleet.port, context=context, timeout=20)
    connection.request("POST", "/enrol", body)
    assert connection.getresponse().status == http.HTTPStatus.BAD_REQUEST
    connection.close()
    assert fleet.ca_store.listing() == []


def test_request_for_other_names_is_refused(tmp_path):
    authority = make_authority(tmp_path / "ca", "fleet")
    for request, words in (
        (b"nonsense", "not a signing request"),
        (make_request(new_key(), "unit-08"), "the token is for"),
    ):
        with pytest.raises(ProvisionError, match=words):
            sign_request(authority, request, "unit-07")
    with pytest.raises(WireError):
        make_request(new_key(), "a/b")
    with pytest.raises(ProvisionError, match="never overwritten"):
        make_authority(tmp_path / "ca", "again")
    with pytest.raises(ProvisionError, match="no authority"):
        load_authority(tmp_path / "nothing")


def test_certificates_are_backdated_and_renewed_at_two_thirds(tmp_path):
    authority = make_authority(tmp_path / "ca", "fleet")
    cert = sign_request(authority, make_request(new_key(), "u"), "u", days=299, now=NOW)
    loaded = x509.load_pem_x509_certificate(cert)
    assert loaded.not_valid_before_utc < NOW - dt.timedelta(hours=23)
    assert abs(renew_after(cert) - (NOW + dt.timedelta(days=199))) < dt.timedelta(minutes=1)


def test_old_clock_is_set_from_receiver(tmp_path):
    authority = make_authority(tmp_path / "ca", "fleet", now=NOW)
    assert clock_is_credible(authority.pem, now_s=NOW.timestamp())
    assert not clock_is_credible(authority.pem, now_s=(NOW - dt.timedelta(days=200)).timestamp())
    lines = ["\x00garbage", sentence("GNRMC,,V,,,,,,,,,,N"), rmc(), rmc()]
    assert utc_from_sentences(lines) == START
    assert utc_from_sentences(lines[:2]) is None


@given(st.binary(max_size=200))
def test_invalid_card_is_reported_with_reason(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("card") / "provision.json"
    path.write_bytes(data)
    with pytest.raises(ProvisionError):
        load_card(path)


def test_first_boot_without_card_does_nothing(tmp_path):
    assert find_card([tmp_path, tmp_path / "absent"]) is None
    with pytest.raises(ProvisionError, match="cannot be read"):
        load_card(tmp_path / "absent")


THREE_HUNDRED_DAYS = dt.timedelta(days=300)


def enrolled(fleet: Fleet, tmp_path: Path) -> Path:
    etc = tmp_path / "etc"
    enrol(fleet.card(), etc)
    return etc


def test_certificate_is_renewed_when_due(fleet, tmp_path):
    """Same key, new certificate, by the old one over real TLS; nobody needs to come with a card."""
    etc = enrolled(fleet, tmp_path)
    old, key = (etc / "unit.pem").read_bytes(), (etc / "tls.key").read_bytes()
    assert not renew(etc, now=NOW)
    assert (etc / "unit.pem").read_bytes() == old
    assert renew(etc, now=NOW + THREE_HUNDRED_DAYS)
    fresh = (etc / "unit.pem").read_bytes()
    assert fresh != old
    assert (etc / "tls.key").read_bytes() == key
    assert belongs(fresh, load_key(etc / "tls.key"))
    assert not (etc / "request.pem").exists()
    assert [row.unit for row in fleet.ca_store.listing()] == ["unit-07", "unit-07"]


def test_interrupted_renewal_gets_same_certificate(fleet, tmp_path):
    etc = enrolled(fleet, tmp_path)
    answers = []

    def dies(at, unit, request, *, etc):
        answers.append(ask_again(at, unit, request, etc=etc))
        raise PowerCutError

    with pytest.raises(PowerCutError):
        renew(etc, now=NOW + THREE_HUNDRED_DAYS, renewer=dies)
    assert renew(etc, now=NOW + THREE_HUNDRED_DAYS)
    assert (etc / "unit.pem").read_bytes() == answers[0]
    assert len(fleet.ca_store.listing()) == 2


def test_revoked_unit_is_not_renewed(fleet, tmp_path):
    etc = enrolled(fleet, tmp_path)
    old = (etc / "unit.pem").read_bytes()
    fleet.ca_store.revoke("unit-07", now=NOW)
    with pytest.raises(EnrolmentRefusedError, match="revoked"):
        renew(etc, now=NOW + THREE_HUNDRED_DAYS)
    assert (etc / "unit.pem").read_bytes() == old


def test_renewal_for_another_unit_is_refused(fleet, tmp_path):
    """Nor without a certificate at all."""
    etc = enrolled(fleet, tmp_path)
    at = EnrolAt(host="127.0.0.1", port=fleet.port)
    request = make_request(load_key(etc / "tls.key"), "unit-08")
    with pytest.raises(EnrolmentRefusedError):
        ask_again(at, "unit-08", request, etc=etc)
    with pytest.raises(EnrolmentRefusedError, match="current certificate"):
        post("127.0.0.1", fleet.port, RENEW, {"unit": "unit-07", "request": request.decode()}, ca=etc / "ca.pem")
