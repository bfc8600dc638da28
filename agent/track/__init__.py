"""Sightings -> tracks: many predictions of one plate in one pass become one text."""

from agent.track.tracker import Tracker, TrackerConfig, TrackerCounts, TrackerOutput

__all__ = ["Tracker", "TrackerConfig", "TrackerCounts", "TrackerOutput"]
