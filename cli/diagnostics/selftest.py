"""``patrol-lpr selftest``: guided test of a unit on the bench, with a printable checklist."""

from __future__ import annotations

import base64
import html
import json
import sys
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from agent.recognise import load_active
from agent.recognise.models_folder import default_models_folder
from agent.runtime.config import load_config
from agent.runtime.stages import software
from cli.diagnostics.bench_board import disk_step, link_step, memory_step, recogniser_step
from cli.diagnostics.bench_devices import camera_step, panel_steps, receiver_steps
from cli.diagnostics.checks import examine, existing_folder
from cli.diagnostics.step import Mark, Nobody, Person, Step, as_plain, as_table
from cli.show import print_table
from cli.terminal import PlainConsole
from hw.clock import NS_PER_S
from hw.open import open_board, open_cameras, open_gnss, open_link, open_panel
from hw.output import text_output
from protocol.errors import PatrolError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent.runtime.config import AgentConfig
    from hw.ports import Clock, Frame

_HANDS_S = 30.0
_EACH_S = 3.0
_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Self-test {unit}</title>
<style>
body {{ font: 11pt/1.35 sans-serif; margin: 1.5cm }} h1 {{ font-size: 15pt }}
table {{ border-collapse: collapse; width: 100% }} td, th {{ border: 1px solid #999; padding: 4px 7px; text-align: left;
vertical-align: top }} tr {{ page-break-inside: avoid }} .fail td {{ font-weight: bold }}
img {{ max-width: 12cm; display: block }} .mark {{ white-space: nowrap }}
</style>
<h1>Self-test of {unit}</h1>
<p>{when}, {software}. {summary}</p>
<table><tr><th></th><th>what</th><th>finding</th></tr>
{rows}
</table>
<p>Looked at by: ______________________ &nbsp; date: ______________ &nbsp; signed: ______________________</p>
</html>
"""


class AtTheTerminal:
    """The operator at the keyboard; prompts go to standard error, so that standard output is valid JSON."""

    patience_s = _HANDS_S

    def __init__(self) -> None:
        self._console = PlainConsole(stderr=True)

    def tell(self, text: str) -> None:
        """See the protocol."""
        self._console.print(text)

    def ask(self, question: str) -> bool | None:
        """Yes, no, or None to answer later on paper."""
        answer = self._console.input(f"{question} [y/n, Enter to skip] ").strip().lower()
        return {"y": True, "n": False}.get(answer[:1])


def run(
    path: Path,
    overrides: list[str],
    clock: Clock,
    *,
    as_json: bool,
    out: Path | None,
    attended: bool,
    sky_s: float,
) -> int:
    """Run all steps; returns 1 if one fails.  Raises ConfigError, OutputError."""
    config = load_config(path, overrides)
    person = AtTheTerminal() if attended else Nobody()
    steps = list(steps_of(path, overrides, config, clock, person, sky_s=sky_s))
    if as_json:
        sys.stdout.write(json.dumps([as_plain(step) for step in steps], indent=2) + "\n")
    else:
        print_table(as_table(steps, caption=_summary(steps)))
    if out is not None:
        with text_output(out) as file:
            file.write(page(steps, config.unit, clock))
    return 1 if any(step.mark is Mark.FAIL for step in steps) else 0


def steps_of(
    path: Path, overrides: list[str], config: AgentConfig, clock: Clock, person: Person, *, sky_s: float
) -> Iterator[Step]:
    """First the checks of doctor; then, for parts that passed, steps that take longer or need an operator."""
    person.tell("doctor: automatic checks")
    failed = set()
    for step in examine(path, overrides):
        if step.mark is Mark.FAIL:
            failed.add(step.what)
        yield replace(step, what=f"doctor: {step.what}")
    bench = _Bench(config, clock, person, sky_s)
    parts: dict[str, Callable[[], Iterator[Step]]] = {
        "cameras": bench.cameras,
        "receiver": bench.receiver,
        "panel": bench.panel,
        "disk": bench.storage,
        "models": bench.recogniser,
        "board": bench.memory,
        "broker": bench.broker,
    }
    for what, part in parts.items():
        if what in failed:
            continue
        try:
            yield from part()
        except PatrolError as error:
            yield Step(what, Mark.FAIL, str(error))


class _Bench:
    """Opens each part of the unit for its steps, and closes it afterwards."""

    def __init__(self, config: AgentConfig, clock: Clock, person: Person, sky_s: float) -> None:
        self._config, self._clock, self._person, self._sky_s = config, clock, person, sky_s
        self._frame: Frame | None = None

    def cameras(self) -> Iterator[Step]:
        for own in self._config.hw.cameras:
            self._person.tell(f"camera {own.name}: point it at a plate at reading distance")
            with closing(open_cameras((own,), self._clock)[0]) as camera:
                step, frame = camera_step(camera, self._clock, self._person, fps=getattr(own, "fps", None))
            self._frame = frame or self._frame
            yield step

    def receiver(self) -> Iterator[Step]:
        if self._config.hw.gnss.kind != "none":
            with closing(open_gnss(self._config.hw.gnss, self._clock)) as gnss:
                yield from receiver_steps(gnss, self._clock, self._person, sky_s=self._sky_s)

    def panel(self) -> Iterator[Step]:
        if self._config.hw.panel.kind != "none":
            each_s = _EACH_S if self._person.patience_s else 0.0
            with closing(open_panel(self._config.hw.panel, self._clock)) as panel:
                yield from panel_steps(panel, self._clock, self._person, each_s=each_s)

    def storage(self) -> Iterator[Step]:
        yield disk_step(existing_folder(self._config.state_dir), self._clock)

    def recogniser(self) -> Iterator[Step]:
        yield recogniser_step(self._config, self._clock, self._frame)

    def memory(self) -> Iterator[Step]:
        yield memory_step(open_board(self._config.hw.board, self._clock))

    def broker(self) -> Iterator[Step]:
        if self._config.hw.link.kind != "none":
            bundles = load_active(self._config.recognise.models or default_models_folder())
            models = tuple(bundle.model_id for bundle in bundles)
            with closing(open_link(self._config.hw.link)) as link:
                yield link_step(link, self._clock, self._config.unit, models)


def page(steps: list[Step], unit: str, clock: Clock) -> str:
    """The checklist as a printable page, with boxes for the steps that were not answered."""
    when = datetime.fromtimestamp(clock.utc_ns() / NS_PER_S, UTC)
    return _PAGE.format(
        unit=html.escape(unit),
        when=f"{when:%Y-%m-%d %H:%M} UTC",
        software=html.escape(software()),
        summary=_summary(steps),
        rows="\n".join(_row(step) for step in steps),
    )


def _row(step: Step) -> str:
    box = "&#9744; yes &#9744; no" if step.mark is Mark.ASK else step.mark.value
    picture = ""
    if step.picture is not None:
        data = base64.b64encode(step.picture).decode("ascii")
        picture = f'<img alt="{html.escape(step.what)}" src="data:image/jpeg;base64,{data}">'
    return (
        f'<tr class="{step.mark.value}"><td class="mark">{box}</td><td>{html.escape(step.what)}</td>'
        f"<td>{html.escape(step.detail)}{picture}</td></tr>"
    )


def _summary(steps: list[Step]) -> str:
    counts = {mark: sum(step.mark is mark for step in steps) for mark in Mark}
    return (
        f"{counts[Mark.OK]} passed, {counts[Mark.WARN]} warnings, {counts[Mark.FAIL]} failed, "
        f"{counts[Mark.ASK]} to be checked by an operator."
    )
