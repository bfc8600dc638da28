"""``patrol-lpr read`` as a person and as a program use it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

import cli.read
from cli.read import OutputForm, ReadOptions
from cli.read_files import read_images
from cli.read_video import read_video
from cli.terminal import plain
from tests.drawn import PLATE, noisy, scene, write_mp4

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def read(repo: Path, tmp_path: Path):
    """The command in a terminal of a UTF-8 locale, in a folder of its own."""

    def run(*arguments: str, columns: int = 80):
        env = {**os.environ, "PYTHONPATH": str(repo), "COLUMNS": str(columns), "LC_ALL": "C.UTF-8"}
        command = [sys.executable, "-m", "cli", "read", *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, check=False)
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    return run


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    cv2.imwrite(str(path), cv2.cvtColor(scene(), cv2.COLOR_RGB2BGR))
    return path


@pytest.mark.slow
def test_strangers_names_are_shown_whole_and_never_obeyed(read, photo):
    """Markup, escape codes, bytes that are no UTF-8: no traceback after the work."""
    names = [b"[front] 001.jpg", b"cam[red]002.jpg", b"lat\xe9.jpg", b"esc\x1b[31m\n.jpg", "straße.jpg".encode()]
    for name in names:
        (photo.parent / os.fsdecode(name)).write_bytes(photo.read_bytes())
    code, out, _ = read(".")
    assert code == 0
    shown = ("[front] 001.jpg", "cam[red]002.jpg", "lat\\xe9.jpg", "esc\\x1b[31m\\x0a.jpg", "straße.jpg")
    assert all(name in out for name in shown)
    assert "\x1b" not in out
    code, out, _ = read("--jsonl", ".")
    assert code == 0
    found = {os.fsencode(json.loads(line)["image"]) for line in out.splitlines()}
    assert found == {*names, b"photo.jpg"}


@pytest.mark.slow
def test_a_table_in_a_pipe_is_whole(read, photo):
    """However narrow the terminal was: paths, plates, everything."""
    deep = photo.parent / ("a" * 60) / ("b" * 60)
    deep.mkdir(parents=True)
    photo.rename(deep / "photo.jpg")
    code, out, _ = read(".", columns=40)
    assert code == 0
    assert f"{'a' * 60}/{'b' * 60}/photo.jpg" in out
    assert PLATE in out


@pytest.mark.slow
def test_one_bad_video_does_not_stop_the_others(read, tmp_path):
    """An error for the one that is cut off, the others' reads, and an exit status of 1."""
    path = write_mp4(
        tmp_path / "b_good.mp4", [noisy(scene(380 + 2 * n), np.random.default_rng(n)) for n in range(6)]
    )
    (tmp_path / "a_cut.mp4").write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    (tmp_path / "._b_good.mp4").write_bytes(b"\0\5\x26\7" + bytes(300))
    code, out, err = read(".")
    assert code == 1
    assert PLATE in out
    assert err.count("a_cut.mp4") == 1
    assert "._b_good" not in out + err
    code, out, _ = read("--jsonl", ".")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 1
    assert ["error" in line for line in lines] == [True, False]
    assert lines[1]["text"] == PLATE


@pytest.mark.slow
def test_one_document_holds_what_the_lines_hold(read, photo):
    """`--json` for programs that read a whole document; also without any input that can be read."""
    _, lines, _ = read("--jsonl", ".", "none.jpg")
    code, document, _ = read("--json", ".", "none.jpg")
    assert code == 1
    timed = [json.loads(line) for line in lines.splitlines()], json.loads(document)
    for one in (*timed[0], *timed[1]):
        one.pop("ms", None)
    assert timed[0] == timed[1]
    assert read("--json", "none.jpg")[1].startswith('[{"input": "none.jpg"')
    assert read("--json", "--jsonl", ".")[0] == 2


@pytest.mark.slow
def test_a_program_hears_of_every_input(read, photo, tmp_path):
    """Of a video without plates, of what is missing, of what was read in part."""
    write_mp4(tmp_path / "empty.mp4", [scene()[:160, :320]] * 3)
    (tmp_path / "cut.jpg").write_bytes(photo.read_bytes()[:-500])
    code, out, _ = read("--jsonl", "empty.mp4", "none.jpg", "photo.jpg", "cut.jpg")
    assert code == 1
    lines = [json.loads(line) for line in out.splitlines()]
    by_name = {line.get("image") or line.get("video") or line["input"]: line for line in lines}
    assert by_name["empty.mp4"] == {"video": "empty.mp4", "frames": 3, "reads": 0}
    assert "No such file" in by_name["none.jpg"]["error"]
    assert by_name["photo.jpg"]["plates"][0]["text"] == PLATE
    assert "damaged" in by_name["cut.jpg"]["warning"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("",), 1, "empty name"),
        (("none.jpg",), 1, "none.jpg: No such file"),
        (("--runtime", "nope", "photo.jpg"), 2, "nope"),
        (("--models", "none", "photo.jpg"), 1, "none/active.toml"),
        (("--mask", "0,0,2", "photo.jpg"), 2, "x0,y0,x1,y1"),
        (("--mask", "0.5,0,0.2,1", "photo.jpg"), 2, "x0 < x1"),
        (("--crops", "v.mp4"), 1, "not read with --crops"),
    ],
)
def test_a_mistake_is_a_clear_word(read, photo, arguments, code, said):
    """And no traceback."""
    (photo.parent / "v.mp4").write_bytes(bytes(100))
    found, _, err = read(*arguments)
    assert found == code
    assert said in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("text", "expected"),
    [("plain.jpg", "plain.jpg"), ("\udce9", "\\xe9"), ("\x1b[1m", "\\x1b[1m"), ("\u202e", "\\u202e"), ("ü", "ü")],
)
def test_control_characters_are_shown(text, expected):
    assert plain(text) == expected


@pytest.mark.slow
def test_a_damaged_jpeg_is_reported_once_in_our_words(read, photo):
    """libjpeg writes its own lines to the descriptor of standard error; ours alone are shown."""
    data = bytearray(photo.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    photo.write_bytes(bytes(data[: len(data) * 9 // 10]))
    code, _, err = read("photo.jpg")
    lines = err.strip().splitlines()
    assert lines == ["patrol-lpr: photo.jpg: damaged, decoded as far as possible"]
    assert code in {0, 1}


@pytest.mark.parametrize("form", OutputForm)
def test_what_was_read_before_an_interruption_is_printed(photo, monkeypatch, capsys, form):
    """Ctrl-C after an hour of a large folder does not cost the hour."""
    for number in range(3):
        (photo.parent / f"{number}.jpg").write_bytes(photo.read_bytes())

    def interrupted(recogniser, paths, **options):
        for number, result in enumerate(read_images(recogniser, paths, **options)):
            if number == 2:
                raise KeyboardInterrupt
            yield result

    monkeypatch.setattr(cli.read, "read_images", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cli.read.run([str(photo.parent)], ReadOptions(form=form), models=None, runtime="auto")
    out, said = capsys.readouterr()
    assert out.count(PLATE) == 2
    assert "interrupted; 2 of 4 inputs were read" in said
    if form is OutputForm.DOCUMENT:
        assert len(json.loads(out)) == 2


def test_what_a_video_gave_before_an_interruption_is_printed(photo, monkeypatch, capsys):
    path = write_mp4(photo.parent / "v.mp4", [scene(380 + i) for i in range(3)])

    def interrupted(recogniser, path, **options):
        yield from read_video(recogniser, path, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.read, "read_video", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cli.read.run([str(path)], ReadOptions(), models=None, runtime="auto")
    out, said = capsys.readouterr()
    assert "v.mp4" in out
    assert "interrupted; 0 of 1 inputs were read" in said
