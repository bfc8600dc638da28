"""Policy packs for tests."""

from __future__ import annotations

from typing import Any

from protocol.policy.pack import PolicyPack

SQUARE = ((45.0, -100.0), (45.0, -99.99), (45.01, -99.99), (45.01, -100.0))
"""About 1.1 km high and 0.8 km wide."""
PACK: dict[str, Any] = {
    "id": "us-xx",
    "version": 3,
    "title": "For tests",
    "keep": "every_read",
    "position_sigmas": 3.0,
    "retain": {"nonhit": {"minutes": 3}, "hit": {"days": 30}},
    "pictures": {"plate": True, "overview": "whole"},
    "lists": {"max_age_hours": 24, "stop_age_hours": 72, "partial": "high_priority"},
    "entries": {"roles": ["supervisor"], "retain": {"hours": 12}},
    "alarms": {"max_false_per_1000": 1.0},
    "session": {"idle": {"minutes": 30}},
    "track": {"every_s": 0},
}


def told(**changes: Any) -> dict[str, Any]:
    """The pack as people write it, without what is None."""
    return {key: value for key, value in {**PACK, **changes}.items() if value is not None}


def make_pack(**changes: Any) -> PolicyPack:
    return PolicyPack.model_validate(told(**changes))
