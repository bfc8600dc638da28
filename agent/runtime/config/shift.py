"""The table about officers' shifts: [shift]."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from agent.runtime.config.table import Table
from agent.shift.ports import DutyConfig
from hw.paths import CONFIG_DIR


class ShiftTable(Table):
    """Officers' shifts: docs/shifts.md."""

    roster_key: Path = Field(
        default=CONFIG_DIR / "agency.pub",
        description="Public key of the agency that signs rosters; without this file nobody can sign on",
    )
    session_idle_min: float = Field(
        default=15, gt=0, le=24 * 60, description="Minutes without a command after which an officer signs on again"
    )
    idle_sign_off_h: float = Field(
        default=4, gt=0, le=48, description="Hours without a command and without movement after which a shift ends"
    )
    resume_min: float = Field(
        default=30,
        gt=0,
        le=24 * 60,
        description="Minutes after a restart within which the officer must sign on again, or the shift ends",
    )
    ignition_sign_off: bool = Field(
        default=True, description="End shifts when the ignition's hold-up time is over"
    )
    keep_days: float = Field(
        default=14,
        gt=0,
        le=366,
        description="Days after which records of shifts are deleted on the unit, sent or not",
    )
    draft_days: float = Field(
        default=30,
        gt=0,
        le=366,
        description="Days after which a forgotten draft of an incident is sent unanswered",
    )
    coverage_min: float = Field(
        default=15, ge=1, le=24 * 60, description="Minutes that one message on coverage sums up"
    )

    def duty_config(self, unit: str) -> DutyConfig:
        """For the state machine."""
        return DutyConfig(
            unit,
            session_idle_s=self.session_idle_min * 60,
            idle_sign_off_s=self.idle_sign_off_h * 3600,
            resume_s=self.resume_min * 60,
            draft_days=self.draft_days,
            coverage_s=self.coverage_min * 60,
        )
