"""What installing and operating a unit is told: pixels, pins, lamps and findings are those of the code."""

from __future__ import annotations

import math
import re

from agent.runtime.config import load_config
from cli.config import example
from cli.diagnostics import checks
from hw.panel_gpio import pattern
from hw.ports import Lamp
from tests.conftest import ROOT

INSTALL = (ROOT / "docs/install.md").read_text(encoding="utf-8")
OPERATIONS = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
HEADER = {5: 29, 6: 31, 17: 11, 22: 15, 23: 16, 24: 18, 27: 13}
"""Pins of the 40-pin header by GPIO number (Raspberry Pi documentation)."""


def rows(text: str, head: str) -> list[list[str]]:
    """The table whose head line begins so."""
    lines = text.split(f"\n{head}", 1)[1].split("\n\n", 1)[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_plate_width_table_matches_geometry():
    distances_m = (5, 10, 15, 20, 30)
    table = rows(INSTALL, "| camera, lens")
    assert len(table) == 5
    for lens, frame_px, *shown in table:
        angle = math.radians(float(re.search(r"\((\d+)°\)", lens)[1]))
        right = [int(frame_px) * 0.305 / (2 * d * math.tan(angle / 2)) for d in distances_m]
        assert [int(cell) for cell in shown] == [round(px) for px in right]


def test_wiring_diagram_matches_example_pins(tmp_path, capsys):
    example()
    path = tmp_path / "config.toml"
    path.write_text(capsys.readouterr().out, encoding="utf-8")
    panel = load_config(path).hw.panel
    picture = (ROOT / "docs/pictures/wiring.svg").read_text(encoding="utf-8")
    names = {
        "ignition_pin": "Ignition sense", "status_pin": "Status lamp", "hit_pin": "Hit lamp", "buzzer_pin": "Buzzer",
        "illuminator_pin": "Infra-red illuminator", "acknowledge_pin": "Acknowledge button",
        "privacy_pin": "Privacy button",
    }  # fmt: skip
    assert set(names) == {name for name in type(panel).model_fields if name.endswith("_pin")}
    for name, title in names.items():
        gpio = getattr(panel, name)
        assert f">{title} (GPIO {gpio})<" in picture
        assert f">pin {HEADER[gpio]}: GPIO {gpio}<" in picture


def test_lamp_table_matches_patterns():
    table = rows(OPERATIONS, "| lamp | pattern")
    assert [(name.strip("`"), shown) for name, shown, *_ in table] == [
        (lamp.value, pattern(lamp)) for lamp in Lamp
    ]


def test_every_doctor_check_is_documented(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text('unit = "u"\nagency = "x"\nstate_dir = "/nowhere"\n[[hw.cameras]]\nkind = "sim"\n')
    found = [finding.what for finding in checks.examine(path, [])]
    assert [row[0] for row in rows(OPERATIONS, "| check |")] == found


def test_monitored_counters_exist():
    known = set(re.findall(r"^\| `([a-z_.0-9]+)` \|", (ROOT / "docs/counters.md").read_text(), flags=re.MULTILINE))
    watched = set(
        re.findall(r"`([a-z]+\.[a-z_]+)`", "".join(row[0] for row in rows(OPERATIONS, "| counter or gauge")))
    )
    assert len(watched) > 10
    assert watched <= known
