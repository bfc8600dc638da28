"""The doctor's lines."""

from __future__ import annotations

from agent.runtime import doctor_command
from hw.ports import Buzz, Lamp


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
