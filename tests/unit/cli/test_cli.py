"""How commands end: what systemd and scripts are told."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from cli import main
from hw.drive_load import load_drive
from tests.drive_builder import write_drive


@pytest.mark.usefixtures("fresh_logging")
@pytest.mark.parametrize(
    ("text", "code"),
    [
        ('unit = "unit-07"\nagency = "Example"\nspeed = 3\n[[hw.cameras]]\nkind = "sim"\n', main.EXIT_CONFIG),
        (
            'unit = "unit-07"\nagency = "Example"\n[[hw.cameras]]\nkind = "folder"\npath = "/nowhere"\n',
            main.EXIT_FAILED,
        ),
    ],
)
def test_exit_status_of_invalid_configuration(tmp_path, monkeypatch, capsys, text, code):
    """A camera may come back, so the service is started again; a wrong key stays wrong."""
    path = tmp_path / "config.toml"
    path.write_text(f'state_dir = "{tmp_path}"\n{text}[seal]\nmode = "off"\n')
    monkeypatch.setattr("sys.argv", ["patrol-lpr", "run", "--config", str(path)])
    with pytest.raises(SystemExit) as ended:
        main.main()
    assert ended.value.code == code
    assert capsys.readouterr().err.startswith("patrol-lpr: ")


def test_service_is_not_restarted_on_invalid_configuration(repo):
    service = (repo / "systemd/patrol-lpr.service").read_text()
    assert f"RestartPreventExitStatus={main.EXIT_CONFIG}\n" in service


def ended(monkeypatch, capsys, *arguments) -> tuple[int, str]:
    """Exit status and what was said to people."""
    monkeypatch.setattr("sys.argv", ["patrol-lpr", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main.main()
    return end.value.code, capsys.readouterr().err


@pytest.fixture
def unit(tmp_path):
    """The configuration of a unit whose camera is a folder of two pictures."""
    frames = tmp_path / "frames"
    frames.mkdir()
    for number in range(2):
        cv2.imwrite(str(frames / f"{number}.png"), np.full((48, 64, 3), 90 + number, np.uint8))
    path = tmp_path / "config.toml"
    path.write_text(
        f'unit = "unit-07"\nagency = "Example"\nstate_dir = "{tmp_path}/state"\n[seal]\nmode = "off"\n'
        f'[[hw.cameras]]\nkind = "folder"\npath = "{frames}"\nrotate = 90\n'
    )
    return path


@pytest.mark.usefixtures("fresh_logging")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("record", "{tmp}/new", "--camera", "nope"), "no such camera; configured: front"),
        (("record", "{tmp}/config.toml/x"), "cannot be written"),
        (("run", "--set", "state_dir={tmp}/config.toml/x", "--until-cameras-end"), "Not a directory"),
    ],
    ids=["unknown camera", "unwritable folder", "unwritable state"],
)
def test_a_mistake_of_whoever_typed_is_one_line(unit, monkeypatch, capsys, arguments, said):
    """Not a traceback."""
    words = [word.format(tmp=unit.parent) for word in arguments]
    code, err = ended(monkeypatch, capsys, *words, "--config", unit)
    assert code != 0
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/etc/x"), "/etc/x: Permission denied"),
        (FileNotFoundError(2, "No such file or directory", "y"), "y: No such file"),
        (OSError(28, "No space left on device"), "No space left"),
        (OSError(5, "Input/output error"), "Input/output error"),
        (OSError(27, "File too large"), "File too large"),
    ],
)
def test_what_the_system_refuses_is_one_line(monkeypatch, capsys, unit, error, said):
    monkeypatch.setattr("cli.config.check", lambda *_: (_ for _ in ()).throw(error))
    code, err = ended(monkeypatch, capsys, "config", "check", unit)
    assert code == 1
    assert said in err
    assert err.count("\n") == 1


def test_a_defect_is_still_shown_as_one(monkeypatch, unit):
    """An error that nobody who typed can mend keeps its traceback."""
    monkeypatch.setattr("cli.config.check", lambda *_: (_ for _ in ()).throw(ConnectionResetError(104, "reset")))
    monkeypatch.setattr("sys.argv", ["patrol-lpr", "config", "check", str(unit)])
    with pytest.raises(ConnectionResetError):
        main.main()


@pytest.mark.slow
def test_a_recording_is_a_drive_of_turned_pictures(monkeypatch, capsys, unit):
    """From the configured camera to its end; both signals are the caller's again."""
    monkeypatch.setattr("cli.record.signal.signal", lambda *_: None)
    out = unit.parent / "drive"
    code, _ = ended(monkeypatch, capsys, "record", out, "--config", unit)
    assert code == 0
    drive = load_drive(out)
    assert (len(drive.frames), drive.header.camera.width_px, drive.header.camera.height_px) == (2, 48, 64)


@pytest.mark.slow
def test_one_bad_drive_does_not_stop_the_others(monkeypatch, capsys, tmp_path):
    """It is said, and the status tells; a name is no markup and no way out of the folder."""
    good = write_drive(tmp_path / "good", seconds=2)
    header = good / "drive.toml"
    header.write_text(header.read_text().replace('name = "good"', 'name = "../[red]good"'))
    monkeypatch.setattr(
        "sys.argv", ["patrol-lpr", "simulate", str(tmp_path / "none"), str(good), "--keep", str(tmp_path / "k")]
    )
    with pytest.raises(SystemExit) as end:
        main.main()
    said = capsys.readouterr()
    assert end.value.code == 1
    assert "folder does not exist" in said.err
    assert "../[red]good" in said.out
    assert [path.name for path in (tmp_path / "k").iterdir()] == ["__red_good"]


@pytest.mark.slow
def test_drives_of_one_name_have_reports_of_their_own(monkeypatch, capsys, tmp_path):
    """Recordings of several days are called front, all of them: the report of the last replaced the others."""
    days = [write_drive(tmp_path / day / "front", seconds=2) for day in ("monday", "tuesday", "friday")]
    arguments = ["simulate", *days, "--report", tmp_path / "r.html", "--keep", tmp_path / "k"]
    assert ended(monkeypatch, capsys, *arguments)[0] == 0
    assert sorted(p.name for p in tmp_path.glob("*.html")) == ["r-front-2.html", "r-front-3.html", "r-front.html"]
    assert sorted(path.name for path in (tmp_path / "k").iterdir()) == ["front", "front-2", "front-3"]
    monkeypatch.setattr("cli.simulate.show_replay", lambda *_: pytest.fail("replayed for nothing"))
    code, said = ended(monkeypatch, capsys, *arguments)
    assert code
    assert "k/front: exists already; name another folder with --keep" in said


@pytest.mark.slow
def test_results_of_drives_are_one_json_document(monkeypatch, capsys, tmp_path):
    """On standard output alone; what else is said goes to standard error."""
    good = write_drive(tmp_path / "good", seconds=2)
    monkeypatch.setattr("sys.argv", ["patrol-lpr", "simulate", str(good), str(tmp_path / "none"), "--json"])
    with pytest.raises(SystemExit) as end:
        main.main()
    (drive,) = json.loads(capsys.readouterr().out)
    assert end.value.code == 1
    assert (drive["drive"], drive["accounted_for"], drive["reads_missing"]) == ("good", True, 0)
