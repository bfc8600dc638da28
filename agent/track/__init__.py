"""Sightings -> tracks: the predictions of one plate in one pass are fused into one text."""

from agent.track.motion import UNKNOWN_MOTION, Motion, MotionConfig, MotionEstimator
from agent.track.still import StillConfig, StillTexts
from agent.track.tracker import Tracker, TrackerConfig, TrackerCounts, TrackerOutput, text_similarity

__all__ = [
    "UNKNOWN_MOTION",
    "Motion",
    "MotionConfig",
    "MotionEstimator",
    "StillConfig",
    "StillTexts",
    "Tracker",
    "TrackerConfig",
    "TrackerCounts",
    "TrackerOutput",
    "text_similarity",
]
