"""``patrol-lpr doctor``: all checks, and the panel for the operator."""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING

from agent.runtime.config import load_config
from cli.diagnostics.checks import examine
from cli.diagnostics.step import Mark, as_plain, as_table
from cli.show import print_table
from cli.terminal import PlainConsole
from hw.clock import RealClock
from hw.open import open_panel, open_speaker
from hw.ports import Buzz, HitLamp, Lamp

if TYPE_CHECKING:
    from pathlib import Path

_SPOKEN = {"en": "speaker test", "es": "prueba de altavoz"}


def run(path: Path, overrides: list[str], *, as_json: bool) -> int:
    """Run all checks; returns 1 if one fails."""
    steps = list(examine(path, overrides))
    if as_json:
        sys.stdout.write(json.dumps([as_plain(step) for step in steps], indent=2) + "\n")
    else:
        print_table(as_table(steps))
    return 1 if any(step.mark is Mark.FAIL for step in steps) else 0


def show_panel(path: Path, overrides: list[str], *, each_s: float) -> int:
    """Show every lamp and sound in turn, with its name, and speak a line if there is a speaker."""
    config = load_config(path, overrides)
    speaker = open_speaker(config.hw.speaker)
    panel = open_panel(config.hw.panel, RealClock())
    out = PlainConsole()
    try:
        for lamp in Lamp:
            out.print(f"lamp: {lamp.value}")
            panel.set_lamp(lamp)
            time.sleep(each_s)
        for hit_lamp in HitLamp:
            out.print(f"hit lamp: {hit_lamp.value}")
            panel.set_hit_lamp(hit_lamp)
            time.sleep(each_s)
        for sound in Buzz:
            out.print(f"sound: {sound.value}")
            panel.buzz(sound)
            time.sleep(each_s)
        if speaker is not None:
            out.print("speaker")
            speaker.say(_SPOKEN[config.hits.language], language=config.hits.language)
            time.sleep(each_s)
        out.print("illuminator; press the buttons now")
        panel.set_illuminator(on=True)
        time.sleep(2 * each_s)
        for button in panel.take_presses():
            out.print(f"pressed: {button.value}")
    finally:
        panel.close()
        if speaker is not None:
            speaker.close()
    return 0
