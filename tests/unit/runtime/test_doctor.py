"""The doctor's lines."""

from __future__ import annotations

from agent.runtime import doctor_command
from agent.runtime.config import parse_config
from hw.ports import Buzz, Lamp
from tests.update_builder import Unit


def test_every_lamp_and_sound_is_shown_and_named(tmp_path, capsys):
    path = tmp_path / "config.toml"
    path.write_text('unit = "unit-07"\nagency = "Example"\n[[hw.cameras]]\nkind = "sim"\n')
    assert doctor_command.show_panel(path, [], each_s=0) == 0
    said = capsys.readouterr().out
    assert all(f"lamp: {lamp.value}" in said for lamp in Lamp)
    assert all(f"sound: {sound.value}" in said for sound in Buzz)


def test_without_a_configuration_there_is_one_finding(tmp_path):
    (finding,) = doctor_command.examine(tmp_path / "missing.toml", [])
    assert finding.verdict is doctor_command.Verdict.FAIL
    assert "missing.toml" in finding.detail


def test_the_doctor_says_which_release_runs_and_how_the_last_update_ended(tmp_path, monkeypatch):
    unit = Unit(tmp_path)
    update = {"home": unit.home}
    table = {"unit": "unit-07", "agency": "Example", "hw": {"cameras": [{"kind": "sim"}]}, "update": update}
    config = parse_config(table, "test")
    monkeypatch.setattr(doctor_command, "RELEASE_KEY", tmp_path / "release.pub")
    said = [doctor_command._release(config)]
    (tmp_path / "release.pub").write_bytes(unit.key.public.pem())
    said.append(doctor_command._release(config))
    unit.apply(unit.update(42, config="[log]\nlevel = 'debug'\n"))
    said.append(doctor_command._release(config))
    unit.releases.fail("not well in time")
    said.append(doctor_command._release(config))
    assert [finding.verdict.value for finding in said] == ["warn", "ok", "warn", "warn"]
    assert "takes no update" in said[0].detail
    assert said[1].detail == "0, committed"
    assert said[2].detail == "42 is on trial, 0 is committed"
    assert said[3].detail == "0; 42 rolled back: not well in time"
    elsewhere = parse_config({**table, "update": {"home": tmp_path / "none"}}, "test")
    assert "other means" in doctor_command._release(elsewhere).detail
