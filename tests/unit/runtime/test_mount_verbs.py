"""Mask and rotation that a technician sets on the unit."""

from __future__ import annotations

import numpy as np
import pytest

from agent.runtime.commands import Caller, CommandRefusedError
from agent.runtime.mount_file import FILE_NAME, MountFile
from agent.runtime.mount_verbs import MaskArguments, MountVerbs, NoArguments, RotationArguments
from agent.shift.ports import OnDuty
from hw.config import SimCameraConfig
from hw.ports import Frame, Mountable, Mounting
from hw.scene import mounted, scene_of

SQUARE = ((0.0, 0.0), (0.5, 0.0), (0.5, 0.5), (0.0, 0.5))


class Still:
    name = "front"

    def next_frame(self, *, timeout_s):
        rgb = np.zeros((40, 80, 3), np.uint8)
        rgb[0, 0] = 255
        return Frame(0, "front", 0, rgb, 0, 1.0)

    def close(self):
        pass


class Audited:
    def __init__(self):
        self.entries = []

    def add(self, who, action, obj, *, purpose="", case_number="", outcome="ok"):
        self.entries.append((who, action, obj, outcome))


def caller(*rights):
    return Caller("token", OnDuty("4711", "A. Example", "driver", frozenset(rights), b"s" * 16))


TECHNICIAN = caller("officer", "technician")


@pytest.fixture
def camera():
    return mounted(Still(), SimCameraConfig(kind="sim", name="front"))


def verbs_for(camera, folder):
    audited = Audited()
    return MountVerbs((camera,), MountFile(folder), audited), audited


def mask(polygon=SQUARE, camera="front"):
    return MaskArguments(camera=camera, polygon=polygon)


def test_mask_is_in_the_next_frame_and_in_those_after_a_restart(camera, tmp_path):
    verbs, audited = verbs_for(camera, tmp_path)
    assert camera.next_frame(timeout_s=1).scene is None
    verbs.set_mask(mask(), TECHNICIAN)
    assert camera.next_frame(timeout_s=1).scene.masked_share(0.1, 0.1, 0.4, 0.4) == 1
    assert camera.next_frame(timeout_s=1).scene.masked_share(0.6, 0.6, 0.9, 0.9) == 0
    again = mounted(Still(), SimCameraConfig(kind="sim", name="front"))
    verbs_for(again, tmp_path)
    assert again.next_frame(timeout_s=1).scene.masked_share(0.1, 0.1, 0.4, 0.4) == 1
    assert audited.entries == [("4711", "set_mask", "front", "ok")]


def test_empty_mask_removes_it(camera, tmp_path):
    verbs, _ = verbs_for(camera, tmp_path)
    verbs.set_mask(mask(), TECHNICIAN)
    verbs.set_mask(mask(()), TECHNICIAN)
    assert camera.next_frame(timeout_s=1).scene is None


def test_rotation_turns_the_picture_and_removes_the_mask(camera, tmp_path):
    """The area was drawn on a picture that is no more."""
    verbs, _ = verbs_for(camera, tmp_path)
    verbs.set_mask(mask(), TECHNICIAN)
    verbs.set_rotation(RotationArguments(camera="front", degrees=90), TECHNICIAN)
    frame = camera.next_frame(timeout_s=1)
    assert frame.rgb.shape == (80, 40, 3)
    assert frame.rgb[0, -1].tolist() == [255, 255, 255]
    assert frame.scene is None


@pytest.mark.parametrize("who", [Caller("", None), caller("officer"), caller("officer", "supervisor")])
def test_others_may_not(camera, tmp_path, who):
    verbs, audited = verbs_for(camera, tmp_path)
    with pytest.raises(CommandRefusedError) as refused:
        verbs.set_mask(mask(), who)
    assert refused.value.code == "not_technician"
    assert audited.entries[-1][3] == "not_technician"
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize(
    ("arguments", "code"), [(mask(camera="rear"), "unknown_camera"), (mask(SQUARE[:2]), "bad_polygon")]
)
def test_invalid_masks_are_refused(camera, tmp_path, arguments, code):
    verbs, _ = verbs_for(camera, tmp_path)
    with pytest.raises(CommandRefusedError) as refused:
        verbs.set_mask(arguments, TECHNICIAN)
    assert refused.value.code == code


def test_full_disk_changes_nothing(camera, tmp_path):
    verbs, _ = verbs_for(camera, tmp_path / "missing")
    with pytest.raises(CommandRefusedError) as refused:
        verbs.set_mask(mask(), TECHNICIAN)
    assert refused.value.code == "disk"
    assert camera.next_frame(timeout_s=1).scene is None


DAMAGED = (
    b"",
    b"{",
    b"[]",
    b'{"cameras": 1}',
    b'{"cameras": {"front": {"rotate": 45}}}',
    b'{"cameras": {"x": []}}',
)


@pytest.mark.parametrize("content", DAMAGED)
def test_damaged_file_is_ignored(camera, tmp_path, content):
    (tmp_path / FILE_NAME).write_bytes(content)
    verbs, _ = verbs_for(camera, tmp_path)
    assert camera.next_frame(timeout_s=1).scene is None
    verbs.set_mask(mask(), TECHNICIAN)
    assert MountFile(tmp_path).load()["front"].polygon == SQUARE


def test_configured_mask_stays_under_a_drawn_one_and_goes_with_the_rotation():
    config = SimCameraConfig(kind="sim", name="front", mask=((0.5, 0.5, 1.0, 1.0),))
    both = scene_of(config, Mounting(polygon=SQUARE))
    assert both.masked_share(0.6, 0.6, 0.9, 0.9) == both.masked_share(0.1, 0.1, 0.4, 0.4) == 1
    assert scene_of(config, Mounting(rotate=180)).masked is None
    assert scene_of(config, Mounting(rotate=0)).masked is not None


def test_what_is_set_can_be_asked_for_the_configured_rotation_included(tmp_path):
    """Who turns a picture must know how far it is turned already."""
    camera = mounted(Still(), SimCameraConfig(kind="sim", name="front", rotate=180))
    verbs, _ = verbs_for(camera, tmp_path)

    def asked():
        return verbs.mountings(NoArguments(), Caller("", None))["cameras"]

    assert asked() == [{"camera": "front", "degrees": 180, "polygon": []}]
    verbs.set_mask(mask(), TECHNICIAN)
    assert asked() == [{"camera": "front", "degrees": 180, "polygon": [list(corner) for corner in SQUARE]}]
    verbs.set_rotation(RotationArguments(camera="front", degrees=270), TECHNICIAN)
    assert asked() == [{"camera": "front", "degrees": 270, "polygon": []}]


def test_every_camera_can_be_mounted(camera):
    assert isinstance(camera, Mountable)
