"""The configuration: TOML, typed, frozen, unknown keys rejected, all errors reported with their key paths.

If a stage has a dataclass for its settings, its defaults are declared only there; the table converts them to the units
of the file, and back for the stage.
"""

from agent.runtime.config.load import (
    DEFAULT_PATH,
    PLACEHOLDERS,
    check_patch,
    load_config,
    parse_config,
    refuse_placeholders,
)
from agent.runtime.config.machine import CommandTable, FeedTable, PowerTable, UpdateTable
from agent.runtime.config.shift import ShiftTable
from agent.runtime.config.unit import AgentConfig

__all__ = [
    "DEFAULT_PATH", "PLACEHOLDERS", "AgentConfig", "CommandTable", "FeedTable", "PowerTable", "ShiftTable",
    "UpdateTable", "check_patch", "load_config", "parse_config", "refuse_placeholders",
]  # fmt: skip
