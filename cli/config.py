"""``patrol-lpr config``: check a file, print an example, print the effective configuration."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from agent.runtime.config import AgentConfig, load_config
from hw.config import (
    GpioPanelConfig,
    LinuxBoardConfig,
    MqttLinkConfig,
    PiCameraConfig,
    SerialGnssConfig,
    TlsConfig,
)
from hw.paths import CONFIG_DIR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic.fields import FieldInfo

_EXAMPLE_HW: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    "[hw.cameras]": (PiCameraConfig, {"kind": "pi"}),
    "hw.gnss": (SerialGnssConfig, {"kind": "serial"}),
    "hw.panel": (
        GpioPanelConfig,
        {
            "kind": "gpio",
            "ignition_pin": 17,
            "status_pin": 27,
            "hit_pin": 22,
            "buzzer_pin": 23,
            "illuminator_pin": 24,
            "acknowledge_pin": 5,
            "privacy_pin": 6,
        },
    ),
    "hw.link": (MqttLinkConfig, {"kind": "mqtt", "host": "station.example.org", "port": 8883}),
    "hw.link.tls": (
        TlsConfig,
        {f: str(CONFIG_DIR / n) for f, n in (("ca", "ca.pem"), ("cert", "unit.pem"), ("key", "tls.key"))},
    ),
    "hw.board": (LinuxBoardConfig, {"kind": "linux"}),
}
_REQUIRED = {"unit": "unit-07", "agency": "Example Sheriff"}
_DERIVED = frozenset({"unit", "state_dir"})
"""Taken from the top level of the file."""


def check(path: Path, overrides: list[str], over: Path | None) -> int:
    """Print that the file is valid, or raise ConfigError with all errors."""
    config = load_config(path, overrides, over=over)
    cameras = ", ".join(f"{c.name} ({c.kind})" for c in config.hw.cameras)
    sys.stdout.write(f"{path}: valid; unit {config.unit}, cameras {cameras}, link {config.hw.link.kind}\n")
    return 0


def show(path: Path, overrides: list[str]) -> int:
    """Print the effective configuration, including defaults, as JSON."""
    config = load_config(path, overrides)
    sys.stdout.write(json.dumps(config.model_dump(mode="json"), indent=2) + "\n")
    return 0


def example() -> int:
    """Print a complete example with a comment for every key; keys with defaults are commented out."""
    sys.stdout.write("\n".join(_example_lines()) + "\n")
    return 0


def _example_lines() -> Iterator[str]:
    yield "# patrol-lpr: one unit.  Keys that are commented out show their defaults."
    tables: list[tuple[str, type[BaseModel], dict[str, Any]]] = []
    for name, field in AgentConfig.model_fields.items():
        if name == "hw":
            tables += [(key, model, values) for key, (model, values) in _EXAMPLE_HW.items()]
        elif isinstance(field.default, BaseModel):
            tables.append((name, type(field.default), {}))
        else:
            yield from _key_lines(name, field, _REQUIRED)
    for name, model, values in tables:
        yield ""
        yield f"# {(model.__doc__ or '').strip().splitlines()[0]}"
        yield f"[{name}]"
        for key, field in model.model_fields.items():
            if not (name.startswith(("hw", "[hw")) and key in _DERIVED):
                yield from _key_lines(key, field, values)


def _key_lines(name: str, field: FieldInfo, values: dict[str, Any]) -> Iterator[str]:
    if field.description:
        yield f"# {field.description}."
    if name in values:
        yield f"{name} = {_toml(values[name])}"
    elif field.default is None:
        yield f"# {name} ="
    elif field.default is not PydanticUndefined:
        yield f"# {name} = {_toml(field.default)}"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(str(value)) if isinstance(value, str | Path) else str(value)
