"""Power cuts and kills while the state of shifts is written: what was answered is there afterwards."""

from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.runtime.duty_file import DutyFile
from agent.shift.duty import Duty
from agent.shift.incidents import IncidentText
from agent.shift.ports import DutyPorts
from agent.shift.sign_on import Choices
from protocol.wire.released import released_registry
from tests.duty_builder import Car, Log, signed_roster
from tests.power_cut import CuttableDisk
from tests.shift_builders import make_draft

pytestmark = pytest.mark.integration
POINTS = ("open", "opened", "fsync", "fsynced", "replace", "replaced")
"""Struck before or after such a call of the operating system; ``fsync`` is also that of the folder."""
TEXT = "a draft of which every word must survive " * 5
NS_PER_S = 1_000_000_000


class Unit(Car):
    """A unit that keeps its state in a file, and says what it has answered."""

    def __init__(self, folder: Path, report: int | None = None) -> None:
        self.file, self.report = DutyFile(folder), report
        super().__init__()

    def start(self) -> Duty:
        numbers = (number.to_bytes(16, "big") for number in range(1, 10_000))
        ports = DutyPorts(self.file.save, self._send, lambda n: next(numbers)[-n:], Log())
        self.duty = Duty(
            self.config, ports, released_registry(), self.file.load(), self.now, roster=signed_roster()
        )
        return self.duty

    def _send(self, key, body) -> None:
        super()._send(key, body)
        self.tell("sent", key)

    def tell(self, what, *values) -> None:
        if self.report is not None:
            os.write(self.report, json.dumps([what, *values]).encode() + b"\n")

    def play(self) -> None:
        """A short day on duty."""
        for n in range(2):
            attempt = self.duty.gate.begin("4711", self.now)
            self.tell("attempts", n + 1)
        on = self.duty.sign_on(attempt, Choices(zone="north"), self.now, right=True)
        shift_id = bytes.fromhex(on.shift.shift_id)
        self.tell("open", on.shift.shift_id)
        draft = make_draft(shift_id)
        for n in range(4):
            self.t_mono_ns += 60 * NS_PER_S
            draft = replace(draft, text=IncidentText(where=f"{n}", notes=(TEXT * n,)))
            self.tell("drafting", n)
            self.duty.put_draft(draft, self.now)
            self.tell("draft", n)
            self.duty.switch_activity(shift_id, "patrol" if n % 2 else "report", self.now)
        self.tell("closing")
        self.duty.close_draft(replace(draft, text=IncidentText(outcome="none", contribution="none")), self.now)
        self.tell("closed")
        self.tell("ending")
        self.duty.sign_off(shift_id, self.now)
        self.tell("ended")


def strike_at(point: str, passing: int, strike) -> None:
    """In this process, strike at the n-th passing of a point; the process does not live on."""
    left = [passing]

    def passed(name):
        if name == point:
            left[0] -= 1
            if not left[0]:
                strike()

    def around(call, before, after):
        def called(*arguments, **options):
            passed(before)
            result = call(*arguments, **options)
            passed(after)
            return result

        return called

    os.open = around(os.open, "open", "opened")
    os.fsync = around(os.fsync, "fsync", "fsynced")
    Path.replace = around(Path.replace, "replace", "replaced")


def life(folder: Path, point: str, passing: int, strike) -> list[list]:
    """Play until the strike in a process of its own; return what it told."""
    listen, report = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(listen)
            unit = Unit(folder, report)
            strike_at(point, passing, strike)
            unit.play()
        except BaseException:  # noqa: BLE001 - whatever it is, it must not run on as a second parent
            sys.excepthook(*sys.exc_info())
            os._exit(3)
        os._exit(0)
    os.close(report)
    with os.fdopen(listen, "rb") as pipe:
        told = [json.loads(line) for line in pipe]
    _, status = os.waitpid(pid, 0)
    assert not (os.WIFEXITED(status) and os.WEXITSTATUS(status)), "the unit failed"
    return told


def check(folder: Path, told: list[list]) -> None:
    """What was answered before the strike is in the state; what was asked last may be."""
    state = Unit(folder).duty.state
    last = {what: values for what, *values in told}
    attempts = dict(state.attempts.badges).get("4711")
    if "attempts" in last and "open" not in last and not state.shifts and not state.pending:
        assert attempts.failed >= last["attempts"][0]
    sent = [key for what, *values in told if what == "sent" for key in values]
    assert set(sent) <= {item.key for item in state.pending}
    if "open" in last:
        assert "ending" in last or [shift.shift_id for shift in state.shifts] == last["open"]
    if "ended" in last:
        assert state.shifts == ()
    if "draft" in last and "closing" not in last:
        (draft,) = state.drafts
        assert draft.text.where in {str(n) for n in (*last["draft"], *last["drafting"])}
        assert draft.text.notes == (TEXT * int(draft.text.where),)
    if "closed" in last:
        assert state.drafts == ()


@pytest.fixture
def disk(tmp_path):
    made = CuttableDisk(tmp_path)
    yield made
    made.release()


@pytest.mark.parametrize("point", POINTS)
def test_power_cuts_at_every_point_lose_nothing_that_was_answered(disk, point):
    for passing in range(1, 40, 3):
        for old in disk.mount.glob("duty*"):
            old.unlink()
        os.sync()

        def strike():
            disk.cut()
            os.kill(os.getpid(), signal.SIGKILL)

        told = life(disk.mount, point, passing, strike)
        disk.power_off()
        disk.power_on()
        check(disk.mount, told)


@pytest.mark.parametrize("point", POINTS)
def test_kills_at_every_point_lose_nothing_that_was_answered(tmp_path, point):
    for passing in range(1, 40, 2):
        for old in tmp_path.glob("duty*"):
            old.unlink()
        check(tmp_path, life(tmp_path, point, passing, lambda: os.kill(os.getpid(), signal.SIGKILL)))


def test_the_check_notices_a_state_that_is_not_synced(disk):
    """Without fsync a cut takes what was answered: the test can fail."""
    lost = 0
    for passing in range(4, 12):
        for old in disk.mount.glob("duty*"):
            old.unlink()
        os.sync()

        def strike():
            disk.cut()
            os.kill(os.getpid(), signal.SIGKILL)

        fsync, os.fsync = os.fsync, lambda _: None
        try:
            told = life(disk.mount, "open", passing, strike)
        finally:
            os.fsync = fsync
        disk.power_off()
        disk.power_on()
        try:
            check(disk.mount, told)
        except (AssertionError, ValueError, AttributeError):
            lost += 1
    assert lost
