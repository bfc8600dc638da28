"""The doctor's lines."""

from __future__ import annotations

import datetime as dt
import io
import json
import os
import re
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from agent.buffer import Limits, open_outbox
from agent.buffer.damage import note_damage
from agent.buffer.outbox import FILE_NAME
from agent.errors import OutboxDamagedError
from agent.runtime.config import load_config, parse_config
from agent.runtime.lists import build_lists
from agent.witness import WitnessState
from cli.diagnostics import checks, doctor
from cli.diagnostics.certificates import days_left, warning, wrong_name
from cli.diagnostics.step import Mark, Step
from cli.terminal import explained
from hw.clock import SimClock
from hw.config import TlsConfig
from hw.gnss_lines import LineAssembler
from hw.ports import Buzz, Lamp
from protocol.errors import KeyFileError
from protocol.hotlist.entry import Entry
from protocol.merkle.checkpoint import sign_checkpoint
from protocol.roster.envelope import roster_header, sign_roster
from protocol.seal import SigningKey, VerifyKey
from provision import pki
from tests.builders import make_encoder, make_read
from tests.duty_builder import UTC_S, make_roster
from tests.hotlist_builder import make_package
from tests.nmea_lines import gga, rmc, sentence
from tests.update_builder import Unit


def test_lamps_option_shows_every_lamp_and_sound(tmp_path, capsys):
    path = tmp_path / "config.toml"
    path.write_text('unit = "unit-07"\nagency = "Example"\n[[hw.cameras]]\nkind = "sim"\n')
    assert doctor.show_panel(path, [], each_s=0) == 0
    said = capsys.readouterr().out
    assert all(f"lamp: {lamp.value}" in said for lamp in Lamp)
    assert all(f"sound: {sound.value}" in said for sound in Buzz)


def test_lamps_option_speaks_a_line(tmp_path, capsys):
    path = tmp_path / "config.toml"
    path.write_text(
        'unit = "unit-07"\nagency = "Example"\n[[hw.cameras]]\nkind = "sim"\n[hw.speaker]\nkind = "sim"\n'
    )
    assert doctor.show_panel(path, [], each_s=0) == 0
    assert "speaker\n" in capsys.readouterr().out


def test_doctor_without_configuration_has_one_finding(tmp_path):
    (finding,) = checks.examine(tmp_path / "missing.toml", [])
    assert finding.mark is Mark.FAIL
    assert "missing.toml" in finding.detail


def test_before_the_first_start_board_and_disk_are_those_of_the_folder_above(tmp_path):
    table = {"unit": "unit-07", "agency": "A", "hw": {"cameras": [{"kind": "sim"}]}, "outbox": {"min_free_mib": 0}}
    config = parse_config({**table, "state_dir": str(tmp_path / "not" / "yet")}, "test")
    assert [checks._board(config).mark is Mark.FAIL, checks._disk(config).mark] == [False, Mark.OK]
    assert not (tmp_path / "not").exists()


@pytest.mark.parametrize(("uid", "advice"), [(1000, "; run the command with sudo, or as the owner"), (0, "")])
def test_a_missing_right_is_reported_with_advice(monkeypatch, uid, advice):
    """Whatever wraps it; root is not told to become root."""

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied", "/etc/patrol-lpr/config.toml")

    monkeypatch.setattr("os.geteuid", lambda: uid)
    monkeypatch.setattr("pathlib.Path.read_text", denied)
    monkeypatch.setattr("pathlib.Path.read_bytes", denied)
    monkeypatch.setattr("pathlib.Path.open", denied)
    (finding,) = checks.examine(Path("/etc/patrol-lpr/config.toml"), [])
    assert finding.detail == f"/etc/patrol-lpr/config.toml: cannot be read: Permission denied{advice}"
    with pytest.raises(KeyFileError) as caught:
        VerifyKey.load(Path("/etc/patrol-lpr/unit.pub"))
    assert explained(caught.value).endswith(f"Permission denied{advice}")
    with pytest.raises(OSError, match="denied") as raw:
        denied()
    assert explained(raw.value) == f"/etc/patrol-lpr/config.toml: Permission denied{advice}"


@pytest.mark.parametrize(
    ("content", "mark", "says"),
    [
        (None, Mark.WARN, "nobody can sign on: offer one with `patrol-lpr roster offer`"),
        (b"nonsense", Mark.WARN, "no usable roster"),
        ({"expires_s": 2**33}, Mark.OK, "version 3, 3 officers, until"),
        ({"expires_s": UTC_S + 1}, Mark.WARN, "expired on 2026-05-2"),
        ({"units": ("unit-08",)}, Mark.WARN, "no usable roster"),
    ],
)
def test_doctor_reports_the_roster(tmp_path, content, mark, says):
    config = parse_config(
        {
            "unit": "unit-07",
            "agency": "A",
            "hw": {"cameras": [{"kind": "sim"}]},
            "state_dir": str(tmp_path),
            "shift": {"roster_key": str(tmp_path / "agency.pub")},
        },
        "test",
    )
    assert checks._roster(config).detail.endswith("officers do not sign on to this unit")
    key = SigningKey.generate()
    (tmp_path / "agency.pub").write_bytes(key.public.pem())
    (tmp_path / "roster").mkdir()
    if isinstance(content, dict):
        roster = make_roster()
        content = sign_roster(roster, roster_header(roster, id="r", version=3, as_of_s=UTC_S, **content), key)
    if content is not None:
        (tmp_path / "roster" / "roster.signed").write_bytes(content)
    step = checks._roster(config)
    assert step.mark is mark
    assert says in step.detail


def test_doctor_reports_release_and_last_update(tmp_path, monkeypatch):
    unit = Unit(tmp_path)
    update = {"home": unit.home}
    table = {"unit": "unit-07", "agency": "Example", "hw": {"cameras": [{"kind": "sim"}]}, "update": update}
    config = parse_config(table, "test")
    monkeypatch.setattr(checks, "RELEASE_KEY", tmp_path / "release.pub")
    said = [checks._release(config)]
    (tmp_path / "release.pub").write_bytes(unit.key.public.pem())
    said.append(checks._release(config))
    unit.apply(unit.update(42, config="[log]\nlevel = 'debug'\n"))
    said.append(checks._release(config))
    unit.releases.fail("not healthy in time")
    said.append(checks._release(config))
    assert [finding.mark.value for finding in said] == ["warn", "ok", "warn", "warn"]
    assert "accepts no updates" in said[0].detail
    assert said[1].detail == "0, committed"
    assert said[2].detail == "42 is on trial, 0 is committed"
    assert said[3].detail == "0; 42 rolled back: not healthy in time"
    elsewhere = parse_config({**table, "update": {"home": tmp_path / "none"}}, "test")
    assert "not updated by update files" in checks._release(elsewhere).detail


NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)


@pytest.fixture
def tls(tmp_path):
    """A unit's three files, as enrolment leaves them, and the authority they come from."""
    authority = pki.make_authority(tmp_path / "authority", "Example", now=NOW)
    key, cert = pki.issue(authority, "unit-07", now=NOW)
    for name, data in (("ca.pem", authority.pem), ("unit.pem", cert), ("tls.key", key)):
        (tmp_path / name).write_bytes(data)
    return TlsConfig(ca=tmp_path / "ca.pem", cert=tmp_path / "unit.pem", key=tmp_path / "tls.key")


def test_doctor_reports_days_until_certificate_expiry(tls):
    left = days_left(tls, NOW)
    assert left == days_left(tls, NOW + dt.timedelta(days=10)) + 10
    assert warning(left) is None
    assert "renew" in warning(days_left(tls, NOW + dt.timedelta(days=left - 5)))


def test_doctor_reports_invalid_certificates(tls, tmp_path):
    """Each with the file it is about, and what to do."""
    left = days_left(tls, NOW)
    for now, words in ((NOW + dt.timedelta(days=left + 2), "expired"), (NOW - dt.timedelta(days=30), "clock")):
        with pytest.raises(KeyFileError, match=words):
            days_left(tls, now)
    other = pki.make_authority(tmp_path / "other", "Other", now=NOW)
    (tmp_path / "other.pem").write_bytes(other.pem)
    (tmp_path / "other.key").write_bytes(pki.issue(other, "unit-07", now=NOW)[0])
    (tmp_path / "empty").write_bytes(b"")
    wrong = {
        "ca": (("other.pem", "not signed by"), ("missing.pem", "No such file"), ("empty", "not a certificate")),
        "cert": (("empty", "not a certificate"),),
        "key": (("other.key", "does not match"), ("empty", "not a private key")),
    }
    for part, cases in wrong.items():
        for name, words in cases:
            with pytest.raises(KeyFileError, match=words):
                days_left(tls.model_copy(update={part: tmp_path / name}), NOW)


def test_doctor_tells_the_certificate_of_another_unit(tls, tmp_path, monkeypatch):
    """A card of unit-07 beside the configuration of unit-08: the broker says no more than `not authorised`."""
    assert wrong_name(tls, "unit-07") is None
    files = "".join(f'{name} = "{getattr(tls, name)}"\n' for name in ("ca", "cert", "key"))
    link = f'[hw.link]\nkind = "mqtt"\nhost = "127.0.0.1"\nport = 9\n[hw.link.tls]\n{files}'
    text = config_text(tmp_path).replace('"unit-07"', '"unit-08"') + link
    monkeypatch.setattr(checks.RealClock, "utc_ns", lambda _: round(NOW.timestamp()) * 10**9)
    said = findings(tmp_path, text, "seal.mode=off")["certificates"]
    assert said.mark is Mark.WARN
    assert "unit.pem is of unit-07, and this unit is unit-08" in said.detail


def config_text(tmp_path, *, extra: str = "") -> str:
    """A unit whose camera is a folder of pictures and whose computer is this one."""
    (tmp_path / "state").mkdir(exist_ok=True)
    pictures = tmp_path / "pictures"
    pictures.mkdir(exist_ok=True)
    cv2.imwrite(str(pictures / "0.png"), np.full((120, 160, 3), 90, np.uint8))
    return (
        f'unit = "unit-07"\nagency = "Example"\nstate_dir = "{tmp_path / "state"}"\n{extra}\n'
        f'[[hw.cameras]]\nkind = "folder"\npath = "{pictures}"\n[outbox]\nmin_free_mib = 0\n'
    )


def findings(tmp_path, text: str, *overrides: str):
    path = tmp_path / "config.toml"
    path.write_text(text)
    return {finding.what: finding for finding in checks.examine(path, list(overrides))}


def test_doctor_lists_all_checks(tmp_path, capsys):
    """Each check once; JSON for programs; exit code 1 if a check fails."""
    said = findings(tmp_path, config_text(tmp_path), "seal.mode=off")
    assert set(said) == {
        "configuration", "models", "keys", "release", "policy", "roster", "station log", "hot lists", "outbox",
        "certificates", "board", "disk", "clock", "cameras", "receiver", "panel", "speaker", "broker",
    }  # fmt: skip
    assert {what for what, finding in said.items() if finding.mark is Mark.FAIL} == set()
    assert doctor.run(tmp_path / "config.toml", ["seal.mode=off"], as_json=True) == 0
    assert {line["what"] for line in json.loads(capsys.readouterr().out)} == set(said)


def test_doctor_hints_are_not_truncated(tmp_path, capsys, monkeypatch):
    """Names of sections stand in brackets, which are no mark-up."""
    monkeypatch.setenv("COLUMNS", "400")
    path = tmp_path / "config.toml"
    path.write_text(config_text(tmp_path) + BROKEN["broker"][0])
    assert doctor.run(path, [], as_json=False) == 1
    said = capsys.readouterr().out
    assert "[hw.link]" in said
    assert "name them in [seal]" in said


BROKEN = {
    "cameras": (
        '[[hw.cameras]]\nkind = "device"\nname = "rear"\nsource = "/dev/video99"\n',
        "check that it is connected",
    ),
    "receiver": ('[hw.gnss]\nkind = "gpsd"\nport = 9\n', "running"),
    "broker": ('[hw.link]\nkind = "mqtt"\nhost = "127.0.0.1"\nport = 9\n', "network"),
    "panel": ('[hw.panel]\nkind = "gpio"\nchip = 99\nstatus_pin = 5\n', "lgpio|gpiochip99"),
    "speaker": ('[hw.speaker]\nkind = "espeak"\nprogram = "/nowhere/espeak-ng"\n', "apt-get install espeak-ng"),
    "certificates": (
        '[hw.link]\nkind = "mqtt"\nhost = "127.0.0.1"\nport = 9\n[hw.link.tls]\nca = "/nowhere/ca.pem"\n',
        "enrol the unit",
    ),
    "models": ("", "nowhere"),
    "disk": ("", "larger card"),
}


@pytest.mark.parametrize("what", BROKEN)
def test_doctor_reports_failures_with_hint(tmp_path, what, monkeypatch):
    """And the other lines are there all the same."""
    monkeypatch.setattr(checks, "_FRAME_TIMEOUT_S", 0.3)
    table, hint = BROKEN[what]
    special = {"models": "recognise.models=/nowhere", "disk": "outbox.min_free_mib=1048576"}
    text = config_text(tmp_path) + table
    said = findings(tmp_path, text, "seal.mode=off", special.get(what, "log.level=info"))
    assert said[what].mark is Mark.FAIL
    assert re.search(hint, said[what].detail)
    assert len(said) == 18


def test_doctor_hides_camera_passwords(tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "_FRAME_TIMEOUT_S", 0.3)
    camera = '[[hw.cameras]]\nkind = "device"\nname = "rear"\nsource = "rtsp://patrol:w0rd@127.0.0.1:9/x"\n'
    said = findings(tmp_path, config_text(tmp_path) + camera, "seal.mode=off")
    assert "rtsp://***@127.0.0.1:9" in said["cameras"].detail
    assert "w0rd" not in str(said)


def test_doctor_detects_clock_before_configuration_date(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('unit = "unit-07"\nagency = "Example"\n[[hw.cameras]]\nkind = "sim"\n')
    os.utime(path, (4_000_000_000, 4_000_000_000))
    found = {finding.what: finding for finding in checks.examine(path, [])}["clock"]
    assert found.mark is Mark.FAIL
    assert "but config.toml was written on 2096-10-02" in found.detail
    os.utime(path, (1_000_000_000, 1_000_000_000))
    found = {finding.what: finding for finding in checks.examine(path, [])}["clock"]
    assert found.mark is not Mark.FAIL


def outbox_config(tmp_path):
    table = {"unit": "unit-07", "agency": "Example", "hw": {"cameras": [{"kind": "sim"}]}, "state_dir": tmp_path}
    return parse_config(table, "test")


def test_doctor_reports_outbox_damage(tmp_path):
    """Met by the doctor itself or by the agent: a failure that names the remedy; afterwards where the file went."""
    config = outbox_config(tmp_path)
    outbox, _ = open_outbox(tmp_path, make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0))
    outbox.append([make_read(n) for n in range(1, 30)])
    outbox.close()
    assert checks._outbox(config).mark is Mark.OK
    data = bytearray((tmp_path / FILE_NAME).read_bytes())
    at = data.index(make_read(1).read_id + b"\xde") // 4096 * 4096
    data[at : at + 4096] = bytes(4096)
    (tmp_path / FILE_NAME).write_bytes(data)
    with pytest.raises(OutboxDamagedError, match="systemctl restart patrol-lpr"):
        checks._outbox(config)
    outbox, report = open_outbox(tmp_path, make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0))
    assert report.moved_to is not None
    outbox.close()
    finding = checks._outbox(config)
    assert (finding.mark, "outbox.damaged-1.db" in finding.detail) == (Mark.WARN, True)
    note_damage(tmp_path, "malformed", certain=True)
    finding = checks._outbox(config)
    assert (finding.mark, "malformed" in finding.detail) == (Mark.FAIL, True)


def test_doctor_reports_lost_reads(tmp_path):
    limits = Limits(max_bytes=5_000, min_free_bytes=0, ballast_bytes=0)
    outbox, _ = open_outbox(tmp_path, make_encoder(), limits=limits)
    for number in range(1, 20):
        outbox.append([make_read(number, pictures=())])
    lost = outbox.lost_records
    outbox.close()
    assert lost > 0
    finding = checks._outbox(outbox_config(tmp_path))
    assert finding.mark is Mark.WARN
    assert f"{lost} reads were lost" in finding.detail


UBX = b"\xb5\x62\x01\x07\x5c\x00" + bytes(90)


@pytest.mark.parametrize(
    ("said", "mark", "words"),
    [
        ([rmc(), gga()], Mark.OK, r"sentences, fix: 9 satellites, within 4 m$"),
        ([UBX + rmc().encode(), UBX + gga().encode()], Mark.OK, r"behind binary data, fix: 9 satellites"),
        ([rmc(status="V")], Mark.WARN, r"sentences, no fix: no RMC with a position; check that the antenna"),
        ([sentence("GPGSV,1,1,00")], Mark.WARN, r"no fix: no RMC, GGA, GNS or GLL: enable one of them"),
        ([UBX], Mark.FAIL, r"none of them a valid sentence in 20 s: only binary data: enable NMEA"),
    ],
)
def test_the_receiver_is_told_by_what_it_said(tmp_path, said, mark, words, monkeypatch):
    """Sentences counted, binary data counted, and why there is no fix."""

    class Says:
        def __init__(self) -> None:
            self.assembler = LineAssembler()
            self.lines = []

        def next_line(self, *, timeout_s):
            clock.advance(100_000_000)
            for text in said if not self.lines else []:
                data = text if isinstance(text, bytes) else text.encode()
                self.lines += self.assembler.feed(data + b"\r\n", clock.mono_ns())
            return self.lines.pop(0) if self.lines else None

        def close(self):
            """Nothing to give back."""

    clock = SimClock()
    monkeypatch.setattr(checks, "RealClock", lambda: clock)
    monkeypatch.setattr(checks, "open_gnss", lambda config, clock: Says())
    path = tmp_path / "config.toml"
    path.write_text(config_text(tmp_path) + '[hw.gnss]\nkind = "serial"\n')
    step = checks._gnss(load_config(path, ["seal.mode=off"]))
    assert step.mark is mark
    assert re.search(words, step.detail), step.detail


def test_a_fixed_site_is_told_with_its_place(tmp_path):
    site = '[hw.gnss]\nkind = "fixed"\nlat_deg = 38.9\nlon_deg = -77\nerror_m = 15\n'
    step = findings(tmp_path, config_text(tmp_path) + site, "seal.mode=off")["receiver"]
    assert (step.mark, step.detail) == (
        Mark.OK,
        "fixed site at 38.90000 -77.00000, within 15 m, from the configuration",
    )


def test_doctor_reports_the_hot_lists(tmp_path):
    authority, unit = SigningKey.generate(), SigningKey.generate()
    unit.save(tmp_path / "unit.key")
    (tmp_path / "hotlist.pub").write_bytes(authority.public.pem())
    hw = {
        "cameras": [{"kind": "sim", "name": "front"}], "gnss": {"kind": "sim"}, "panel": {"kind": "sim"},
        "link": {"kind": "sim"}, "board": {"kind": "sim"},
    }  # fmt: skip
    told = {"unit": "unit-07", "agency": "pd", "state_dir": str(tmp_path), "hw": hw}
    assert "not set" in checks._hotlists(parse_config(told, "test")).detail
    told |= {"hotlist": {"key": str(tmp_path / "hotlist.pub")}, "seal": {"unit_key": str(tmp_path / "unit.key")}}
    config = parse_config(told, "test")
    step = checks._hotlists(config)
    assert (step.mark, step.detail.split(":")[0]) == (Mark.WARN, "no list in force")
    found = build_lists(config, lambda: unit, lambda: None)
    found.lists.install(io.BytesIO(make_package([Entry("1", "ABC123")], authority)))
    assert checks._hotlists(config) == Step("hot lists", Mark.OK, "stolen version 1 (1 entries)")
    expired = make_package([Entry("1", "ABC123")], authority, version=2, as_of_utc_us=1, expires_utc_us=2)
    found.lists.install(io.BytesIO(expired))
    assert checks._hotlists(config).mark is Mark.WARN
    (tmp_path / "hotlists" / "stolen.2.full").write_bytes(b"damaged")
    assert checks._hotlists(config).mark is Mark.FAIL


@pytest.mark.parametrize(
    ("state", "mark", "says"),
    [
        (None, "ok", "no checkpoint of the station's audit log has come yet"),
        ({"refusal": ""}, "ok", "812 entries witnessed"),
        ({"refusal": "", "refused_note": "x"}, "warn", "an earlier checkpoint was refused"),
        ({"refusal": "the log shrank"}, "fail", "the log shrank; tell whoever supervises the station"),
    ],
)
def test_doctor_says_what_became_of_the_stations_log(tmp_path, state, mark, says):
    config = SimpleNamespace(state_dir=tmp_path)
    if state is not None:
        key = SigningKey.generate()
        told = WitnessState(key.public.raw, sign_checkpoint(key, 812, bytes(32)), **state)
        (tmp_path / "witness.json").write_bytes(told.encode())
    step = checks._station_log(config)
    assert step.mark == mark
    assert says in step.detail
