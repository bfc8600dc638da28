"""Commands that make folders and keys destroy nothing that they were not told to."""

from __future__ import annotations

import pytest

from cli import demo, keys
from cli.demo import MARK, take_folder
from hw.output import OutputError
from protocol.errors import KeyFileError
from tests.conftest import ROOT


def files(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("made", [False, True])
def test_demo_accepts_a_new_or_empty_folder(tmp_path, made):
    out = tmp_path / "a" / "out"
    if made:
        out.mkdir(parents=True)
    take_folder(out)
    assert files(out) == {MARK}


def test_demo_empties_its_own_folder(tmp_path):
    """What links in it lead to is not the demo's."""
    out, other = tmp_path / "out", tmp_path / "other"
    take_folder(out)
    other.mkdir()
    (other / "mine").touch()
    (out / "live" / "unit").mkdir(parents=True)
    (out / "city-day.html").touch()
    (out / "link").symlink_to(other)
    take_folder(out)
    assert files(out) == {MARK}
    assert files(other) == {"mine"}


def test_demo_refuses_a_folder_with_other_files(tmp_path):
    """Not even after it has looked at the drives."""
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(OutputError, match=r"thesis.tex.*nothing was changed"):
        demo.run(ROOT / "tests" / "drives", tmp_path)
    assert files(tmp_path) == {"thesis.tex"}


def test_demo_keeps_the_folder_of_its_drives(tmp_path):
    take_folder(tmp_path)
    (tmp_path / "drives").symlink_to(ROOT / "tests" / "drives")
    before = files(tmp_path)
    drive = tmp_path / "own" / "city"
    drive.parent.mkdir()
    drive.symlink_to(ROOT / "tests" / "drives" / "city-day")
    with pytest.raises(OutputError, match="contains the drives"):
        demo.run(tmp_path / "own", tmp_path)
    assert before <= files(tmp_path)


def test_demo_refuses_a_file_as_folder(tmp_path):
    path = tmp_path / "file"
    path.write_text("mine")
    with pytest.raises(OutputError, match="cannot be used"):
        take_folder(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda folder: keys.make_unit(folder, "unit-07"), "unit-unit-07.pub"),
        (lambda folder: keys.make_station(folder, "station"), "station.pub"),
        (lambda folder: keys.make_signer(folder, "release"), "release.pub"),
    ],
)
def test_public_key_is_not_overwritten(tmp_path, make, name):
    """The folder of a station's keys holds those of its units, which a pair made there would replace."""
    (tmp_path / name).write_text("another's")
    with pytest.raises(KeyFileError, match="already exists"):
        make(tmp_path)
    assert (tmp_path / name).read_text() == "another's"
    assert files(tmp_path) == {name}
