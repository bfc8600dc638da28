"""Configuration files written for release 0.1 keep working after their keys were renamed."""

import pytest

from agent.errors import ConfigError
from agent.runtime.config import load_config, parse_config

MINIMAL = {
    "unit": "unit-07",
    "agency": "Example Sheriff",
    "hw": {"cameras": [{"kind": "sim", "name": "front"}], "gnss": {"kind": "none"}, "link": {"kind": "none"}},
}


@pytest.mark.parametrize(
    ("section", "old", "new", "value"),
    [
        ("recognise", "least_plate_width_px", "min_plate_width_px", 33.0),
        ("recognise", "most_plates", "max_plates", 3),
        ("recognise", "most_fps", "max_fps", 7.0),
        ("track", "least_confidence", "min_confidence", 0.41),
        ("track", "least_confidence_single", "min_confidence_single", 0.81),
        ("pictures", "overview_most_kib", "overview_max_kib", 99),
    ],
)
def test_renamed_key_is_accepted_under_its_old_name(section, old, new, value):
    """Both names give the same configuration; the new one is what is printed."""
    by_old = parse_config({**MINIMAL, section: {old: value}}, "old.toml")
    by_new = parse_config({**MINIMAL, section: {new: value}}, "new.toml")
    assert by_old == by_new
    assert by_old.model_dump()[section][new] == value


def test_a_misspelt_key_is_still_refused():
    with pytest.raises(ConfigError, match=r"recognise\.max_fsp: unknown key"):
        parse_config({**MINIMAL, "recognise": {"max_fsp": 3}}, "wrong.toml")


TOML = """unit = "unit-07"
agency = "Example"
[[hw.cameras]]
kind = "device"
source = "rtsp://camera"
[hw.link]
kind = "mqtt"
host = "127.0.0.1"
"""


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("hw.link.protocol=5", "5"),
        ("hw.link.protocol=3.1.1", "3.1.1"),
        ('hw.link.protocol="5"', "5"),
        ("hw.link.username=1234", "1234"),
        ("hw.link.username=0x1F", "0x1F"),
        ("hw.link.username=1.50", "1.50"),
        ("hw.link.username=true", "true"),
        ("hw.link.username=2026-05-30", "2026-05-30"),
        ("hw.link.username=nan", "nan"),
        ("hw.link.port=8883", 8883),
        ("hw.link.connect_timeout_s=5", 5.0),
        ("unit=12", "12"),
        ("agency=911", "911"),
    ],
)
def test_override_has_the_type_of_its_field(tmp_path, override, value):
    """Nobody quotes a number for a shell twice because TOML would."""
    path = tmp_path / "config.toml"
    path.write_text(TOML)
    for overrides in ([override], ["hw.link.window=7", override, "log.level=debug"]):
        found = load_config(path, overrides)
        for name in override.partition("=")[0].split("."):
            found = getattr(found, name)
        assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize("override", ["hw.link.protocol=6", "hw.link.port=many", "hw.link.prot=5"])
def test_override_of_a_wrong_type_is_refused(tmp_path, override):
    path = tmp_path / "config.toml"
    path.write_text(TOML)
    with pytest.raises(ConfigError, match=r"hw\.link"):
        load_config(path, [override])
