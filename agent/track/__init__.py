"""Sightings -> tracks: many predictions of one plate in one pass become one text."""

from agent.track.still import StillConfig, StillTexts
from agent.track.tracker import Tracker, TrackerConfig, TrackerCounts, TrackerOutput, text_similarity

__all__ = [
    "StillConfig",
    "StillTexts",
    "Tracker",
    "TrackerConfig",
    "TrackerCounts",
    "TrackerOutput",
    "text_similarity",
]
