"""The commands of ``patrol-lpr hotlist`` that work on a unit: install, status, remove, pin."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from agent.errors import ConfigError
from agent.hotlist.keys import PIN_FILE, PinKeys
from agent.policy.records import Where
from agent.runtime.config import load_config
from agent.runtime.lists import UnitLists, build_lists
from agent.runtime.stages import load_policies, load_unit_key
from protocol.seal.keys import StationKey

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from agent.hotlist.records import ListInfo
    from agent.hotlist.store import ListsInForce
    from agent.runtime.config import AgentConfig

_NOT_A_CLOCK_US = 1_767_225_600_000_000
"""A clock before 2026 was never set: expiry cannot be checked with it."""


@dataclass(frozen=True, slots=True)
class UnitStatus:
    """The lists of a unit."""

    locked: bool
    lists: tuple[ListInfo, ...]
    faults: tuple[str, ...]


def install(config: Path, overrides: Sequence[str], package: Path) -> ListInfo:
    """Verify a package and put it in force; the running agent sees it within seconds."""
    lists, unlocked = _lists(load_config(config, overrides))
    if unlocked.key is not None:
        lists.unlock(unlocked.key)
    return lists.install(package)


def remove(config: Path, overrides: Sequence[str], list_id: str) -> None:
    """Take a list out of force."""
    _lists(load_config(config, overrides))[0].remove(list_id)


def status(config: Path, overrides: Sequence[str]) -> UnitStatus:
    """Open the lists as the agent does."""
    lists, unlocked = _lists(load_config(config, overrides))
    if unlocked.key is not None:
        lists.unlock(unlocked.key)
    faults = tuple(f"{fault.list_id}: {fault.reason}" for fault in lists.faults)
    return UnitStatus(lists.is_locked, lists.matcher.lists, faults)


def public_key(config: Path, overrides: Sequence[str]) -> StationKey:
    """Return the public key to which this unit's lists are sealed."""
    return StationKey(_lists(load_config(config, overrides))[0].public.public)


def set_pin(config: Path, overrides: Sequence[str], officer: str, by: str | None) -> str:
    """Ask for a PIN and let the officer open the lists; ``by`` is one who can already.  Returns what was done."""
    loaded = load_config(config, overrides)
    loaded.state_dir.mkdir(parents=True, exist_ok=True)
    pins = PinKeys(loaded.state_dir / PIN_FILE, load_unit_key(loaded))
    if not pins.exists:
        pins.create(officer, _ask_twice(f"new PIN of {officer}"))
        return f"{officer} can open the lists; install them again, those of before are sealed to another key"
    if by is None:
        raise typer.BadParameter(
            f"name an officer who can open the lists: {', '.join(pins.officers())}", param_hint="--by"
        )
    key = pins.unlock(by, typer.prompt(f"PIN of {by}", hide_input=True))
    pins.add(key, officer, _ask_twice(f"new PIN of {officer}"))
    return f"{officer} can open the lists"


def _lists(config: AgentConfig) -> tuple[ListsInForce, UnitLists]:
    policies = load_policies(config)
    budget = None if policies is None else policies().at(Where()).alarms.max_false_per_1000
    found = build_lists(config, lambda: load_unit_key(config), _clock_us, budget_per_1000=budget)
    if found is None:
        raise ConfigError("hotlist.key is not set: name the hotlist.pub of the list authority")
    return found.lists, found


def _clock_us() -> int | None:
    now = time.time_ns() // 1000
    return now if now > _NOT_A_CLOCK_US else None


def _ask_twice(what: str) -> str:
    return str(typer.prompt(what, hide_input=True, confirmation_prompt=True))
