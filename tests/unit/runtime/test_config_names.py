"""Configuration files written for release 0.1 keep working after their keys were renamed."""

import pytest

from agent.errors import ConfigError
from agent.runtime.config import parse_config

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
def test_a_renamed_key_is_taken_under_its_old_name(section, old, new, value):
    """Both names give the same configuration; the new one is what is printed."""
    by_old = parse_config({**MINIMAL, section: {old: value}}, "old.toml")
    by_new = parse_config({**MINIMAL, section: {new: value}}, "new.toml")
    assert by_old == by_new
    assert by_old.model_dump()[section][new] == value


def test_a_misspelt_key_is_still_refused():
    with pytest.raises(ConfigError, match=r"recognise\.max_fsp: unknown key"):
        parse_config({**MINIMAL, "recognise": {"max_fsp": 3}}, "wrong.toml")
