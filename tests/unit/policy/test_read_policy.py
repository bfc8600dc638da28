"""Reads under a policy: what is hashed shows no plate, and what is masked shows the vehicle alone."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from agent.geotag.read_maker import ReadMaker
from agent.pictures import PictureConfig, PictureMaker
from agent.policy.hashing import plate_hash
from agent.policy.policies import Policies
from agent.policy.reads import ReadPolicy
from agent.policy.records import Shown
from agent.read_id import ReadIdMint
from agent.records import Box, Detection, Sighting
from hw.ports import Frame
from protocol.policy.pack import Overview, VehicleBox, strict_pack
from protocol.wire.enums import PictureKind
from protocol.wire.record import encode_record
from tests.builders import WHEN, WHERE, make_plate, make_record, make_track
from tests.unit.policy.packs import make_pack

KEY = bytes(range(32))
HASHED = {"keep": "keyed_hash", "retain": {"hit": {"days": 1}, "hash": {"hours": 2}}}


def maker(*, key=KEY, **pack) -> ReadMaker:
    policies = Policies([make_pack(**pack)], "Example Sheriff", strict_pack())
    policy = ReadPolicy(lambda: policies, key)
    return ReadMaker(ReadIdMint(bytes), PictureMaker(), (), "test", {}, policy=policy)


def test_hashed_read_shows_no_plate_anywhere():
    made = maker(**HASHED)
    read = made.make(make_track("7ABC123"), WHEN, WHERE)
    assert read.body.text_hash == plate_hash(KEY, "7ABC123")
    assert (read.body.text, read.body.raw, read.body.alternatives, read.pictures) == ("", "", (), ())
    assert read.body.retention.policy_class == "hash"
    assert (made.policy.counts.hashed, made.policy.counts.kept) == (1, 0)
    record = make_record(read.body)
    assert b"7ABC" not in encode_record(record.envelope, read.body)


def test_hit_is_kept_in_full_where_others_are_hashed():
    read = maker(**HASHED).make(replace(make_track("7ABC123"), is_hit=True), WHEN, WHERE)
    assert (read.body.text, read.body.text_hash, len(read.pictures)) == ("7ABC123", b"", 2)


def test_without_a_key_no_hash_is_kept():
    made = maker(key=None, **HASHED)
    assert made.make(make_track(), WHEN, WHERE) is None
    assert made.policy.counts.no_hash_key == 1


@given(st.text("ABC123", min_size=1, max_size=8), st.binary(min_size=32, max_size=32))
def test_hash_depends_on_plate_and_key(text, key):
    assert plate_hash(key, text) == plate_hash(key, text)
    assert len(plate_hash(key, text)) == 16
    assert plate_hash(key, text) != plate_hash(key, text + "X")
    assert plate_hash(key, text) != plate_hash(bytes(reversed(key)) + b"", text) or key == key[::-1]


def test_key_of_another_size_is_refused():
    with pytest.raises(ValueError, match="31 bytes"):
        plate_hash(bytes(31), "X")


def sighting(box: Box) -> Sighting:
    """A white frame: whatever is not black is shown."""
    rgb = np.full((300, 400, 3), 255, np.uint8)
    frame = Frame(0, "front", 0, rgb, 8000, 1.0)
    return Sighting(frame, Detection(box, 0.9), make_plate(), rgb[:20, :40])


def overview(shown: Shown, box: Box) -> np.ndarray | None:
    made = PictureMaker(PictureConfig(overview_width_px=400)).make(sighting(box), shown)
    jpegs = [picture.jpeg for picture in made if picture.kind is PictureKind.OVERVIEW]
    return np.asarray(Image.open(BytesIO(jpegs[0])).convert("L")) if jpegs else None


VEHICLE = Shown(overview=Overview.VEHICLE, vehicle=VehicleBox(side=1.0, above=2.0, below=0.5))


def test_overview_shows_the_vehicle_alone():
    """40 px of plate: one width to each side, two above, half of one below."""
    picture = overview(VEHICLE, Box(180, 200, 220, 220))
    assert picture[130:230, 150:250].min() > 200
    for outside in (picture[:110], picture[250:], picture[:, :130], picture[:, 270:]):
        assert outside.max() < 40


@pytest.mark.parametrize(
    "box",
    [
        Box(0, 0, 40, 20),
        Box(380, 290, 400, 300),
        Box(-30, -30, -5, -5),
        Box(500, 500, 560, 520),
        Box(10, 10, 10, 10),
    ],
)
def test_vehicle_at_the_edge_or_outside(box):
    assert overview(VEHICLE, box).shape == (300, 400)


@pytest.mark.parametrize(
    ("shown", "kinds"),
    [
        (Shown(), ["plate", "overview"]),
        (Shown(overview=Overview.NONE), ["plate"]),
        (Shown(plate=False, overview=Overview.NONE), []),
    ],
)
def test_pictures_that_may_not_be_kept_are_not_made(shown, kinds):
    made = PictureMaker().make(sighting(Box(180, 200, 220, 220)), shown)
    assert [picture.kind.value for picture in made] == kinds


def test_read_says_that_its_overview_is_masked():
    pictures = {"plate": True, "overview": "vehicle", "vehicle": {"side": 1, "above": 2, "below": 1}}
    assert maker(pictures=pictures).make(make_track(), WHEN, WHERE).body.masked
    assert not maker().make(make_track(), WHEN, WHERE).body.masked
