"""Commands that refuse: one clear line, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import textwrap

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from agent.errors import ConfigError, DriveError, OutboxError, StateFolderInUseError
from agent.recognise import interpreter
from agent.recognise.interpreter import RuntimeKind, slower_runtime_advice
from agent.runtime.config import check_patch, load_config, parse_config
from agent.runtime.lock import state_folder
from cli import demo, outbox, report, run, simulate
from cli.diagnostics import checks
from cli.update import app as update_app
from hw.output import OutputError
from protocol.errors import UpdateError
from protocol.seal import SigningKey
from tests.conftest import ROOT

HOLD = """
import sys
from pathlib import Path
from agent.runtime.lock import state_folder
with state_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def unit(tmp_path):
    path = tmp_path / "config.toml"
    path.write_text(
        f'unit = "unit-07"\nagency = "A"\nstate_dir = "{tmp_path}/state"\n[[hw.cameras]]\nkind = "folder"\n'
        f'path = "{tmp_path}"\n[seal]\nmode = "off"\n'
    )
    return path


@pytest.fixture
def other_agent(tmp_path):
    """Another process that holds the state folder."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "state")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert child.stdout.readline() == "held\n"
    yield child
    child.kill()
    child.wait()
    child.stdin.close()
    child.stdout.close()


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_logging")
def test_a_second_agent_and_commands_that_write_are_refused_until_the_first_is_gone(tmp_path, other_agent):
    """kill -9 lets go as well: the kernel holds the lock, not a file that somebody must delete."""
    path = unit(tmp_path)
    (tmp_path / "state" / outbox.FILE_NAME).touch()
    config = load_config(path)
    told = rf"state: in use by another patrol-lpr \(process {other_agent.pid}\): stop it first"
    with pytest.raises(StateFolderInUseError, match=told):
        run.run(path, [], until_cameras_end=True, drain_s=0)
    for command in (outbox.requeue, outbox.discard):
        with pytest.raises(StateFolderInUseError, match=told):
            command(config)
    assert sorted(p.name for p in (tmp_path / "state").iterdir()) == sorted(["agent.lock", outbox.FILE_NAME])
    other_agent.send_signal(signal.SIGKILL)
    other_agent.wait()
    with state_folder(tmp_path / "state"):
        pass
    assert outbox.requeue(config) == 0


def test_requeue_makes_no_outbox(tmp_path):
    with pytest.raises(OutboxError, match="no outbox"):
        outbox.requeue(load_config(unit(tmp_path)))
    assert not (tmp_path / "state").exists()


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_logging")
def test_the_outbox_of_an_agent_started_by_hand_is_its_owners_alone(tmp_path):
    """Whatever the shell's umask says."""
    path = unit(tmp_path)
    script = textwrap.dedent(f"""
        import os
        os.umask(0o022)
        from pathlib import Path
        from cli import run
        config = run.load_config(Path({str(path)!r}))
        run.open_hardware = None
        try:
            run.run(Path({str(path)!r}), [], until_cameras_end=True, drain_s=0)
        except TypeError:
            pass
        from cli import outbox
        from agent.buffer import open_outbox
        open_outbox(config.state_dir, None)
    """)
    subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    modes = {p.name: oct(p.stat().st_mode & 0o777) for p in (tmp_path / "state").iterdir()}
    assert outbox.FILE_NAME in modes
    assert set(modes.values()) == {"0o600"}


@pytest.mark.parametrize(
    ("patch", "line"),
    [
        ("[log]\nlevle = 'info'", "log.levle: unknown key"),
        ("[recognise]\nmax_fps = 'many'", 'recognise.max_fps: must be a number; it is "many"'),
        ("[hw.gnss]\nprot = 1", "hw.gnss.prot: unknown key"),
        ("[hw.link]\nprot = 1", "hw.link.prot: unknown key"),
        ("[lgo]\nlevel = 'info'", "lgo: unknown key"),
        ("unit = 'unit-09'", "unit cannot be changed by an update"),
    ],
)
def test_an_update_with_a_misspelt_key_is_not_signed(tmp_path, patch, line):
    SigningKey.generate().save(tmp_path / "release.key")
    (tmp_path / "patch.toml").write_text(patch)
    made = CliRunner().invoke(
        update_app,
        ["make", str(tmp_path / "1.lprup"), "--key", str(tmp_path / "release.key"), "--release", "1", "--config",
         str(tmp_path / "patch.toml")],
    )  # fmt: skip
    assert isinstance(made.exception, UpdateError)
    assert line in str(made.exception)
    assert not (tmp_path / "1.lprup").exists()


@pytest.mark.parametrize(
    "patch",
    [
        {"hw": {"gnss": {"host": "localhost"}}},
        {"hw": {"gnss": {"baud": 9600}}},
        {"hw": {"gnss": {"error_m": 30.0}}},
        {"hw": {"link": {"host": "new.fleet", "window": 10}}},
        {"hw": {"cameras": [{"kind": "device", "source": 0}]}},
        {"hw": {"panel": {"kind": "none"}}},
        {"power": {"slow_above_c": 60}},
    ],
    ids=str,
)
def test_an_update_that_some_units_can_take_is_signed(patch):
    """What fits only together with a unit's own configuration is checked there."""
    check_patch(patch, "patch.toml")


def test_a_missing_report_library_is_told_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(report, "find_spec", lambda name: None if name == "matplotlib" else object())
    monkeypatch.setattr(simulate, "load_drive", lambda _: pytest.fail("ran first"))
    with pytest.raises(ConfigError, match=r"pip install -e '\.\[report\]'"):
        simulate.run([tmp_path], tmp_path / "report.html", None)


def test_demo_outside_a_checkout_says_what_is_missing(tmp_path):
    with pytest.raises(
        DriveError, match="not of the installed package: run the command in the folder of a checkout"
    ):
        demo.run(tmp_path / "tests/drives", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_slower_runtime_is_told_where_auto_takes_it(tmp_path, monkeypatch):
    """With both installed, or with a choice in the configuration, nothing is said."""
    here = {}
    monkeypatch.setattr(interpreter, "installed_runtimes", lambda: here["kinds"])
    here["kinds"] = (RuntimeKind.LITERT, RuntimeKind.TFLITE)
    assert slower_runtime_advice(RuntimeKind.AUTO) is None
    here["kinds"] = (RuntimeKind.TFLITE,)
    assert slower_runtime_advice(RuntimeKind.TFLITE) is None
    told = slower_runtime_advice(RuntimeKind.AUTO)
    assert "python -m pip install ai-edge-litert" in told
    monkeypatch.setattr(checks, "run_golden", lambda *_: type("Golden", (), {"passed": True}))
    table = {"unit": "u", "agency": "a", "hw": {"cameras": [{"kind": "sim"}]}}
    step = checks._models(parse_config(table, "c"))
    assert (step.mark.name, told in step.detail) == ("WARN", True)


SOURCES = [
    path
    for pattern in ("*.md", "docs/**/*.md", "*/**/*.py", "*/**/*.sh", "*/**/*.toml")
    for path in ROOT.glob(pattern)
    if not any(part.startswith(".") or part in {"tests", "dist"} for part in path.relative_to(ROOT).parts)
]


def test_nobody_is_told_to_install_the_name_from_the_index():
    """The name is nobody's there: whoever takes it would be installed.  ``--no-index`` takes our own wheels."""
    told = re.compile(r"pip3? (?:install|download|wheel)[^\n]*['\" ]patrol[-_]lpr(?:\[[a-z,]*\])?['\"\s;]")
    assert told.search("pip install 'patrol-lpr[station]'")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in SOURCES
        for line in path.read_text(encoding="utf-8").splitlines()
        if told.search(f"{line}\n") and "--no-index" not in line
    ]
    assert len(SOURCES) > 300
    assert found == []


@pytest.mark.slow
@pytest.mark.parametrize("advice", ["tflite takes five times as long: install ai-edge-litert", None])
def test_the_agent_warns_of_the_slower_runtime_at_its_start(tmp_path, monkeypatch, advice):
    """Once, before the hardware is opened, so that it stands at the beginning of the log."""
    monkeypatch.setattr(run, "slower_runtime_advice", lambda _: advice)

    def no_hardware(*_):
        raise LookupError

    monkeypatch.setattr(run, "open_hardware", no_hardware)
    with capture_logs() as logs, pytest.raises(LookupError):
        run._run(load_config(unit(tmp_path)), until_cameras_end=True, drain_s=0)
    told = [entry for entry in logs if entry["event"] == "slower_runtime"]
    assert [entry["what"] for entry in told] == ([advice] if advice else [])
    assert all(entry["log_level"] == "warning" for entry in told)


def test_a_report_that_cannot_be_written_is_told_before_the_run(tmp_path, repo, monkeypatch):
    monkeypatch.setattr(simulate, "show_replay", lambda *_: pytest.fail("replayed for nothing"))
    with pytest.raises(OutputError, match="Is a directory"):
        simulate.run([repo / "tests/drives/city-day"], tmp_path, None)
