"""The guided part of the self-test: cameras, receiver, panel; measured, or asked of the operator."""

from __future__ import annotations

import statistics
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2

from cli.diagnostics.receiver import amount, described, listen, why_no_fix
from cli.diagnostics.step import Mark, Step, asked, in_a_line
from hw.clock import NS_PER_S, wait
from hw.panel_gpio import pattern
from hw.ports import Button, Buzz, GnssLostError, HitLamp, HwError, Lamp
from protocol.wire.enums import FixQuality

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.records import Fix
    from cli.diagnostics.receiver import Heard
    from cli.diagnostics.step import Person
    from hw.ports import Camera, Clock, Frame, Gnss, Panel

_FRAME_TIMEOUT_S = 5.0
_LOOK_S = 3.0
_MAX_FRAMES = 300
_BURNT, _DARK = 250, 20
_BURNT_SHARE = 0.2
_SHARP = 15.0
"""Variance of the Laplacian (Pech-Pacheco et al. 2000) below which a scene with any detail is out of focus."""
_RATE_SHARE = 0.8
_PICTURE_WIDTH_PX = 960
_POLL_S = 0.1
_CLOCK_OFF_S = 2.0


def camera_step(camera: Camera, clock: Clock, person: Person, *, fps: float | None) -> tuple[Step, Frame | None]:
    """Measure for a few seconds: rate, age, exposure, brightness and sharpness; with a picture for the operator.

    ``fps`` is the configured rate, if any.  The frame is the last one, None if there was none.
    """
    what = f"camera {camera.name}"
    try:
        looks, last = _look(camera, clock)
    except HwError as error:
        return Step(what, Mark.FAIL, str(error)), None
    span_s = (looks[-1].t_mono_ns - looks[0].t_mono_ns) / NS_PER_S
    made = looks[-1].seq - looks[0].seq
    luma = cv2.cvtColor(last.rgb, cv2.COLOR_RGB2GRAY)
    figures = {
        "fps": made / span_s if span_s > 0 else 0.0,
        "age_ms": (clock.mono_ns() - last.t_mono_ns) / 1e6,
        "exposure_us": statistics.median(look.exposure_us for look in looks),
        "gain": statistics.median(look.gain for look in looks),
        "brightness": float(luma.mean()),
        "burnt_share": float((luma >= _BURNT).mean()),
        "sharpness": float(cv2.Laplacian(luma, cv2.CV_64F).var()),
    }
    said = in_a_line(figures)
    problems = [text for wrong, text in _problems(figures, fps) if wrong]
    if problems:
        return Step(what, Mark.WARN, f"{'; '.join(problems)} ({said})", figures, _jpeg(last)), last
    size = f"{last.rgb.shape[1]}x{last.rgb.shape[0]}"
    question = f"{size}, {said}. Is the picture sharp, upright, and from the correct camera?"
    hint = "focus on a plate at reading distance, then fix the lens"
    return asked(person, what, question, hint, figures=figures, picture=_jpeg(last)), last


@dataclass(frozen=True, slots=True)
class _Look:
    """What is kept of a frame; its pixels would use too much memory."""

    seq: int
    t_mono_ns: int
    exposure_us: int
    gain: float


def _look(camera: Camera, clock: Clock) -> tuple[list[_Look], Frame]:
    frame = camera.next_frame(timeout_s=_FRAME_TIMEOUT_S)
    looks = [_Look(frame.seq, frame.t_mono_ns, frame.exposure_us, frame.gain)]
    until_ns = clock.mono_ns() + round(_LOOK_S * NS_PER_S)
    while clock.mono_ns() < until_ns and len(looks) < _MAX_FRAMES:
        try:
            frame = camera.next_frame(timeout_s=_FRAME_TIMEOUT_S)
        except HwError:
            break
        looks.append(_Look(frame.seq, frame.t_mono_ns, frame.exposure_us, frame.gain))
    return looks, frame


def _problems(figures: dict[str, float], fps: float | None) -> list[tuple[bool, str]]:
    slow = fps is not None and figures["fps"] < _RATE_SHARE * fps
    return [
        (
            slow,
            f"fewer frames than the {fps or 0:g} configured: check cable, light, or set another format (fourcc)",
        ),
        (figures["brightness"] < _DARK, "dark: check whether the lens is covered"),
        (figures["burnt_share"] > _BURNT_SHARE, "overexposed: point it at an ordinary scene"),
        (figures["sharpness"] < _SHARP, "no detail: out of focus, or a blank scene"),
    ]


def _jpeg(frame: Frame) -> bytes:
    scale = min(1.0, _PICTURE_WIDTH_PX / frame.rgb.shape[1])
    small = cv2.resize(frame.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR))[1].tobytes()


def receiver_steps(gnss: Gnss, clock: Clock, person: Person, *, sky_s: float) -> list[Step]:
    """Wait for a fix, at most ``sky_s``; report what the receiver sent, how long it took, and the clock's offset."""
    person.tell(f"waiting for a fix, at most {sky_s:g} s: the antenna needs a clear view of the sky")
    try:
        heard = listen(gnss, clock, max_s=sky_s)
    except GnssLostError as error:
        return [Step("receiver", Mark.FAIL, str(error))]
    if heard.first_line_s is None:
        return [Step("receiver", Mark.FAIL, f"no data in {sky_s:g} s: check wiring, port and baud rate")]
    if heard.fix is None:
        said = f"{amount(heard.nmea)} in {sky_s:g} s, no fix: {why_no_fix(heard.nmea)}"
        return [Step("receiver", Mark.WARN, said)]
    return [_fixed(heard, heard.fix, heard.first_line_s), *_clock_steps(heard.fix, clock)]


def _fixed(heard: Heard, fix: Fix, first_line_s: float) -> Step:
    figures = {"first_line_s": first_line_s, "first_fix_s": heard.fix_s, "error_m": fix.error_m}
    if fix.quality is FixQuality.NONE:
        return Step("receiver", Mark.OK, described(fix), figures)
    waited = f"first line after {first_line_s:.1f} s, fix after {heard.fix_s:.0f} s"
    said = f"{waited}: {amount(heard.nmea)}, {described(fix)}"
    return Step("receiver", Mark.OK, said, figures)


def _clock_steps(fix: Fix, clock: Clock) -> list[Step]:
    return [] if fix.utc_ns is None else [_clock_step(fix, fix.utc_ns, clock)]


def _clock_step(fix: Fix, utc_ns: int, clock: Clock) -> Step:
    off_s = (clock.utc_ns() - clock.mono_ns() + fix.t_mono_ns - utc_ns) / NS_PER_S
    figures = {"off_s": off_s}
    if abs(off_s) <= _CLOCK_OFF_S:
        return Step("clock against GNSS", Mark.OK, f"the system clock is {off_s:+.2f} s off", figures)
    hint = (
        "reads get their time from the receiver in any case; TLS needs the system clock: "
        "connect a network, or add a battery clock"
    )
    return Step("clock against GNSS", Mark.WARN, f"the system clock is {off_s:+.0f} s off; {hint}", figures)


_HIT_LAMPS = {Buzz.HIT_HIGH: HitLamp.HIGH, Buzz.HIT_MEDIUM: HitLamp.MEDIUM, Buzz.HIT_LOW: HitLamp.LOW}


def panel_steps(panel: Panel, clock: Clock, person: Person, *, each_s: float) -> list[Step]:
    """Lamps and sounds for the operator to check; buttons and ignition for the operator to use."""
    pause = threading.Event()
    for lamp in Lamp:
        person.tell(f"status lamp: {lamp.value}: {pattern(lamp)}")
        panel.set_lamp(lamp)
        wait(clock, pause, each_s)
    seen = asked(
        person, "status lamp", "Did the status lamp show each pattern as named?", "check pin and polarity"
    )
    for sound in Buzz:
        person.tell(f"buzzer: {sound.value}; hit lamp: {_HIT_LAMPS.get(sound, HitLamp.OFF).value}")
        panel.buzz(sound)
        panel.set_hit_lamp(_HIT_LAMPS.get(sound, HitLamp.OFF))
        wait(clock, pause, each_s)
    heard = asked(
        person,
        "buzzer, hit lamp",
        "Were there five different sounds, and did the hit lamp blink during the second, third and fourth?",
        "check the pins",
    )
    panel.hush()
    panel.set_illuminator(on=True)
    lit = asked(
        person, "illuminator", "Is the illuminator on (visible with a phone camera)?", "check pin and supply"
    )
    panel.set_illuminator(on=False)
    return [seen, heard, lit, _buttons(panel, clock, person), _ignition(panel, clock, person)]


def _buttons(panel: Panel, clock: Clock, person: Person) -> Step:
    person.tell(f"press acknowledge, then privacy, within {person.patience_s:g} s")
    panel.take_presses()
    pressed: list[Button] = []

    def both() -> bool:
        pressed.extend(panel.take_presses())
        return set(pressed) == set(Button)

    if _until(both, clock, person.patience_s):
        return Step("buttons", Mark.OK, f"pressed: {', '.join(pressed)}")
    missing = ", ".join(button for button in Button if button not in pressed)
    if person.patience_s == 0:
        return Step("buttons", Mark.ASK, f"not pressed: {missing}")
    return Step("buttons", Mark.FAIL, f"no signal from: {missing}; check wiring to ground and the pin")


def _ignition(panel: Panel, clock: Clock, person: Person) -> Step:
    now = "on" if panel.ignition_on else "off"
    person.tell(f"turn the ignition off, then on, within {person.patience_s:g} s each")
    went_off = _until(lambda: not panel.ignition_on, clock, person.patience_s)
    if went_off and _until(lambda: panel.ignition_on, clock, person.patience_s):
        return Step("ignition", Mark.OK, "off and on detected")
    if person.patience_s == 0:
        return Step("ignition", Mark.ASK, f"it is {now}; turn it and run the test again")
    stuck = "off" if went_off else "on"
    return Step(
        "ignition", Mark.FAIL, f"stayed {stuck}: check that the sense wire is on a switched circuit, and the pin"
    )


def _until(come: Callable[[], bool], clock: Clock, patience_s: float) -> bool:
    until_ns = clock.mono_ns() + round(patience_s * NS_PER_S)
    pause = threading.Event()
    while not come():
        if clock.mono_ns() >= until_ns:
            return False
        wait(clock, pause, _POLL_S)
    return True
