"""Sightings -> tracks: many looks at one plate in one pass become one voted text."""

from agent.track.candidates import alternative_texts
from agent.track.reread import RereadConfig, RereadCounts, RereadWindow
from agent.track.tracker import Tracker, TrackerConfig, TrackerCounts
from agent.track.vote import vote

__all__ = [
    "RereadConfig",
    "RereadCounts",
    "RereadWindow",
    "Tracker",
    "TrackerConfig",
    "TrackerCounts",
    "alternative_texts",
    "vote",
]
