"""Tables about hot lists, policies and hits: [hotlist], [policy], [hits]."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from agent.hits.desk import HitSettings
from agent.runtime.config.table import Table
from hw.paths import CONFIG_DIR

_HITS = HitSettings()


class HotlistTable(Table):
    """Hot lists; entries are never written to the log."""

    key: Path | None = Field(
        default=None,
        description="hotlist.pub of the list authorities whose lists are accepted; if omitted, there are no lists",
    )
    open: Literal["start", "pin"] = Field(
        default="start",
        description="start: lists are opened when the agent starts; pin: when an officer signs on with a PIN",
    )
    fetch: Literal["always", "free", "never"] = Field(
        default="always",
        description="Fetch lists that the station offers: over any link, over unmetered ones only, or never",
    )
    max_alarms_per_1000: float | None = Field(
        default=None, ge=0, le=1000,
        description="Refuse lists with more expected false alarms per 1,000 cars; if omitted, none is refused for that",
    )  # fmt: skip


class PolicyTable(Table):
    """What is kept, for how long and where: docs/privacy.md."""

    mode: Literal["on", "off"] = Field(
        default="on",
        description="on: the signed policies hold, or the strict default; off: all is kept until its receipt (tests)",
    )
    key: Path = Field(
        default=CONFIG_DIR / "policy.pub", description="Public keys, one of which must have signed a policy"
    )
    hash_key: Path | None = Field(
        default=None,
        description="Key of the agency for keyed hashes of plates; if omitted, such reads are not kept",
    )


class HitTable(Table):
    """Hits: docs/hits.md."""

    repeat_s: float = Field(
        default=_HITS.repeat_s,
        ge=0,
        le=3600,
        description="Seconds for which a vehicle that was seen raises no other hit",
    )
    rejected_s: float = Field(
        default=_HITS.rejected_s, ge=0, le=86_400, description="The same after an officer rejected the hit"
    )
    max_open: int = Field(
        default=_HITS.max_open, ge=1, le=500, description="Hits that may wait for a decision; more expire"
    )
    max_open_h: float = Field(
        default=_HITS.open_s / 3600, ge=0.1, le=168, description="Hours after which an undecided hit expires"
    )
    max_list_age_h: float = Field(
        default=24, ge=0.1, le=8760, description="Hours from which on a list is stale, if policies are off"
    )
    stale_lists: Literal["alert", "record"] = Field(
        default="alert",
        description="Hits of stale lists: alert, marked as such; record: without an alert, except high priority",
    )
    language: Literal["en", "es"] = Field(default="en", description="Language of spoken hits")
    manual_priority: Literal["high", "medium", "low"] = Field(
        default="high", description="Priority of plates that officers enter"
    )
    manual_max_h: float = Field(
        default=24, gt=0, le=720, description="Maximum number of hours for which an entered plate is watched for"
    )

    def hit_settings(self, *, final_s: float) -> HitSettings:
        """For the desk; ``final_s`` is the longest time from a confirmed track to the final one."""
        return HitSettings(
            repeat_s=self.repeat_s,
            rejected_s=self.rejected_s,
            max_open=self.max_open,
            open_s=self.max_open_h * 3600,
            final_s=final_s,
            quiet_if_stale=self.stale_lists == "record",
        )
