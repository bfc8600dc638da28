"""Tables about recognising plates: [recognise], [track], [reread], [pictures]."""

from __future__ import annotations

from pathlib import Path

from pydantic import AliasChoices, Field

from agent.geotag.deduplicate import DeduplicatorConfig
from agent.pictures import PictureConfig
from agent.recognise import RecogniserConfig, RuntimeKind
from agent.runtime.config.table import Table
from agent.track import TrackerConfig

_KIBI = 2**10
_RECOGNISER = RecogniserConfig()
_TRACKER = TrackerConfig()
_DEDUPLICATOR = DeduplicatorConfig()
_PICTURES = PictureConfig()


class RecogniseTable(Table):
    """Models and processing limits."""

    models: Path | None = Field(
        default=None, description="Folder with active.toml; if omitted, the shipped models"
    )
    runtime: RuntimeKind = Field(default=_RECOGNISER.runtime, description="TFLite runtime")
    threads: int = Field(default=_RECOGNISER.detector_threads, ge=1, le=8, description="Threads of the detector")
    min_plate_width_px: float = Field(
        validation_alias=AliasChoices("min_plate_width_px", "least_plate_width_px"),
        default=_RECOGNISER.min_plate_width_px,
        ge=8,
        le=400,
        description="Minimum width of a plate in pixels; narrower ones are not read",
    )
    max_plates: int = Field(
        validation_alias=AliasChoices("max_plates", "most_plates"),
        default=_RECOGNISER.max_plates,
        ge=1,
        le=64,
        description="Maximum number of plates read per frame",
    )
    max_fps: float | None = Field(
        validation_alias=AliasChoices("max_fps", "most_fps"),
        default=None,
        gt=0,
        le=240,
        description="Maximum number of frames processed per second; if omitted, all",
    )

    def recogniser_config(self) -> RecogniserConfig:
        """For the recogniser."""
        return RecogniserConfig(
            runtime=self.runtime,
            detector_threads=self.threads,
            min_plate_width_px=self.min_plate_width_px,
            max_plates=self.max_plates,
        )


class TrackTable(Table):
    """When the sightings of a plate become one read."""

    lost_ms: float = Field(
        default=_TRACKER.lost_ms,
        ge=50,
        le=10_000,
        description="Milliseconds without a sighting until a track closes",
    )
    min_confidence: float = Field(
        validation_alias=AliasChoices("min_confidence", "least_confidence"),
        default=_TRACKER.min_confidence,
        ge=0,
        le=1,
        description="Minimum confidence of a read",
    )
    min_confidence_single: float = Field(
        validation_alias=AliasChoices("min_confidence_single", "least_confidence_single"),
        default=_TRACKER.min_confidence_single,
        ge=0,
        le=1,
        description="Minimum confidence of a read from a single frame",
    )

    def tracker_config(self) -> TrackerConfig:
        """For the tracker."""
        return TrackerConfig(
            lost_ms=self.lost_ms,
            min_confidence=self.min_confidence,
            min_confidence_single=self.min_confidence_single,
        )


class RereadTable(Table):
    """When a read is suppressed as a re-read."""

    window_s: float = Field(
        default=_DEDUPLICATOR.window_s, ge=0, le=86_400, description="Seconds since the last report"
    )
    radius_m: float = Field(
        default=_DEDUPLICATOR.radius_m, ge=0, le=100_000, description="Metres from the last report"
    )

    def deduplicator_config(self) -> DeduplicatorConfig:
        """For the deduplicator."""
        return DeduplicatorConfig(window_s=self.window_s, radius_m=self.radius_m)


class PictureTable(Table):
    """Pictures kept with a read."""

    plate: bool = Field(default=_PICTURES.plate, description="Keep the picture of the plate")
    overview: bool = Field(default=_PICTURES.overview, description="Keep the picture of the scene")
    overview_width_px: int = Field(
        default=_PICTURES.overview_width_px, ge=160, le=4096, description="Width of the scene picture in pixels"
    )
    overview_max_kib: int = Field(
        validation_alias=AliasChoices("overview_max_kib", "overview_most_kib"),
        default=_PICTURES.overview_max_bytes // _KIBI,
        ge=8,
        le=1024,
        description="Maximum size of the scene picture in KiB",
    )

    def picture_config(self) -> PictureConfig:
        """For what makes the pictures."""
        return PictureConfig(
            plate=self.plate,
            overview=self.overview,
            overview_width_px=self.overview_width_px,
            overview_max_bytes=self.overview_max_kib * _KIBI,
        )
