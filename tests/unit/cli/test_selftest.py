"""The bench self-test on simulated and made-up hardware: what it measures, asks, prints and returns."""

from __future__ import annotations

import json
import os
import pty
import threading
import tty
import weakref
from contextlib import suppress
from datetime import timedelta

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from agent.errors import OutboxError
from cli.diagnostics import bench_board, selftest
from cli.diagnostics.bench_board import disk_step, link_step, memory_step, recogniser_step
from cli.diagnostics.bench_devices import camera_step, panel_steps, receiver_steps
from cli.diagnostics.step import Mark, Nobody, Step, in_a_line
from cli.main import app
from cli.simulate import config_for
from hw.board_sim import BoardSim
from hw.camera_sim import CameraSim
from hw.clock import NS_PER_S, RealClock, SimClock
from hw.config import FixedGnssConfig
from hw.drive_load import load_drive
from hw.gnss_sim import GnssSim
from hw.open import open_gnss
from hw.panel_gpio import BLINK_S, pattern
from hw.panel_sim import PanelSim
from hw.ports import Acked, GnssLostError, Lamp, LinkDown, LinkUp, NmeaLine, Refused
from tests.builders import make_frame
from tests.drive_builder import write_drive
from tests.nmea_lines import START, gga, rmc, sentence

DRIVE_UTC_NS = int(START.timestamp()) * NS_PER_S


class Attendant:
    """A person who answers the same to everything, and has hands if the panel's script has."""

    patience_s = 30.0

    def __init__(self, *, answer: bool) -> None:
        self._answer = answer
        self.told, self.questions = [], []

    def tell(self, text: str) -> None:
        self.told.append(text)

    def ask(self, question: str) -> bool:
        self.questions.append(question)
        return self._answer


def marks(steps: list[Step]) -> dict[str, Mark]:
    return {step.what: step.mark for step in steps}


def camera_seeing(tmp_path, picture: np.ndarray, clock: SimClock) -> CameraSim:
    drive = load_drive(write_drive(tmp_path / "drive"))
    for file in (drive.root / "frames").iterdir():
        cv2.imwrite(str(file), picture)
    return CameraSim(drive, clock)


def scene(level: int = 110, *, detail: int = 60) -> np.ndarray:
    noise = np.random.default_rng(3).integers(-detail, detail + 1, (45, 80, 3)) + level
    return cv2.resize(np.clip(noise, 0, 255).astype(np.uint8), (320, 180), interpolation=cv2.INTER_NEAREST)


def test_camera_step_measures_and_asks_operator(tmp_path):
    clock = SimClock()
    step, frame = camera_step(camera_seeing(tmp_path, scene(), clock), clock, Attendant(answer=True), fps=5)
    assert step.mark is Mark.OK
    assert step.figures["fps"] == pytest.approx(5)
    assert step.figures["exposure_us"] == 5000
    assert 80 < step.figures["brightness"] < 140
    assert frame.rgb.shape == (180, 320, 3)
    assert cv2.imdecode(np.frombuffer(step.picture, np.uint8), cv2.IMREAD_COLOR).shape == (180, 320, 3)


@pytest.mark.parametrize(
    ("picture", "fps", "words"),
    [
        (scene(2, detail=1), 5, "dark"),
        (scene(255, detail=0), 5, "overexposed"),
        (scene(110, detail=0), 5, "out of focus"),
        (scene(), 30, "fewer frames than the 30"),
    ],
)
def test_camera_step_reports_bad_pictures(tmp_path, picture, fps, words):
    clock, person = SimClock(), Attendant(answer=True)
    step, _ = camera_step(camera_seeing(tmp_path, picture, clock), clock, person, fps=fps)
    assert (step.mark, person.questions) == (Mark.WARN, [])
    assert words in step.detail


def test_answer_no_fails_and_unattended_stays_open(tmp_path):
    for person, mark in ((Attendant(answer=False), Mark.FAIL), (Nobody(), Mark.ASK)):
        clock = SimClock()
        camera = camera_seeing(tmp_path / type(person).__name__, scene(), clock)
        assert camera_step(camera, clock, person, fps=5)[0].mark is mark


def test_camera_step_releases_pixels():
    """A few seconds of a large camera would fill a small board's memory."""

    class Counting:
        name = "front"

        def __init__(self, clock: SimClock) -> None:
            self._clock, self.made, self.max_alive = clock, [], 0

        def next_frame(self, *, timeout_s: float):
            self._clock.advance(NS_PER_S // 30)
            frame = make_frame(seq=len(self.made), t_mono_ns=self._clock.mono_ns())
            self.made.append(weakref.ref(frame.rgb))
            self.max_alive = max(self.max_alive, sum(ref() is not None for ref in self.made))
            return frame

    clock = SimClock()
    camera = Counting(clock)
    camera_step(camera, clock, Nobody(), fps=30)
    assert len(camera.made) > 80
    assert camera.max_alive <= 3


def test_camera_step_fails_without_frames(tmp_path):
    clock = SimClock()
    camera = camera_seeing(tmp_path, scene(), clock)
    camera.close()
    step, frame = camera_step(camera, clock, Nobody(), fps=5)
    assert (step.mark, frame) == (Mark.FAIL, None)


def test_receiver_step_measures_time_to_fix_and_clock_offset(tmp_path):
    drive = load_drive(write_drive(tmp_path / "drive", gnss_from_s=4))
    for off_s, mark in ((0, Mark.OK), (-86400, Mark.WARN)):
        clock = SimClock(utc_ns=DRIVE_UTC_NS + off_s * NS_PER_S)
        steps = receiver_steps(GnssSim(drive, clock), clock, Nobody(), sky_s=60)
        assert marks(steps) == {"receiver": Mark.OK, "clock against GNSS": mark}
        assert steps[0].figures["first_fix_s"] == pytest.approx(4.08, abs=0.1)
        assert steps[1].figures["off_s"] == pytest.approx(off_s, abs=1)


class Speaks:
    """A receiver that says one thing, over and over, as its clock goes."""

    def __init__(self, clock: SimClock, text: str | None) -> None:
        self._clock, self._text = clock, text

    def next_line(self, *, timeout_s: float) -> NmeaLine | None:
        self._clock.advance(round(timeout_s * NS_PER_S) + 1)
        if self._text == "lost":
            raise GnssLostError("receiver on /dev/x: gone; check that it is connected and readable")
        return None if self._text is None else NmeaLine(self._clock.mono_ns(), self._text)


@pytest.mark.parametrize(
    ("text", "mark", "words"),
    [
        (None, Mark.FAIL, "no data"),
        ("lost", Mark.FAIL, "check that it is connected"),
        (
            sentence("GNRMC,120000.00,V,,,,,,,300526,,,N"),
            Mark.WARN,
            "60 sentences in 60 s, no fix: no RMC with a position; check that the antenna",
        ),
        (sentence("GPGSV,1,1,00"), Mark.WARN, "60 sentences in 60 s, no fix: no RMC, GGA, GNS or GLL: enable"),
        (gga(lat_deg=0.0, lon_deg=0.0), Mark.WARN, "no fix: impossible position"),
        ("hello", Mark.WARN, "0 sentences in 60 s, no fix: no sentence: check port and baud rate"),
        ("\ufffd$x", Mark.WARN, "check port and baud rate"),
        (
            gga()[:-3],
            Mark.WARN,
            "0 sentences, 60 without a checksum in 60 s, no fix: sentences without a checksum are not used: switch",
        ),
        (
            "\ufffdb\x01" + sentence("GPGSV,1,1,00"),
            Mark.WARN,
            "60 sentences, 60 behind binary data in 60 s, no fix",
        ),
    ],
)
def test_receiver_step_reports_why_no_fix(text, mark, words):
    clock = SimClock()
    (step,) = receiver_steps(Speaks(clock, text), clock, Nobody(), sky_s=60)
    assert step.mark is mark
    assert words in step.detail


def test_receiver_step_for_fixed_site():
    clock = SimClock()
    site = FixedGnssConfig(kind="fixed", lat_deg=38.9, lon_deg=-77.0, error_m=15.0)
    (step,) = receiver_steps(open_gnss(site, clock), clock, Nobody(), sky_s=60)
    assert step.mark is Mark.OK
    assert step.detail == "fixed site at 38.90000 -77.00000, within 15 m, from the configuration"


def test_panel_steps_with_operator(tmp_path):
    """Every lamp is shown by its name and pattern; what hands do is seen, not asked."""
    script = [
        (1000, "button.acknowledge", {}), (2000, "button.privacy", {}), (9000, "ignition.off", {}),
        (12000, "ignition.on", {}),
    ]  # fmt: skip
    clock, person = SimClock(), Attendant(answer=True)
    panel = PanelSim(clock, load_drive(write_drive(tmp_path / "drive", script=script)))
    steps = panel_steps(panel, clock, person, each_s=0)
    assert set(marks(steps).values()) == {Mark.OK}
    assert set(marks(steps)) == {"status lamp", "buzzer, hit lamp", "illuminator", "buttons", "ignition"}
    assert set(panel.lamps) == set(Lamp)
    assert len(person.questions) == 3
    for lamp in BLINK_S:
        assert any(lamp.value in told and pattern(lamp) in told for told in person.told)
    assert not panel.illuminator_on


def test_panel_steps_without_response_fail():
    failed = marks(panel_steps(PanelSim(SimClock()), clock := SimClock(), Attendant(answer=False), each_s=0))
    assert set(failed.values()) == {Mark.FAIL}
    assert clock.mono_ns() >= 60 * NS_PER_S, "hands are waited for"
    open_ones = marks(panel_steps(PanelSim(SimClock()), SimClock(), Nobody(), each_s=0))
    assert set(open_ones.values()) == {Mark.ASK}


class Slow(SimClock):
    """Every look at it costs time."""

    def __init__(self, ms: float) -> None:
        super().__init__()
        self._step_ns = round(ms * 1e6)

    def mono_ns(self) -> int:
        self.advance(self._step_ns)
        return super().mono_ns()


@pytest.mark.slow
@pytest.mark.parametrize(("ms", "mark"), [(4, Mark.OK), (200, Mark.WARN), (1500, Mark.FAIL)])
def test_storage_step_uses_slowest_writes(tmp_path, ms, mark):
    step = disk_step(tmp_path, Slow(ms))
    assert step.mark is mark
    assert step.figures["fsync_p99_ms"] == pytest.approx(ms)
    assert list(tmp_path.iterdir()) == []


def test_storage_step_fails_on_unwritable_folder(tmp_path):
    step = disk_step(tmp_path / "missing", RealClock())
    assert step.mark is Mark.FAIL
    assert "missing" in step.detail


@pytest.mark.slow
def test_recogniser_step_measures_speed(tmp_path):
    config = config_for(load_drive(write_drive(tmp_path / "drive")), tmp_path)
    real = recogniser_step(config, RealClock(), make_frame(width=1280, height=720))
    assert real.figures["find_ms"] > 0
    assert real.figures["read_ms"] > 0
    assert recogniser_step(config, Slow(150), None).mark is Mark.FAIL


def test_memory_step_measures_process():
    assert memory_step(BoardSim(SimClock())).figures["rss_mib"] == pytest.approx(143, abs=1)


class FakeLink:
    """A link that answers as it is told."""

    def __init__(self, first, answer) -> None:
        self._first, self._answer = first, answer
        self.sent = []

    def start(self, on_event, *, subscribe, will) -> None:
        self._on_event = on_event
        if self._first is not None:
            on_event(self._first)

    def confirm(self) -> None:
        """See the port."""

    def publish(self, topic, payload, *, token, retain=False, qos=1) -> None:
        self.sent.append((topic, retain))
        self._on_event(self._answer(token))


@pytest.mark.parametrize(
    ("first", "answer", "mark", "words"),
    [
        (LinkUp(16), Acked, Mark.OK, "round trip"),
        (LinkUp(16), lambda token: Refused(token, 135, "not authorised"), Mark.FAIL, "not authorised"),
        (LinkUp(16), lambda _: LinkDown("lost"), Mark.FAIL, "lost"),
        (LinkDown("certificate revoked"), Acked, Mark.FAIL, "certificate revoked"),
        (None, Acked, Mark.FAIL, "no answer within"),
    ],
)
def test_broker_step_measures_round_trip(monkeypatch, first, answer, mark, words):
    """With the unit's own status, which the agent sets anew when it starts."""
    monkeypatch.setattr(bench_board, "_CONNECT_S", 0.05)
    link = FakeLink(first, answer)
    step = link_step(link, RealClock(), "unit-07", ("plate-det@00000000",))
    assert step.mark is mark
    assert words in step.detail
    assert set(link.sent) <= {("lpr/1/unit-07/st", True)}


@pytest.fixture
def unit(tmp_path):
    """A folder of pictures as the camera, a receiver on a terminal that sends sentences, and a simulated panel."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (tmp_path / "state").mkdir()
    for number in range(3):
        cv2.imwrite(str(pictures / f"{number}.png"), scene())
    ours, theirs = pty.openpty()
    tty.setraw(theirs)
    # Nobody reads after the run: what does not fit is said to nobody.
    os.set_blocking(ours, False)
    done = threading.Event()

    def speak() -> None:
        second = 0
        while not done.wait(0.02):
            at = START + timedelta(seconds=second)
            with suppress(BlockingIOError):
                os.write(ours, f"{rmc(at)}\r\n{gga(at)}\r\n".encode())
            second += 1

    speaker = threading.Thread(target=speak, daemon=True)
    path = tmp_path / "config.toml"
    path.write_text(
        f'unit = "unit-07"\nagency = "Example"\nstate_dir = "{tmp_path / "state"}"\n'
        f'[[hw.cameras]]\nkind = "folder"\npath = "{pictures}"\nloop = true\n'
        f'[hw.gnss]\nkind = "serial"\nport = "{os.ttyname(theirs)}"\nbaud = 9600\n[hw.panel]\nkind = "sim"\n'
        '[seal]\nmode = "off"\n[outbox]\nmin_free_mib = 0\n'
    )
    speaker.start()
    yield path
    done.set()
    speaker.join()
    os.close(ours)
    os.close(theirs)


@pytest.mark.slow
def test_selftest_command(unit, tmp_path):
    """JSON for programs, a page with boxes and pictures for the folder, exit code 0 while nothing fails."""
    page = tmp_path / "checklist.html"
    done = CliRunner().invoke(
        app, ["selftest", "--config", str(unit), "--unattended", "--json", "--out", str(page), "--sky-s", "30"]
    )
    assert done.exit_code == 0, done.output
    steps = {step["what"]: step for step in json.loads(done.stdout)}
    assert {
        "doctor: cameras", "doctor: receiver", "doctor: clock", "camera front", "receiver", "clock against GNSS",
        "status lamp", "buttons", "ignition", "storage", "recogniser", "memory",
    } <= set(steps)  # fmt: skip
    assert {what for what, step in steps.items() if step["mark"] == "ask"} == {
        "camera front", "status lamp", "buzzer, hit lamp", "illuminator", "buttons", "ignition",
    }  # fmt: skip
    text = page.read_text(encoding="utf-8")
    assert text.count("&#9744; yes") == 6
    assert text.count("data:image/jpeg;base64,") == 1
    assert "unit-07" in text
    assert "signed:" in text


@pytest.mark.slow
def test_selftest_skips_parts_that_failed_in_doctor(unit, capsys):
    code = selftest.run(
        unit, ["hw.gnss.port=/nowhere/gnss"], RealClock(), as_json=True, out=None, attended=False, sky_s=5
    )
    steps = {step["what"]: step["mark"] for step in json.loads(capsys.readouterr().out)}
    assert code == 1
    assert steps["doctor: receiver"] == "fail"
    assert "receiver" not in steps
    assert "storage" in steps


@pytest.mark.slow
def test_selftest_failing_part_does_not_stop_others(unit, monkeypatch, capsys):
    def break_down(*_args, **_more):
        raise OutboxError("torn out")

    monkeypatch.setattr(selftest, "recogniser_step", break_down)
    assert selftest.run(unit, [], RealClock(), as_json=False, out=None, attended=False, sky_s=5) == 1
    said = capsys.readouterr().out
    assert "torn out" in said
    assert "resident" in said


def test_operator_prompts_on_terminal(monkeypatch, capsys):
    person = selftest.AtTheTerminal()
    answers = iter(["y", "No", "", "perhaps"])
    monkeypatch.setattr("builtins.input", lambda *_: next(answers))
    assert [person.ask("Is [hw.panel] right?") for _ in range(4)] == [True, False, None, None]
    assert "Is [hw.panel] right? [y/n, Enter to skip]" in capsys.readouterr().err


def test_figures_are_formatted_for_reading():
    figures = {"fps": 9.8765, "sharpness": 1359.6, "age_ms": -58_812.3, "burnt_share": 0.0}
    assert in_a_line(figures) == "fps 9.88, sharpness 1360, age_ms -58812, burnt_share 0"
