"""``patrol-lpr config``: examples of each kind that can be used, mistakes in words that people understand."""

from __future__ import annotations

import re
import tomllib
from itertools import pairwise
from typing import get_args

import pytest

from agent.errors import ConfigError
from agent.runtime.config import PLACEHOLDERS, parse_config
from cli import config as config_cli
from cli import run
from hw.config import CameraConfig, GnssConfig

UNIT = {"unit": "unit-07", "agency": "A"}
CAMERA = {"kind": "sim"}


def kinds(union):
    """Every kind of a union of tables."""
    return [get_args(model.model_fields["kind"].annotation)[0] for model in get_args(get_args(union)[0])]


def written(capsys, tmp_path, **of_kind):
    assert config_cli.example(**of_kind) == 0
    path = tmp_path / "config.toml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    return path


def own(path):
    """The file with a fleet's own values."""
    text = path.read_text(encoding="utf-8")
    for placeholder in PLACEHOLDERS.values():
        text = text.replace(f'"{placeholder}"', '"unit-07.fleet"' if "." in placeholder else '"unit-07"')
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "of_kind",
    [{"camera": kind} for kind in kinds(CameraConfig)] + [{"gnss": kind} for kind in kinds(GnssConfig)],
    ids=str,
)
def test_the_example_of_each_kind_passes_check_and_explains_every_key(tmp_path, capsys, of_kind):
    path = own(written(capsys, tmp_path, **of_kind))
    assert config_cli.check(path, [], None) == 0
    assert f"({of_kind.get('camera', 'pi')})" in capsys.readouterr().out
    table = tomllib.loads(path.read_text())
    assert table["hw"]["gnss"]["kind"] == of_kind.get("gnss", "serial")
    lines = path.read_text().splitlines()
    for before, line in pairwise(lines):
        if re.match(r"(# )?[a-z_]+ =", line):
            assert re.fullmatch(r"# [A-Z\"a-z/].*\.", before), line


@pytest.mark.parametrize("kind", kinds(CameraConfig))
def test_the_defaults_of_the_example_are_toml_and_the_defaults(tmp_path, capsys, kind):
    """With every comment sign before a default taken away the file means the same."""
    path = own(written(capsys, tmp_path, camera=kind))
    before = config_cli.load_config(path)
    opened = re.sub(r"^# ([a-z_]+ = .)", r"\1", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert opened != path.read_text(encoding="utf-8")
    path.write_text(opened, encoding="utf-8")
    assert config_cli.load_config(path) == before


def test_an_unknown_kind_is_refused_with_those_that_exist():
    with pytest.raises(ConfigError, match="--camera usb: unknown kind, known are pi, device, video"):
        config_cli.example(camera="usb")


def test_the_placeholders_of_the_example_do_not_pass_check(tmp_path, capsys):
    path = written(capsys, tmp_path)
    with pytest.raises(ConfigError) as refused:
        config_cli.check(path, [], None)
    assert re.findall(r"^  ([a-z.]+): ", str(refused.value), flags=re.MULTILINE) == [
        "unit",
        "agency",
        "hw.link.host",
    ]


def test_run_refuses_the_placeholders_before_it_touches_anything(tmp_path, capsys):
    path = written(capsys, tmp_path)
    with pytest.raises(ConfigError, match="still has values of the example"):
        run.run(path, [f"state_dir={tmp_path}/state"], until_cameras_end=True, drain_s=0)
    assert not (tmp_path / "state").exists()


@pytest.mark.parametrize(
    ("patch", "line"),
    [
        ({"hw": {"cameras": [{"kind": "pi", "fps": "fast"}]}}, 'hw.cameras[0].fps: must be a number; it is "fast"'),
        ({"hw": {"cameras": [{"kind": "pi", "fps": 500}]}}, "hw.cameras[0].fps: must be 240 or less; it is 500"),
        ({"hw": {"cameras": [{"kind": "pi", "fbs": 5}]}}, "hw.cameras[0].fbs: unknown key"),
        ({"hw": {"cameras": [{"kind": "video"}]}}, "hw.cameras[0].path: missing"),
        ({"hw": {"cameras": [{"kind": "usb"}]}},
         "hw.cameras[0]: unknown kind, must be one of 'pi', 'video', 'folder', 'device', 'sim'; it is \"usb\""),
        ({"hw": {"cameras": [{"fps": 5}]}}, "hw.cameras[0]: kind is missing"),
        ({"hw": {"cameras": [CAMERA], "gnss": {"kind": "serial", "baud": "slow"}}},
         "hw.gnss.baud: must be a whole number or must be 'auto'; it is \"slow\""),
        ({"hw": {"cameras": [CAMERA], "gnss": {"kind": "gpsd", "port": 0}}},
         "hw.gnss.port: must be 1 or more; it is 0"),
        ({"hw": {"cameras": [CAMERA], "link": {"kind": "mqtt", "host": "h"}}},
         "hw.link: tls is missing: plain TCP is only allowed to a broker on this machine, not to h"),
        ({"hw": {"cameras": []}}, "hw: cameras: at least one is required"),
        ({"hw": 5}, "hw: must be a table; it is 5"),
        ({"log": {"level": "loud"}}, "log.level: must be 'debug', 'info', 'warning' or 'error'; it is \"loud\""),
        ({"sync": {"pictures": "perhaps"}}, 'sync.pictures: must be true or false; it is "perhaps"'),
        ({"sync": {"unmetered_interfaces": "eth"}},
         'sync.unmetered_interfaces: must be a list in brackets; it is "eth"'),
        ({"unit": 7}, "unit: must be a text in quotes; it is 7"),
        ({"recognise": {"runtime": "onnx"}},
         "recognise.runtime: must be 'auto', 'litert' or 'tflite'; it is \"onnx\""),
        ({"state_dir": 3}, "state_dir: must be a path in quotes; it is 3"),
        ({"feed": {"path": {}}}, "feed.path: must be 'auto' or 'off' or must be a path in quotes; it is {}"),
        ({"state_dir": ""}, "state_dir: must not be empty; leave the key out instead"),
        ({"hw": {"cameras": [{"kind": "folder", "path": ""}]}},
         "hw.cameras[0].path: must not be empty; leave the key out instead"),
        ({"agency": "a\x1b[2Jb"}, 'agency: has a character that is no text; it is "a\\u001b[2Jb"'),
        ({"hw": {"cameras": [{"kind": "device", "source": "rtsp://me:secret@h/\n"}]}},
         'hw.cameras[0].source: has a character that is no text; it is "rtsp://***@h/\\n"'),
        ({"hw": {"cameras": [{"kind": "pi", "index": 10**30}]}},
         f"hw.cameras[0].index: must be 255 or less; it is {10**30}"),
        ({"feed": {"path": "/x" * 60}}, "feed.path: a socket's path has at most 103 bytes"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_with_the_key_that_people_write_and_in_own_words(patch, line):
    with pytest.raises(ConfigError) as refused:
        parse_config({**UNIT, "hw": {"cameras": [CAMERA]}, **patch}, "c.toml")
    assert str(refused.value).splitlines()[1:] == [f"  {line}"]
