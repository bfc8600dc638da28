"""Every speaker says a line at once, and never keeps the agent waiting."""

from __future__ import annotations

import stat
import threading

import pytest

from hw.config import EspeakSpeakerConfig, NoSpeakerConfig, SimSpeakerConfig
from hw.open import open_speaker
from hw.ports import HwConfigError

ROUNDS = 2000


def program(folder, script):
    """A synthesiser that writes down how it is called."""
    path = folder / "espeak-ng"
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="ascii")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return EspeakSpeakerConfig(kind="espeak", program=path)


@pytest.fixture(params=["sim", "espeak"])
def speaker(request, tmp_path):
    config = SimSpeakerConfig(kind="sim") if request.param == "sim" else program(tmp_path, "cat >/dev/null")
    made = open_speaker(config)
    yield made
    made.close()


def wait_for(path):
    for _ in range(ROUNDS):
        if path.exists():
            return path.read_text(encoding="utf-8")
        threading.Event().wait(0.01)
    raise AssertionError("it never came")


def test_speaker_takes_lines_at_any_time(speaker):
    """Two at once, silence in between, and after the end."""
    speaker.say("high priority, plate 7 A B C", language="en")
    speaker.say("prioridad alta, placa 7 A B C", language="es")
    speaker.hush()
    speaker.hush()
    speaker.close()
    speaker.close()
    speaker.say("too late", language="en")
    speaker.hush()


def test_text_goes_through_the_pipe_and_not_on_the_command_line(tmp_path):
    """Other users can read command lines: they never hold a plate."""
    script = f'echo "$@" >{tmp_path}/args; cat >{tmp_path}/part; mv {tmp_path}/part {tmp_path}/said'
    speaker = open_speaker(program(tmp_path, script))
    speaker.say("placa 7 A B C", language="es")
    assert wait_for(tmp_path / "said") == "placa 7 A B C"
    assert (tmp_path / "args").read_text().split() == ["--stdin", "-v", "es-419", "-s", "160", "-a", "150"]
    speaker.close()


def test_line_that_is_spoken_is_cut_off_by_the_next(tmp_path):
    speaker = open_speaker(program(tmp_path, f"read line; echo $line >>{tmp_path}/said; exec sleep 600"))
    for line in ("first", "second"):
        speaker.say(line + "\n", language="en")
        while line not in wait_for(tmp_path / "said"):
            pass
    speaker.close()
    assert speaker.failures == 0


def test_program_that_fails_is_counted_and_does_not_harm(tmp_path):
    speaker = open_speaker(program(tmp_path, "exit 3"))
    speaker.say("one", language="en")
    speaker._process.wait(60)
    speaker.say("two", language="en")
    (tmp_path / "espeak-ng").unlink()
    speaker._process.wait(60)
    speaker.say("three", language="en")
    assert speaker.failures == 3
    speaker.close()


def test_missing_program_is_a_clear_error(tmp_path):
    with pytest.raises(HwConfigError, match="apt-get install espeak-ng"):
        open_speaker(EspeakSpeakerConfig(kind="espeak", program=tmp_path / "none"))
    assert open_speaker(NoSpeakerConfig(kind="none")) is None
