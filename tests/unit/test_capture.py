"""Frames may be dropped, and every dropped one is counted."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.capture import FrameRateLimiter
from hw.ports import Frame

PIXEL = np.zeros((1, 1, 3), np.uint8)


def frame(seq: int, t_ms: float) -> Frame:
    return Frame(seq, "front", round(t_ms * 1e6), PIXEL, 1000, 1.0)


def test_gaps_in_frame_numbers_are_dropped_frames() -> None:
    """The camera numbers what it delivered; what is missing was lost before us."""
    limiter = FrameRateLimiter()

    assert [limiter.take(frame(s, s * 50)).dropped for s in (3, 4, 7, 8)] == [0, 0, 2, 0]


@given(st.floats(1, 60), st.floats(1, 60), st.integers(50, 300))
def test_mean_rate_is_the_limit_or_the_cameras_rate(limit_fps: float, camera_fps: float, count: int) -> None:
    """A limit neither starves a slower camera nor lets a faster one through."""
    limiter = FrameRateLimiter(max_fps=limit_fps)

    processed = sum(limiter.take(frame(i, i * 1000 / camera_fps)).process for i in range(count))

    expected = min(count, count * limit_fps / camera_fps)
    assert processed == pytest.approx(expected, abs=2 + 0.02 * count)


@pytest.mark.parametrize("fps", [0, -3.0])
def test_a_rate_that_is_not_positive_is_refused(fps: float) -> None:
    """Zero would blind the unit silently."""
    with pytest.raises(ValueError, match="above 0"):
        FrameRateLimiter(max_fps=fps or -0.1)
