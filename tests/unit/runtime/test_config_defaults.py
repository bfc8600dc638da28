"""Each default is declared once: a configuration that says nothing builds every stage with the stage's own defaults."""

from __future__ import annotations

from dataclasses import replace
from inspect import signature
from pathlib import Path

import pytest

from agent.buffer import Limits
from agent.exposure import ExposureConfig
from agent.geotag import Geotagger
from agent.geotag.deduplicate import DeduplicatorConfig
from agent.geotag.fixes import FixRingConfig
from agent.geotag.nmea import NmeaConfig
from agent.pictures import PictureConfig
from agent.recognise import RecogniserConfig, RuntimeKind
from agent.runtime.config import DEFAULT_PATH, parse_config
from agent.runtime.stages import exposure_config
from agent.sync.metering import MeteringConfig
from agent.sync.uplink import UplinkConfig
from agent.track import TrackerConfig
from hw.config import LinuxBoardConfig, MqttLinkConfig, PiCameraConfig
from hw.paths import CONFIG_DIR, STATE_DIR
from updater.release_state import RELEASE_KEY

MINIMAL = {"unit": "unit-07", "agency": "Example Sheriff", "hw": {"cameras": [{"kind": "pi"}]}}
"""Only what has no default."""

STAGES = {
    "recogniser": (lambda c: c.recognise.recogniser_config(), RecogniserConfig()),
    "tracker": (lambda c: c.track.tracker_config(), TrackerConfig()),
    "deduplicator": (lambda c: c.reread.deduplicator_config(), DeduplicatorConfig()),
    "receiver": (lambda c: c.geotag.nmea_config(), NmeaConfig()),
    "fixes": (lambda c: c.geotag.fix_ring_config(), FixRingConfig()),
    "geotagger": (lambda c: c.geotag.hold_ms, signature(Geotagger).parameters["hold_ms"].default),
    "pictures": (lambda c: c.pictures.picture_config(), PictureConfig()),
    "outbox": (lambda c: c.outbox.limits(), Limits()),
    "uplink": (lambda c: c.sync.uplink_config(), UplinkConfig()),
    "exposure": (lambda c: exposure_config(c.hw.cameras[0]), ExposureConfig()),
    "board": (lambda c: c.hw.board, LinuxBoardConfig(kind="linux", state_dir=STATE_DIR)),
    "state": (lambda c: c.state_dir, STATE_DIR),
}

CHANGED = {
    "recogniser": ("recognise.runtime", "tflite", replace(RecogniserConfig(), runtime=RuntimeKind.TFLITE)),
    "threads": ("recognise.threads", 2, replace(RecogniserConfig(), detector_threads=2)),
    "width": ("recognise.min_plate_width_px", 31.0, replace(RecogniserConfig(), min_plate_width_px=31.0)),
    "plates": ("recognise.max_plates", 5, replace(RecogniserConfig(), max_plates=5)),
    "lost": ("track.lost_ms", 900.0, replace(TrackerConfig(), lost_ms=900.0)),
    "confidence": ("track.min_confidence", 0.45, replace(TrackerConfig(), min_confidence=0.45)),
    "single": ("track.min_confidence_single", 0.8, replace(TrackerConfig(), min_confidence_single=0.8)),
    "window": ("reread.window_s", 30.0, replace(DeduplicatorConfig(), window_s=30.0)),
    "radius": ("reread.radius_m", 70.0, replace(DeduplicatorConfig(), radius_m=70.0)),
    "latency": ("geotag.latency_ms", 80.0, replace(NmeaConfig(), latency_ms=80.0)),
    "age": ("geotag.max_age_s", 120.0, replace(FixRingConfig(), max_age_s=120.0)),
    "plate": ("pictures.plate", False, replace(PictureConfig(), plate=False)),
    "overview": ("pictures.overview", False, replace(PictureConfig(), overview=False)),
    "overview width": ("pictures.overview_width_px", 640, replace(PictureConfig(), overview_width_px=640)),
    "overview size": ("pictures.overview_max_kib", 30, replace(PictureConfig(), overview_max_bytes=30 * 1024)),
    "budget": ("outbox.max_mib", 100, replace(Limits(), max_bytes=100 * 2**20)),
    "free": ("outbox.min_free_mib", 10, replace(Limits(), min_free_bytes=10 * 2**20)),
    "ballast": ("outbox.ballast_mib", 3, replace(Limits(), ballast_bytes=3 * 2**20)),
    "in flight": ("sync.window", 9, replace(UplinkConfig(), window=9)),
    "receipt": ("sync.receipt_timeout_s", 7.0, replace(UplinkConfig(), receipt_timeout_s=7.0)),
    "chunk": ("sync.chunk_kib", 8, replace(UplinkConfig(), chunk_bytes=8 * 1024)),
    "send": ("sync.pictures", False, replace(UplinkConfig(), send_pictures=False)),
    "metered": ("sync.metered_pictures", False, replace(UplinkConfig(), metering=MeteringConfig(pictures=False))),
    "metered budget": (
        "sync.metered_picture_mib_h",
        1.5,
        replace(UplinkConfig(), metering=MeteringConfig(3 * 2**19)),
    ),
}
"""One key of the file, and what its stage gets: its own field in its own unit, everything else as it was."""


@pytest.mark.parametrize("name", STAGES)
def test_an_empty_configuration_builds_each_stage_with_its_own_defaults(name):
    built, default = STAGES[name]
    assert built(parse_config(MINIMAL, "minimal.toml")) == default


@pytest.mark.parametrize("name", CHANGED)
def test_each_key_sets_its_field_in_the_stages_unit(name):
    key, value, expected = CHANGED[name]
    table, _, field = key.partition(".")
    config = parse_config({**MINIMAL, table: {field: value}}, "changed.toml")
    built = [make(config) for make, default in STAGES.values() if type(default) is type(expected)]
    assert built == [expected]


def test_link_and_uplink_hold_the_same_number_of_messages_in_flight():
    link = MqttLinkConfig(kind="mqtt", host="127.0.0.1", unit="unit-07")
    assert link.window == UplinkConfig().window


def test_the_camera_s_exposure_reaches_the_policy():
    camera = PiCameraConfig(kind="pi", shutter_cap_us=500, max_gain=8.0)
    assert exposure_config(camera) == replace(ExposureConfig(), cap_us=500, max_gain=8.0)


def test_files_of_a_unit_are_in_one_folder():
    """The updater may import nothing but the standard library, so it has the folder's name of its own."""
    assert DEFAULT_PATH.parent == CONFIG_DIR == RELEASE_KEY.parent == Path("/etc/patrol-lpr")
