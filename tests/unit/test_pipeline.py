"""The camera's pipeline: what a frame leads to is handed on whole."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from agent.pipeline import CameraPipeline
from agent.records import Box, CharRead, Detection, PlateText, Sighting
from agent.track import Tracker
from hw.ports import Frame
from hw.scene import known_scene

MS = 1_000_000
RGB = np.zeros((4, 4, 3), np.uint8)
PLATE = PlateText(tuple(CharRead(symbol, 0.97) for symbol in "7ABC123"), 0.9)


class OnePlate:
    """Sees the same plate in every frame."""

    def detect(self, frame):
        return [Detection(Box(400, 300, 480, 340), 0.9)]

    def read(self, frame, detections):
        return [Sighting(frame, detection, PLATE, RGB) for detection in detections]


def frame(seq):
    return Frame(seq, "front", seq * 200 * MS, RGB, 5000, 1.0)


@pytest.fixture
def pipeline():
    return CameraPipeline(OnePlate(), Tracker())


def test_confirmed_track_while_in_view_and_final_track_at_the_end(pipeline):
    steps = [pipeline.step(frame(seq)) for seq in range(4)]
    assert [len(step.confirmed) for step in steps] == [0, 1, 0, 0]
    assert [step.tracks for step in steps] == [()] * 4
    (final,) = pipeline.flush()
    assert final.track_id == steps[1].confirmed[0].track_id
    assert (pipeline.track_counts.confirmed, pipeline.track_counts.closed) == (1, 1)


def test_privacy_closes_confirmed_tracks(pipeline):
    (confirmed,) = [track for seq in range(2) for track in pipeline.step(frame(seq)).confirmed]
    pipeline.set_private(private=True)
    step = pipeline.step(frame(2))
    assert [track.track_id for track in step.tracks] == [confirmed.track_id]
    assert step.confirmed == ()


STREET = np.random.default_rng(1).integers(0, 255, (54, 96, 3), np.uint8)


def shown(seq, rgb, scene=None):
    return Frame(seq, "front", seq * 200 * MS, rgb, 5000, 1.0, scene=scene)


def test_frames_of_a_frozen_camera_are_not_read(pipeline):
    """The plate in it was read once; after that the car is somewhere else."""
    tracks = [track for seq in range(300) for track in pipeline.step(shown(seq, STREET)).tracks]
    assert len(tracks) == 1
    assert tracks[0].t_last_mono_ns < 5_000 * MS
    assert pipeline.counts.frozen > 250
    assert pipeline.counts.processed + pipeline.counts.frozen == 300


def test_partly_decoded_frame_is_not_read(pipeline):
    green = STREET.copy()
    green[30:] = (0, 135, 0)
    pipeline.step(shown(0, green))
    assert (pipeline.counts.damaged, pipeline.counts.sightings) == (1, 0)


def test_ignored_text_gives_no_read(pipeline):
    scene = known_scene(None, ("7ABC*",))
    steps = [pipeline.step(shown(seq, np.roll(STREET, seq, 1), scene)) for seq in range(4)]
    assert [step.confirmed for step in steps] == [()] * 4
    assert pipeline.flush() == ()
    assert pipeline.counts.ignored == 1


def test_static_text_gives_no_read(pipeline):
    """The background moves."""
    tracks = []
    for seq in range(40):
        rgb = cv2.resize(np.roll(STREET, 3 * seq, 1), (960, 540), interpolation=cv2.INTER_NEAREST)
        rgb[290:350, 390:490] = 255
        tracks += pipeline.step(shown(seq, rgb)).tracks
    assert [*tracks, *pipeline.flush()] == []
    assert pipeline.counts.still > 20
