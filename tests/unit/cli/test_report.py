"""The HTML report of a drive, through the commands that people use."""

from __future__ import annotations

import re
from dataclasses import replace

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
def test_report_shows_what_was_missed_and_what_was_wrong(tmp_path):
    """Not only what was read: a person sees the plate that is not there, and the one that is another."""
    outcome = replay_drive(load_drive(write_drive(tmp_path / "drive", plates=PLATES)), tmp_path / "state")
    first, second = outcome.result.reads
    gone, instead = second.body.text, "1WRONG1"
    wrong = replace(first, body=first.body.model_copy(update={"text": instead}))
    outcome.result.reads[:] = [wrong, first]
    path = tmp_path / "report.html"
    write_report(path, outcome.drive, outcome.result, outcome.station, outcome.truth)
    page = path.read_text(encoding="utf-8")
    not_read = page.split("<h2>Plates shown and not read</h2>")[1].split("<h2>")[0]
    assert gone in not_read
    assert first.body.text not in not_read
    assert re.search(r'class="read wrong".*?1WRONG1.*?wrong: [0-9A-Z]+ shown', page, flags=re.DOTALL)
    for tile in ("<b>1 of 2</b>", "<b>1</b><span>plates missed", "<b>1</b><span>wrong reads"):
        assert tile in page


@pytest.mark.slow
def test_report_of_a_drive_without_truth_says_so(tmp_path):
    drive = load_drive(write_drive(tmp_path / "drive", plates=PLATES))
    outcome = replay_drive(drive, tmp_path / "state")
    path = tmp_path / "report.html"
    write_report(path, replace(drive, truth=()), outcome.result, outcome.station)
    page = path.read_text(encoding="utf-8")
    assert "has no ground truth" in page
    assert ">missed<" not in page
    assert "wrong reads" not in page


@pytest.mark.slow
def test_map_and_cards_have_the_same_colours(tmp_path):
    outcome = replay_drive(load_drive(write_drive(tmp_path / "drive", plates=PLATES)), tmp_path / "state")
    path = tmp_path / "report.html"
    write_report(path, outcome.drive, outcome.result, outcome.station, outcome.truth)
    plot, cards = path.read_text(encoding="utf-8").split("<h2>Reads</h2>")
    colours = set(re.findall(r'class="tag method" style="border-color: (#\w+)', cards))
    assert colours
    assert all(colour in plot for colour in colours)


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
