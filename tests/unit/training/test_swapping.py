"""Characters swapped between plates of one design: the picture shows what the new label says."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from models.training.plates.strokes import FACES, stroke_glyph
from models.training.plates.swapping import HEIGHT_PX, WIDTH_PX, Lettered, character_boxes, lettered, swapped

PITCH_PX, TALL_PX, WIDE_PX = 24, 42, 18
LEFT_PX, TOP_PX = 10, 20
GROUND = (235, 235, 230)


def plate(text: str, ink: tuple[int, int, int] = (20, 30, 90)) -> np.ndarray:
    picture = np.full((HEIGHT_PX, WIDTH_PX, 3), GROUND, np.uint8)
    for place, char in enumerate(text):
        mask = cv2.resize(stroke_glyph(FACES[3], char), (WIDE_PX, TALL_PX), interpolation=cv2.INTER_AREA)
        x = LEFT_PX + place * PITCH_PX
        part = picture[TOP_PX : TOP_PX + TALL_PX, x : x + WIDE_PX]
        part[:] = (part + mask[..., None] / 255 * (np.array(ink) - part)).astype(np.uint8)
    return picture


def known(text: str, ink: tuple[int, int, int] = (20, 30, 90)) -> Lettered:
    found = lettered(plate(text, ink), text, 0)
    assert found is not None
    return found


@pytest.mark.parametrize("light_on_dark", [False, True])
def test_every_character_has_its_box(light_on_dark):
    picture = plate("HX3R2E")
    boxes, ink = character_boxes(255 - picture if light_on_dark else picture, 6)
    for place, (x0, y0, x1, y1) in enumerate(boxes):
        assert abs(x0 - LEFT_PX - place * PITCH_PX) <= 2
        assert abs(x1 - x0 - WIDE_PX) <= 3
        assert abs(y0 - TOP_PX) <= 2
        assert abs(y1 - TOP_PX - TALL_PX) <= 2
    assert 0.05 < ink.mean() < 0.5


def test_label_of_another_length_is_not_swapped():
    assert lettered(plate("HX3R2E"), "HX3R2", 0) is None


def test_the_picture_shows_the_new_text():
    own, donors = known("HX3R2E"), [known(text) for text in ("KNT4ZA", "P5MU6V", "EZ2H3X")]
    rng = np.random.default_rng(4)
    made = [new for new in (swapped(rng, own, donors) for _ in range(20)) if new is not None]
    assert len(made) > 10
    for new in made:
        assert new.text != own.text
        assert np.abs(new.rgb.astype(int) - plate(new.text)).mean() < 6
        others = np.abs(new.rgb.astype(int) - plate(own.text)).mean()
        assert others > np.abs(new.rgb.astype(int) - plate(new.text)).mean()


def test_characters_of_other_colours_are_not_swapped():
    assert swapped(np.random.default_rng(1), known("HX3R2E"), [known("KNT4ZA", ink=(200, 40, 40))]) is None
