"""Every key of every kind of configuration, with values of every kind."""

from __future__ import annotations

import contextlib
import copy
import io
import re
import tomllib
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest

from agent.errors import ConfigError
from agent.runtime.config import parse_config
from cli.config import example

if TYPE_CHECKING:
    from collections.abc import Iterator

VALUES: list[Any] = [
    "", "x", "[red]", "\x1b[2J\n", "x" * 100_000, "\ud800", "/", "../..", -1, 0, 10**30, 1.5, float("nan"),
    float("inf"), True, [], [1], [[]], {}, {"a": 1}, ["x", "x"], date(2026, 1, 1),
]  # fmt: skip
JARGON = re.compile(
    r"Input|valid_|pydantic|type=|not valid;|Value error|function-|lax-|literal\[|tagged|Assertion"
)
KINDS = [("pi", "serial"), ("device", "gpsd"), ("video", "fixed"), ("folder", "sim"), ("sim", "none")]


def table_of(camera: str, gnss: str) -> dict[str, Any]:
    """All keys that the example shows, also those that are commented out with their defaults."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        example(camera, gnss)
    return tomllib.loads(re.sub(r"^# (\w+ = )", r"\1", out.getvalue(), flags=re.MULTILINE))


def keys_of(table: dict[str, Any], before: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    for key, value in table.items():
        yield (*before, key)
        inner, place = (value[0], (*before, key, 0)) if _is_tables(value) else (value, (*before, key))
        if isinstance(inner, dict):
            yield from keys_of(inner, place)


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def with_value(table: dict[str, Any], key: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    changed = copy.deepcopy(table)
    inner: Any = changed
    for part in key[:-1]:
        inner = inner[part]
    inner[key[-1]] = value
    return changed


@pytest.mark.slow
@pytest.mark.parametrize(("camera", "gnss"), KINDS)
def test_any_value_of_any_key_is_taken_or_refused_by_name_in_own_words(camera, gnss):
    table = table_of(camera, gnss)
    parse_config(table, "c.toml")
    keys = list(keys_of(table))
    assert len(keys) > 80
    for key in keys:
        for value in VALUES:
            try:
                parse_config(with_value(table, key, value), "c.toml")
            except ConfigError as error:
                told = str(error)
                assert str(key[-1]) in told
                assert not JARGON.search(told), told
                assert len(told) < 3000
                assert told.isprintable() or "\n" in told
            else:
                assert value not in {"", "\x1b[2J\n", "\ud800"} if isinstance(value, str) else True, key


@pytest.mark.slow
@pytest.mark.parametrize(("camera", "gnss"), KINDS)
def test_every_misspelt_key_is_refused(camera, gnss):
    table = table_of(camera, gnss)
    for key in keys_of(table):
        misspelt = (*key[:-1], f"{key[-1]}x")
        with pytest.raises(ConfigError, match=rf"{key[-1]}x: unknown key"):
            parse_config(with_value(table, misspelt, 1), "c.toml")
