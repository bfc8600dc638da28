"""The HTML report of a drive, through the commands that people use."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.report import counters_of, write_report
from cli.simulate import replay_drive
from hw.drive_load import load_drive
from tests.drive_builder import write_drive

PLATES = {"7ABC123": (0.6, 2.0), "HJK4821": (1.0, 2.4)}


@pytest.mark.slow
def test_report_holds_the_reads_and_the_counters_of_every_type(tmp_path):
    """One file without references: plates, and counters down to those of single record types."""
    outcome = replay_drive(load_drive(write_drive(tmp_path / "drive", plates=PLATES)), tmp_path / "state")
    path = tmp_path / "report.html"
    write_report(path, outcome.drive, outcome.result, outcome.station)
    page = path.read_text(encoding="utf-8")
    assert all(plate in page for plate in PLATES)
    counters = counters_of(outcome.result)
    assert counters["outbox.receipted.read/1"] == 2
    assert not re.search(r'(src|href)="(?!data:|#)', page)


@pytest.mark.slow
def test_simulate_writes_the_report_it_was_asked_for(tmp_path):
    """As in the README."""
    drive = write_drive(tmp_path / "drive", plates=PLATES)
    done = CliRunner().invoke(app, ["simulate", str(drive), "--report", str(tmp_path / "out.html")])
    assert done.exit_code == 0, done.output
    assert "7ABC123" in (tmp_path / "out.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.usefixtures("fresh_logging")
def test_demo_runs_to_its_end(tmp_path):
    """One short drive live and replayed, a report, and the proof; exit status 0."""
    drives = tmp_path / "drives"
    drives.mkdir()
    write_drive(drives / "short", plates=PLATES)
    done = CliRunner().invoke(app, ["demo", "--drives", str(drives), "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "short.html").stat().st_size > 10_000
    assert "complete and unaltered" in done.output
