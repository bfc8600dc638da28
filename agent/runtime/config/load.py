"""Reads the configuration: files, what an update brings, overrides of the command line."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from agent.errors import ConfigError
from agent.runtime.config.mistakes import lines_of
from agent.runtime.config.unit import FORMAT, AgentConfig
from hw.paths import CONFIG_FILE
from protocol.written import WrittenFileError, parse_toml, read_written
from updater.release_state import HOME

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

DEFAULT_PATH = CONFIG_FILE
RELEASE_PATH = HOME / "current/config.toml"
"""Configuration of the running release, merged over the unit's own."""
_OWN = ("unit", "state_dir", "seal", "policy")
"""Keys that an update cannot change: the unit's identity, who can read what it stores, and who says what it keeps."""
_ANY_UNIT: dict[str, Any] = {
    "cameras": [{"kind": "pi"}],
    "panel": {"kind": "gpio"},
    "link": {"kind": "mqtt", "host": "localhost", "tls": {}},
    "board": {"kind": "linux"},
}
_RECEIVERS: tuple[dict[str, Any], ...] = (
    {"kind": "serial"},
    {"kind": "gpsd"},
    {"kind": "fixed", "lat_deg": 45.0, "lon_deg": 45.0, "error_m": 10.0},
)
PLACEHOLDERS = {"unit": "change-me", "agency": "Change Me", "host": "station.example.org"}
"""What ``config example`` prints for values that every fleet has of its own."""


def load_config(path: Path, overrides: Sequence[str] = (), *, over: Path | None = None) -> AgentConfig:
    """Read a TOML file, merge another over it, then apply ``section.key=value`` overrides (TOML, or bare words).

    ``over`` is the configuration of an update: tables are merged, everything else is replaced; if omitted, that of the
    running release is used.  A missing file changes nothing.  Raises ConfigError listing every error with its key path.
    """
    table, source = _table(path), str(path)
    over = over or (RELEASE_PATH if path == DEFAULT_PATH else None)
    if over is not None and over.exists():
        patch, source = _table(over), f"{path} with {over}"
        if own := [key for key in _OWN if key in patch]:
            raise ConfigError(f"{over}: {', '.join(own)} cannot be changed by an update: edit {path} on the unit")
        table = _overlaid(table, patch)
    for override in overrides:
        _override(table, override)
    return parse_config(_typed(table, overrides), source)


def _table(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_written(path))
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file; `patrol-lpr config example` prints an example") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    except WrittenFileError as error:
        raise ConfigError(f"{path}: {error}") from error


def _overlaid(base: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in patch.items():
        inner = merged.get(key)
        # A back end of another kind shares no keys with the one before and replaces it as a whole.
        if (
            isinstance(inner, dict)
            and isinstance(value, dict)
            and value.get("kind", inner.get("kind")) == inner.get("kind")
        ):
            merged[key] = _overlaid(inner, value)
        else:
            merged[key] = value
    return merged


def parse_config(table: dict[str, Any], source: str) -> AgentConfig:
    """Check a table; raises ConfigError listing every error with its key path."""
    newer = table.get("format")
    if isinstance(newer, int) and newer > FORMAT:
        raise ConfigError(f"{source}: format {newer}, this version reads {FORMAT}: update the program first")
    lines, config = _checked(table)
    if config is None:
        raise ConfigError(f"{source}: the configuration is invalid:\n" + "\n".join(lines))
    return config


def _checked(table: dict[str, Any], *, skip: str = "") -> tuple[list[str], AgentConfig | None]:
    """The mistakes of a table, and the configuration if there are none."""
    try:
        config = AgentConfig.model_validate(_with_derived(table))
    except ValidationError as error:
        return lines_of(error, table, skip=skip), None
    lines = lines_of(None, table)
    return lines, None if lines else config


def _with_derived(table: dict[str, Any]) -> dict[str, Any]:
    """By default the link uses the unit's id and the board monitors the state folder."""
    hw = table.get("hw")
    if not isinstance(hw, dict):
        return table
    hw = dict(hw)
    link, board = hw.get("link"), hw.get("board", {"kind": "linux"})
    if isinstance(link, dict) and link.get("kind") == "mqtt" and "unit" in table:
        hw["link"] = {"unit": table["unit"], **link}
    if isinstance(board, dict) and board.get("kind") == "linux" and "state_dir" in table:
        hw["board"] = {"state_dir": table["state_dir"], **board}
    return {**table, "hw": hw}


def _override(table: dict[str, Any], override: str) -> None:
    name, equals, text = override.partition("=")
    if not equals or not all(name.split(".")):
        raise ConfigError(f"--set {override}: expected section.key=value")
    try:
        value = parse_toml(f"value = {text}")["value"]
    except WrittenFileError:
        value = text
    _set(table, name, value, override)


def _set(table: dict[str, Any], name: str, value: object, override: str) -> None:
    *sections, key = name.split(".")
    inner = table
    for section in sections:
        inner = inner.setdefault(section, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {section} is not a section")
    inner[key] = value


def _typed(table: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Use a value of the command line as a string if it is invalid as TOML value but valid as a string.

    ``protocol=5`` and ``unit=12`` are strings, though TOML reads them as numbers.
    """
    errors = _error_count(table)
    for override in overrides if errors else ():
        name, _, text = override.partition("=")
        as_text = copy.deepcopy(table)
        _set(as_text, name, text, override)
        left = _error_count(as_text)
        if left < errors:
            table, errors = as_text, left
    return table


def _error_count(table: dict[str, Any]) -> int:
    try:
        AgentConfig.model_validate(_with_derived(table))
    except ValidationError as error:
        return error.error_count()
    return 0


def check_patch(patch: dict[str, Any], source: str) -> None:
    """Raise ConfigError for keys and values that no unit would take over; ``patch`` is what an update brings.

    What depends on the unit's own configuration is checked there.
    """
    if own := [key for key in _OWN if key in patch]:
        raise ConfigError(f"{source}: {', '.join(own)} cannot be changed by an update: edit the unit's own file")
    fewest: list[str] | None = None
    for receiver in _RECEIVERS:
        hw = {**_ANY_UNIT, "gnss": receiver}
        table = _overlaid({"unit": "unit", "agency": "agency", "hw": hw}, patch)
        lines, _ = _checked(table, skip="value_error")
        if fewest is None or len(lines) < len(fewest):
            fewest = lines
    if fewest:
        raise ConfigError(f"{source}: no unit would take this:\n" + "\n".join(fewest))


def refuse_placeholders(config: AgentConfig, path: Path) -> None:
    """Raise ConfigError if values of the example were not replaced: a unit must not send under another's name."""
    left = _placeholders_left(config)
    if left:
        raise ConfigError(f"{path}: still has values of the example:\n" + "\n".join(f"  {line}" for line in left))


def _placeholders_left(config: AgentConfig) -> list[str]:
    found: dict[str, object] = {"unit": config.unit, "agency": config.agency}
    if config.hw.link.kind == "mqtt":
        found["host"] = config.hw.link.host
    names = {"host": "hw.link.host"}
    return [
        f"{names.get(name, name)}: {value!r} is the example's value; write your own"
        for name, value in found.items()
        if value == PLACEHOLDERS[name]
    ]
