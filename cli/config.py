"""``patrol-lpr config``: check a file, print an example, print the effective configuration."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from agent.errors import ConfigError
from agent.runtime.config import PLACEHOLDERS, AgentConfig, load_config, refuse_placeholders
from hw.config import (
    DeviceCameraConfig,
    FixedGnssConfig,
    FolderCameraConfig,
    GpioPanelConfig,
    GpsdGnssConfig,
    LinuxBoardConfig,
    MqttLinkConfig,
    NoGnssConfig,
    PiCameraConfig,
    SerialGnssConfig,
    SimCameraConfig,
    SimGnssConfig,
    TlsConfig,
    VideoCameraConfig,
)
from hw.paths import CONFIG_DIR

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic.fields import FieldInfo

_CAMERAS: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    "pi": (PiCameraConfig, {}),
    "device": (DeviceCameraConfig, {"source": 0, "fourcc": "MJPG"}),
    "video": (VideoCameraConfig, {"path": "ride.mp4"}),
    "folder": (FolderCameraConfig, {"path": "pictures"}),
    "sim": (SimCameraConfig, {}),
}
_RECEIVERS: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
    "serial": (SerialGnssConfig, {}),
    "gpsd": (GpsdGnssConfig, {}),
    "fixed": (FixedGnssConfig, {"lat_deg": 44.0213, "lon_deg": -100.3576, "error_m": 15.0}),
    "sim": (SimGnssConfig, {}),
    "none": (NoGnssConfig, {}),
}
_EXAMPLE_HW: dict[str, tuple[type[BaseModel], dict[str, Any]]] = {
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
    "hw.link": (MqttLinkConfig, {"kind": "mqtt", "host": PLACEHOLDERS["host"], "port": 8883}),
    "hw.link.tls": (
        TlsConfig,
        {f: str(CONFIG_DIR / n) for f, n in (("ca", "ca.pem"), ("cert", "unit.pem"), ("key", "tls.key"))},
    ),
    "hw.board": (LinuxBoardConfig, {"kind": "linux"}),
}
_DERIVED = frozenset({"unit", "state_dir"})
"""Taken from the top level of the file."""


def check(path: Path, overrides: list[str], over: Path | None) -> int:
    """Print that the file is valid, or raise ConfigError with all errors or all placeholders that are left."""
    config = load_config(path, overrides, over=over)
    if over is None:
        refuse_placeholders(config, path)
    cameras = ", ".join(f"{c.name} ({c.kind})" for c in config.hw.cameras)
    sys.stdout.write(f"{path}: valid; unit {config.unit}, cameras {cameras}, link {config.hw.link.kind}\n")
    return 0


def show(path: Path, overrides: list[str]) -> int:
    """Print the effective configuration, including defaults, as JSON."""
    config = load_config(path, overrides)
    sys.stdout.write(json.dumps(config.model_dump(mode="json"), indent=2) + "\n")
    return 0


def example(camera: str = "pi", gnss: str = "serial") -> int:
    """Print a complete example with a comment for every key; keys with defaults are commented out.

    Raises ConfigError for a kind that does not exist.
    """
    for what, kind, kinds in (("--camera", camera, _CAMERAS), ("--gnss", gnss, _RECEIVERS)):
        if kind not in kinds:
            raise ConfigError(f"{what} {kind}: unknown kind, known are {', '.join(kinds)}")
    sys.stdout.write("\n".join(_example_lines(camera, gnss)) + "\n")
    return 0


def _example_lines(camera: str, gnss: str) -> Iterator[str]:
    yield "# patrol-lpr: one unit.  Keys that are commented out show their defaults, or have none."
    yield "# Replace unit, agency and the host of [hw.link]; `config check` refuses these values."
    tables: list[tuple[str, type[BaseModel], dict[str, Any]]] = []
    for name, field in AgentConfig.model_fields.items():
        if name == "hw":
            for table, kinds, kind in (("[hw.cameras]", _CAMERAS, camera), ("hw.gnss", _RECEIVERS, gnss)):
                model, values = kinds[kind]
                tables.append((table, model, {"kind": kind, **values}))
            tables += [(key, model, values) for key, (model, values) in _EXAMPLE_HW.items()]
        elif isinstance(field.default, BaseModel):
            tables.append((name, type(field.default), {}))
        else:
            yield from _key_lines(name, field, PLACEHOLDERS)
    for name, model, values in tables:
        yield ""
        yield f"# {(model.__doc__ or '').strip().splitlines()[0]}"
        yield f"[{name}]"
        for key, field in model.model_fields.items():
            if not (name.startswith(("hw", "[hw")) and key in _DERIVED) and key != "tls":
                yield from _key_lines(key, field, values, kinds=_kinds_beside(name))


def _kinds_beside(table: str) -> str:
    kinds = {"[hw.cameras]": _CAMERAS, "hw.gnss": _RECEIVERS}.get(table)
    option = "--camera" if table == "[hw.cameras]" else "--gnss"
    return "" if kinds is None else f": {', '.join(kinds)}; `config example {option} KIND` explains each"


def _key_lines(name: str, field: FieldInfo, values: Mapping[str, Any], *, kinds: str = "") -> Iterator[str]:
    described = f"Kind{kinds}" if name == "kind" else field.description
    if described:
        yield f"# {described}."
    if name in values:
        yield f"{name} = {_toml(values[name])}"
    elif field.default is None:
        yield f"# {name} ="
    elif field.default is not PydanticUndefined:
        yield f"# {name} = {_toml(field.default)}"


def _toml(value: Any) -> str:
    """Write a value as TOML; JSON is TOML for strings, numbers, truth values and lists of them."""
    if isinstance(value, tuple | list):
        return f"[{', '.join(_toml(item) for item in value)}]"
    return json.dumps(value if isinstance(value, str | bool | int | float) else str(value), ensure_ascii=False)
