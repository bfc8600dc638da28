"""Logs have read ids, never plate texts; all configuration errors are reported at once."""

from __future__ import annotations

import json

import pytest
import structlog

from agent.errors import ConfigError
from agent.runtime import log
from agent.runtime.config import load_config, parse_config


@pytest.mark.usefixtures("fresh_logging")
def test_an_event_is_a_line_of_json(capsys):
    """Machines read the journal."""
    log.configure("info", "json")
    structlog.get_logger().info("read", id="0190", looks=3)
    line = json.loads(capsys.readouterr().err)
    assert (line["event"], line["id"], line["looks"], line["level"]) == ("read", "0190", 3, "info")


@pytest.mark.usefixtures("fresh_logging")
@pytest.mark.parametrize("key", ["plate", "text", "raw", "plate_text", "alternatives"])
def test_a_key_that_could_hold_a_plate_raises(key):
    """The defect shows in the first test that logs it."""
    log.configure("info", "json")
    with pytest.raises(log.PlateInLogError, match="read id"):
        structlog.get_logger().info("read", **{key: "7ABC123"})


WRONG = """
unit = "unit 07"
colour = "red"
[[hw.cameras]]
kind = "folder"
path = "."
fps = -3
[sync]
window = "many"
"""


def test_every_config_error_is_listed_with_its_path(tmp_path):
    """The file can be corrected in one go."""
    path = tmp_path / "config.toml"
    path.write_text(WRONG, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    text = str(caught.value)
    for part in ("unit:", "agency: missing", "colour: unknown key", "hw.cameras[0].fps", "sync.window"):
        assert part in text


def test_overrides_have_precedence(tmp_path):
    """--set is for a try, not for a fleet."""
    path = tmp_path / "config.toml"
    path.write_text('unit = "u"\nagency = "a"\n[[hw.cameras]]\nkind = "pi"\n', encoding="utf-8")
    config = load_config(path, ["sync.window=3", "unit=v", "hw.link={kind='mqtt', host='127.0.0.1'}"])
    assert (config.sync.window, config.unit, config.hw.link.unit) == (3, "v", "v")
    for wrong in ("nonsense", ".x=1", "unit.x=1"):
        with pytest.raises(ConfigError, match="--set"):
            load_config(path, [wrong])


def test_a_missing_or_broken_file_says_what_to_do(tmp_path):
    """Not a traceback."""
    with pytest.raises(ConfigError, match="config example"):
        load_config(tmp_path / "missing.toml")
    (tmp_path / "broken.toml").write_text("unit = [", encoding="utf-8")
    with pytest.raises(ConfigError, match="not TOML"):
        load_config(tmp_path / "broken.toml")


def test_duplicate_camera_name_is_refused():
    """Reads must say which camera they come from."""
    cameras = [{"kind": "pi", "name": "front"}, {"kind": "pi", "name": "front", "index": 1}]
    with pytest.raises(ConfigError, match="used twice"):
        parse_config({"unit": "u", "agency": "a", "hw": {"cameras": cameras}}, "test")
