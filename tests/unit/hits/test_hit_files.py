"""Files of hits: encrypted, replaced as a whole, and what cannot be read is set aside and counted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.hits.records import Hit, HitState
from agent.hits.saved import SavedHitError, dump_hit, load_hit, load_pictures, load_watched
from agent.hits.watch import Watched
from agent.runtime.hit_files import HitFiles
from protocol.wire.enums import PictureKind
from tests import strategies as drawn
from tests.builders import WHEN, WHERE, make_picture, make_plate
from tests.listed import make_match

KEY = bytes(range(32))
HIT = Hit(
    b"h" * 16, b"r" * 16, "front", "front", 5, make_plate("7ABC123"), 2, make_match(), pictures=(make_picture(),),
    when=WHEN, where=WHERE,
)  # fmt: skip
WATCHED = Watched("e-1", "7ABC123", "US-CA", "amber alert", "1234", 5, 10**15, bytes(16))


@pytest.fixture(params=[KEY, None], ids=["sealed", "open"])
def files(request, tmp_path):
    return HitFiles(tmp_path / "hits", request.param)


def again(files):
    return HitFiles(files._folder, None if files._cipher is None else KEY)


def test_hit_comes_back_with_its_pictures_and_pending_records(files):
    files.save(HIT, [b"one", b"two"])
    files.save(replace(HIT, state=HitState.ACKNOWLEDGED), [])
    second = replace(HIT, hit_id=b"i" * 16)
    files.save(second, [b"three"])
    found = again(files).load()
    assert [(one.hit, one.pending) for one in found] == [
        (replace(HIT, state=HitState.ACKNOWLEDGED), ()), (second, (b"three",)),
    ]  # fmt: skip


def test_better_pictures_of_the_final_stage_replace_those_of_the_preview(files):
    """An officer who verifies after a restart compares the pictures that the record names."""
    better = replace(HIT, pictures=(make_picture(content=b"nearer"), make_picture(PictureKind.OVERVIEW)))
    files.save(HIT, [])
    files.save(better, [])
    files.save(better, [])
    assert [one.hit for one in again(files).load()] == [better]


def test_pictures_that_could_not_be_written_are_written_with_the_next_change(files):
    files._folder.mkdir()
    path = files._folder / (HIT.hit_id.hex() + ".pictures")
    path.mkdir()
    files.save(HIT, [])
    assert files.failures == 1
    path.rmdir()
    files.save(HIT, [])
    assert [one.hit for one in again(files).load()] == [HIT]


def test_what_a_power_cut_left_half_written_or_half_deleted_is_deleted_at_the_next_start(files):
    files.save(HIT, [])
    files.save(replace(HIT, hit_id=b"i" * 16), [])
    (files._folder / (b"i" * 16).hex()).with_suffix(".hit").unlink()
    (files._folder / f".{HIT.hit_id.hex()}.pictures.0a1b2c3d.part").write_bytes(b"half a picture")
    opened = again(files)
    assert [one.hit for one in opened.load()] == [HIT]
    assert {path.name for path in files._folder.iterdir()} == {
        f"{HIT.hit_id.hex()}.hit", f"{HIT.hit_id.hex()}.pictures",
    }  # fmt: skip


def test_deleted_hit_leaves_nothing(files):
    files.save(HIT, [])
    files.delete(HIT.hit_id)
    files.delete(HIT.hit_id)
    assert list(files._folder.iterdir()) == []


def test_watched_plates_come_back(files):
    assert files.load_watched() == ()
    files.save_watched([WATCHED])
    assert again(files).load_watched() == (WATCHED,)


def test_files_show_nothing_without_the_key(tmp_path):
    """Whoever has the card without the unit's key learns no plate."""
    files = HitFiles(tmp_path, KEY)
    files.save(HIT, [b"pending 7ABC123"])
    files.save_watched([WATCHED])
    stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert not [word for word in (b"7ABC123", b"stolen", b"jpeg", b"amber", b"1234") if word in stored]
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.parametrize("damage", [b"", b"x", bytes(200), None])
def test_damaged_file_is_set_aside_and_the_others_are_read(files, damage):
    files.save(HIT, [])
    files.save(replace(HIT, hit_id=b"i" * 16), [])
    path = files._folder / (HIT.hit_id.hex() + ".hit")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] if damage is None else damage)
    opened = again(files)
    assert [one.hit.hit_id for one in opened.load()] == [b"i" * 16]
    assert opened.unreadable == 1
    assert path.with_name(path.name + ".unreadable").exists()
    assert len(again(files).load()) == 1


def test_hit_whose_pictures_are_damaged_is_kept(files):
    """It still waits for its decision, and its records for the outbox."""
    files.save(HIT, [b"one"])
    path = files._folder / (HIT.hit_id.hex() + ".pictures")
    path.write_bytes(b"{}")
    opened = again(files)
    assert [(one.hit, one.pending) for one in opened.load()] == [(replace(HIT, pictures=()), (b"one",))]
    assert opened.unreadable == 1
    assert path.with_name(path.name + ".unreadable").exists()


def test_file_under_another_name_is_refused(tmp_path):
    """Swapping the files of two hits is noticed."""
    files = HitFiles(tmp_path, KEY)
    files.save(HIT, [])
    other = tmp_path / ("00" * 16 + ".hit")
    (tmp_path / (HIT.hit_id.hex() + ".hit")).rename(other)
    opened = HitFiles(tmp_path, KEY)
    assert opened.load() == []
    assert opened.unreadable == 1


def test_key_of_another_unit_opens_nothing(tmp_path):
    HitFiles(tmp_path, KEY).save(HIT, [])
    opened = HitFiles(tmp_path, bytes(32))
    assert (opened.load(), opened.unreadable) == ([], 1)


def test_folder_that_cannot_be_written_is_counted(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    files = HitFiles(blocked / "hits", KEY)
    files.save(HIT, [])
    files.delete(HIT.hit_id)
    assert files.failures >= 2
    assert files.load() == []


@given(drawn.plates(), drawn.geotags(), drawn.time_tags(), st.lists(st.binary(max_size=64), max_size=3))
def test_any_hit_is_saved_and_loaded(plate, where, when, pending):
    hit = replace(HIT, plate=plate, where=where, when=when, pictures=())
    saved = load_hit(dump_hit(hit, tuple(pending)))
    assert repr(saved.hit) == repr(hit), "NaN included"
    assert list(saved.pending) == pending


@pytest.mark.parametrize("load", [load_hit, load_pictures, load_watched])
@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_with_one_error(load, data):
    with pytest.raises(SavedHitError):
        load(data)
