"""Files that a person named: replaced whole, written into, or left as they are."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hw.output import OutputError, check_output, output, text_output

DATA = bytes(range(256)) * 1000


def write(path, data=DATA, **options):
    with output(path, **options) as file:
        file.write(data)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def rights(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_new_file_is_complete(tmp_path):
    """It has the rights that any program's file has here."""
    path, plain = tmp_path / "new", tmp_path / "plain"
    plain.touch()
    write(path)
    assert path.read_bytes() == DATA
    assert rights(path) == rights(plain)
    assert names(tmp_path) == ["new", "plain"]


def test_file_is_replaced_atomically(tmp_path):
    """Whoever has the old one open reads on in it; its rights are the new one's."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    with path.open("rb") as before:
        with output(path) as file:
            file.write(DATA)
            assert path.read_bytes() == b"old"
        assert before.read() == b"old"
    assert (path.read_bytes(), rights(path)) == (DATA, 0o640)


@pytest.mark.parametrize("held", [None, b"old"])
def test_failed_write_changes_nothing(tmp_path, held):
    """Neither a half file nor one beside it is left behind."""
    path = tmp_path / "file"
    if held is not None:
        path.write_bytes(held)

    def fail():
        with output(path) as file:
            file.write(DATA)
            raise ValueError("the source ended")

    with pytest.raises(ValueError, match="the source ended"):
        fail()
    assert names(tmp_path) == ([] if held is None else ["file"])
    assert held is None or path.read_bytes() == held


@pytest.mark.parametrize("held", [False, True])
def test_private_files_are_readable_only_by_the_owner(tmp_path, held):
    """Also where others could read what was there before."""
    path = tmp_path / "file"
    if held:
        path.touch(0o644)
    write(path, private=True)
    assert rights(path) == 0o600


@pytest.mark.parametrize("held", [False, True])
def test_links_are_followed(tmp_path, held):
    """Through several and into other folders, whether or not there is a file at their end."""
    real = tmp_path / "elsewhere" / "real"
    real.parent.mkdir()
    if held:
        real.write_bytes(b"old")
    (tmp_path / "middle").symlink_to("elsewhere/real")
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "middle")
    write(link)
    assert real.read_bytes() == DATA
    assert link.is_symlink()
    assert (tmp_path / "middle").is_symlink()
    assert names(real.parent) == ["real"]


def test_a_pipe_is_written_into(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    came = []
    reader = threading.Thread(target=lambda: came.append(path.read_bytes()))
    reader.start()
    write(path)
    reader.join()
    assert came == [DATA]
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert names(tmp_path) == ["pipe"]


def test_a_device_is_written_into(tmp_path):
    """By its name or by a link; it is the device afterwards, with the rights that it had."""
    before = Path("/dev/null").stat()
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    for path in (link, Path("/dev/null")):
        write(path, private=True)
        after = path.stat()
        assert stat.S_ISCHR(after.st_mode)
        assert (after.st_ino, after.st_mode, after.st_rdev) == (before.st_ino, before.st_mode, before.st_rdev)
    assert link.is_symlink()


@pytest.mark.integration  # making a device node needs root
def test_a_device_node_in_a_folder_is_written_into(tmp_path):
    path = tmp_path / "node"
    os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    write(path)
    assert stat.S_ISCHR(path.stat().st_mode)
    assert names(tmp_path) == ["node"]


@pytest.mark.slow
def test_shell_redirections_are_written_into(tmp_path):
    """What stood in the file before and what comes after stays."""
    program = (
        "import sys; from pathlib import Path; from hw.output import text_output\n"
        "with text_output(Path(sys.argv[1])) as out: out.write('between\\n')"
    )
    path = tmp_path / "out"
    for name in ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"):
        shell = 'echo before; "$0" -c "$1" "$2"; echo after'
        with path.open("ab") as out:
            out.truncate(0)
            subprocess.run(["bash", "-c", shell, sys.executable, program, name], stdout=out, check=True)
        assert path.read_text() == "before\nbetween\nafter\n"
        piped = subprocess.run([sys.executable, "-c", program, name], stdout=subprocess.PIPE, check=True)
        assert piped.stdout == b"between\n"
    assert names(tmp_path) == ["out"]


def test_failed_output_is_not_written_into_a_pipe(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def fail():
        with output(path) as file:
            file.write(DATA)
            raise ValueError("the source ended")

    with pytest.raises(ValueError, match="ended"):
        fail()
    assert os.read(handle, 10) == b""
    os.close(handle)


@pytest.mark.parametrize("name", ["none/such", "folder", "loop"])
def test_unwritable_output_is_a_clear_error(tmp_path, name):
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(OutputError, match=f"{name}: cannot be written"):
        write(tmp_path / name)
    assert names(tmp_path) == ["folder", "loop"]


def test_full_device_is_a_clear_error():
    with pytest.raises(OutputError, match="No space left"):
        write(Path("/dev/full"))


def test_line_ends_are_kept(tmp_path):
    path = tmp_path / "text"
    with text_output(path) as out:
        out.write("a\r\nü\n")
    assert path.read_bytes() == "a\r\nü\n".encode()


def test_what_cannot_be_written_is_known_before(tmp_path, monkeypatch):
    """Before a replay or a self-test of minutes; nothing is written."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "folder" / "new")
    for fine in ("new", "file", "link", "none/at/all"):
        check_output(tmp_path / fine)
    check_output(Path("/dev/null"))
    for wrong in ("folder", "file/x", "x" * 300):
        with pytest.raises(OutputError, match="cannot be written"):
            check_output(tmp_path / wrong)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    for wrong in ("new", "file", "none/at/all"):
        with pytest.raises(OutputError, match="Permission denied"):
            check_output(tmp_path / wrong)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder", "link"]
