"""The camera's pipeline: what a frame leads to is handed on whole."""

from __future__ import annotations

import numpy as np
import pytest

from agent.pipeline import CameraPipeline
from agent.records import Box, CharRead, Detection, PlateText, Sighting
from agent.track import Tracker
from hw.ports import Frame

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


def test_a_confirmed_track_is_handed_on_while_the_plate_is_in_view_and_the_final_one_at_the_end(pipeline):
    steps = [pipeline.step(frame(seq)) for seq in range(4)]
    assert [len(step.confirmed) for step in steps] == [0, 1, 0, 0]
    assert [step.tracks for step in steps] == [()] * 4
    (final,) = pipeline.flush()
    assert final.track_id == steps[1].confirmed[0].track_id
    assert (pipeline.track_counts.confirmed, pipeline.track_counts.closed) == (1, 1)


def test_privacy_closes_what_was_confirmed_and_confirms_nothing(pipeline):
    (confirmed,) = [track for seq in range(2) for track in pipeline.step(frame(seq)).confirmed]
    pipeline.set_private(private=True)
    step = pipeline.step(frame(2))
    assert [track.track_id for track in step.tracks] == [confirmed.track_id]
    assert step.confirmed == ()
