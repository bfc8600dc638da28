"""``station.toml``: typed, unknown keys refused, every error with its key."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticUndefined

from protocol.mistakes import words_of
from protocol.written import WrittenFileError, parse_toml, read_written
from station.errors import StationConfigError
from station.outputs.config import AnyOutput, CotOutput, JsonLinesOutput, Table, WebhookOutput

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pydantic.fields import FieldInfo

_EXAMPLES: dict[type[Table], dict[str, Any]] = {
    CotOutput: {
        "name": "tak",
        "kind": "cot",
        "url": "tls://tak.example.org:8089",
        "ca": "/etc/patrol-lpr/station/tak-ca.pem",
        "cert": "/etc/patrol-lpr/station/tak.pem",
        "key": "/etc/patrol-lpr/station/tak.key",
    },
    WebhookOutput: {
        "name": "dispatch",
        "kind": "webhook",
        "url": "https://dispatch.example.org/lpr",
        "secret_file": "/etc/patrol-lpr/station/dispatch.secret",
    },
    JsonLinesOutput: {"name": "archive", "kind": "jsonl", "path": "/var/lib/patrol-lpr-station/hits.jsonl"},
}


class StationConfig(Table):
    """What the station sends to other systems."""

    format: Literal[1] = 1
    outputs: tuple[AnyOutput, ...] = Field(default=(), max_length=32, description="Outputs")

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [output.name for output in self.outputs]
        if len(set(names)) < len(names):
            raise ValueError("outputs: two have the same name")
        return self


def load_station_config(path: Path) -> StationConfig:
    """Read a file.  Raises StationConfigError with all errors."""
    try:
        told = parse_toml(read_written(path))
    except OSError as error:
        raise StationConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except WrittenFileError as error:
        raise StationConfigError(f"{path}: {error}") from error
    try:
        return StationConfig.model_validate(told)
    except ValidationError as error:
        raise StationConfigError("\n".join(f"{path}: {line}" for line in _errors(error))) from None


def _errors(error: ValidationError) -> Iterator[str]:
    for each in error.errors(include_url=False, include_input=False):
        # A table of a known kind has the kind in its place, which the file does not.
        parts = [part for part in each["loc"] if part not in {"cot", "webhook", "jsonl"}]
        where = ".".join(str(part + 1) if isinstance(part, int) else part for part in parts)
        yield f"{where or 'file'}: {words_of(each, with_value=False)}"


def example() -> str:
    """Return a complete example with a comment for each key; keys with defaults are commented out."""
    lines = [
        "# patrol-lpr station: outputs to other systems.  Keys that are commented out show their defaults.",
        "# Check the file with: patrol-lpr station config check FILE",
        "format = 1",
    ]
    for table in get_args(get_args(AnyOutput)[0]):
        lines += ["", f"# {(table.__doc__ or '').strip().splitlines()[0]}", "[[outputs]]"]
        values = _EXAMPLES[table]
        fields = sorted(table.model_fields.items(), key=lambda field: field[0] not in {"name", "kind"})
        for name, field in fields:
            lines += _key_lines(name, field, values)
    return "\n".join(lines) + "\n"


def _key_lines(name: str, field: FieldInfo, values: Mapping[str, Any]) -> Iterator[str]:
    if field.description:
        yield f"# {field.description}."
    if name in values:
        yield f"{name} = {_toml(values[name])}"
    elif field.default is None:
        yield f"# {name} ="
    elif field.default is not PydanticUndefined:
        yield f"# {name} = {_toml(field.default)}"


def _toml(value: Any) -> str:
    """JSON is TOML for strings, numbers, truth values and lists of them."""
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
