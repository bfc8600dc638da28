"""How a camera is mounted, and where in its picture no plate is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from pydantic import ValidationError

from hw.clock import SimClock
from hw.config import DeviceCameraConfig, FolderCameraConfig, PiCameraConfig, SimCameraConfig, VideoCameraConfig
from hw.open import open_cameras
from hw.ports import Exposable, Exposure, Frame, HwConfigError
from hw.scene import known_scene, mounted

PICTURE = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)


class OneFrame:
    name = "front"

    def next_frame(self, *, timeout_s):
        return Frame(0, self.name, 0, PICTURE, 0, 1.0, lores=PICTURE[:2])

    def close(self):
        self.closed = True


class WithExposure(OneFrame):
    def expose(self, exposure):
        self.asked = exposure


def config(**keys):
    return SimCameraConfig(kind="sim", **keys)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"rotate": 90}, np.rot90(PICTURE, -1)),
        ({"rotate": 180}, PICTURE[::-1, ::-1]),
        ({"rotate": 270}, np.rot90(PICTURE)),
        ({"flip": "horizontal"}, PICTURE[:, ::-1]),
        ({"flip": "vertical"}, PICTURE[::-1]),
        ({"rotate": 90, "flip": "horizontal"}, np.rot90(PICTURE, -1)[:, ::-1]),
    ],
)
def test_pictures_are_turned_then_flipped(keys, expected):
    frame = mounted(OneFrame(), config(**keys)).next_frame(timeout_s=1)
    assert np.array_equal(frame.rgb, expected)
    assert frame.lores is not None
    assert (frame.lores.shape[0] > frame.lores.shape[1]) == (keys.get("rotate") in {90, 270})


def test_frames_of_a_camera_without_such_keys_are_left_alone():
    frame = mounted(OneFrame(), config()).next_frame(timeout_s=1)
    assert np.array_equal(frame.rgb, OneFrame().next_frame(timeout_s=1).rgb)
    assert frame.scene is None


def test_a_turned_camera_can_still_be_exposed_and_closed():
    camera = WithExposure()
    turned = mounted(camera, config(rotate=180))
    assert isinstance(turned, Exposable)
    assert not isinstance(mounted(OneFrame(), config(rotate=180)), Exposable)
    turned.expose(Exposure(500, 2.0))
    turned.close()
    assert camera.asked == Exposure(500, 2.0)
    assert camera.closed


def test_every_kind_of_camera_can_be_turned(tmp_path):
    keys = {"rotate": 180, "flip": "horizontal", "mask": [[0, 0.9, 1, 1]], "ignore": ["CAM*"]}
    for kind, others in (
        (PiCameraConfig, {"kind": "pi"}),
        (VideoCameraConfig, {"kind": "video", "path": tmp_path}),
        (FolderCameraConfig, {"kind": "folder", "path": tmp_path}),
        (DeviceCameraConfig, {"kind": "device", "source": 0}),
        (SimCameraConfig, {"kind": "sim"}),
    ):
        assert kind.model_validate({**others, **keys}).rotate == 180


def test_an_upside_down_folder_is_put_right(tmp_path):
    """Through the door that the agent uses."""
    rgb = np.full((40, 60, 3), 90, np.uint8)
    rgb[:10] = 200
    cv2.imwrite(str(tmp_path / "1.png"), rgb[::-1, ::-1])
    table = FolderCameraConfig(kind="folder", path=tmp_path, rotate=180, mask=((0, 0, 0.5, 0.5),))
    (camera,) = open_cameras([table], SimClock())
    frame = camera.next_frame(timeout_s=1)
    assert np.array_equal(frame.rgb, rgb)
    assert frame.scene is not None
    assert frame.scene.masked_share(0, 0, 0.5, 0.5) == 1
    camera.close()


def test_boxes_are_masked_by_the_share_that_lies_inside():
    scene = known_scene([(0.0, 0.9, 1.0, 1.0), (0.0, 0.0, 0.1, 0.1)], ())
    assert scene.masked_share(0.2, 0.92, 0.4, 0.98) == 1
    assert scene.masked_share(0.2, 0.2, 0.4, 0.4) == 0
    assert scene.masked_share(0.0, 0.0, 0.2, 0.1) == pytest.approx(0.5, abs=0.02)


def test_a_picture_masks_where_it_is_dark(tmp_path):
    mask = np.full((90, 160, 3), 255, np.uint8)
    mask[80:] = 0
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    scene = known_scene(tmp_path / "mask.png", ())
    assert scene.masked_share(0.1, 0.92, 0.3, 0.98) == 1
    assert scene.masked_share(0.1, 0.1, 0.3, 0.3) == 0


def test_a_mask_that_cannot_be_read_is_said(tmp_path):
    with pytest.raises(HwConfigError, match=r"none\.png"):
        known_scene(tmp_path / "none.png", ())


@pytest.mark.parametrize("box", [[0, 0, 0, 1], [0.5, 0, 0.2, 1], [0, 0, 2, 1], [0, 0, 1]])
def test_a_mask_that_is_no_box_is_refused(box):
    with pytest.raises(ValidationError):
        config(mask=[box])


@pytest.mark.parametrize(
    ("named", "read", "ignored"),
    [
        ("CAM05", "CAM05", True),
        ("police", "P0LICE", True),
        ("UNIT 07", "UN1T07", True),
        ("CAM*", "CAM12", True),
        ("CAM05", "CAM051", False),
        ("A[0-9]", "A5", False),
    ],
)
def test_texts_that_a_person_named_are_ignored(named, read, ignored):
    assert known_scene(None, (named,)).ignores(read) is ignored


@pytest.mark.parametrize("alpha", [None, 0], ids=["black", "transparent"])
def test_a_mask_that_leaves_nothing_is_refused(tmp_path, alpha):
    """Drawn on a transparent layer, it is black all over: the camera would never read a plate, and not say why."""
    mask = np.zeros((90, 160, 3 if alpha is None else 4), np.uint8)
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    with pytest.raises(HwConfigError, match=r"mask\.png: dark everywhere.*without transparency"):
        known_scene(tmp_path / "mask.png", ())
    mask[40:60] = 255
    cv2.imwrite(str(tmp_path / "mask.png"), mask)
    assert known_scene(tmp_path / "mask.png", ()).masked_share(0, 0.5, 1, 0.6) == 0
