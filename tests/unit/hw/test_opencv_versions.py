"""OpenCV 5 has functions in other places than OpenCV 4; Python 3.12 and later get it."""

from __future__ import annotations

from types import SimpleNamespace

import cv2
import pytest

from hw import video


class Level:
    def __init__(self):
        self.level = 3

    def set(self, level):
        before, self.level = self.level, level
        return before


@pytest.mark.parametrize("release", [4, 5])
def test_a_video_is_opened_quietly_with_either(tmp_path, monkeypatch, release):
    level, seen = Level(), []
    if release == 4:
        monkeypatch.setattr(cv2, "setLogLevel", level.set, raising=False)
    else:
        monkeypatch.delattr(cv2, "setLogLevel", raising=False)
        monkeypatch.setattr(cv2.utils, "logging", SimpleNamespace(setLogLevel=level.set), raising=False)
    real = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda *given: (seen.append(level.level), real(*given))[1])
    (tmp_path / "no.mp4").write_bytes(b"no video")
    with pytest.raises(video.VideoError):
        video.VideoFile(tmp_path / "no.mp4")
    assert (seen, level.level) == ([2], 3)
