"""``patrol-lpr run`` opens everything that the configuration names."""

from __future__ import annotations

import pytest

from agent.runtime.config import parse_config
from cli import run
from hw.clock import SimClock
from hw.config import HwConfig


@pytest.mark.parametrize("table", HwConfig.model_fields)
def test_every_table_of_the_hardware_is_opened_and_handed_on(table, monkeypatch):
    for name in HwConfig.model_fields:
        monkeypatch.setattr(run, f"open_{name}", lambda config, *_, name=name: (name, config))
    config = parse_config(
        {"unit": "unit-07", "agency": "A", "hw": {"cameras": [{"kind": "sim"}], "speaker": {"kind": "sim"}}},
        "c.toml",
    )
    hardware = run.open_hardware(config, SimClock())
    assert getattr(hardware, table) == (table, getattr(config.hw, table))
