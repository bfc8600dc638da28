"""Hit lamp, sounds and speech: what the unit itself does about hits, without any view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent.hits.records import RANK
from agent.hits.speech import spoken
from agent.hotlist.records import Priority
from hw.ports import Buzz, HitLamp

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agent.hits.records import Hit
    from hw.ports import Panel, Speaker

_NS_PER_S = 1_000_000_000
_SOUNDS = {Priority.HIGH: Buzz.HIT_HIGH, Priority.MEDIUM: Buzz.HIT_MEDIUM, Priority.LOW: Buzz.HIT_LOW}
_LAMPS = {Priority.HIGH: HitLamp.HIGH, Priority.MEDIUM: HitLamp.MEDIUM, Priority.LOW: HitLamp.LOW}
_REPEAT_NS = 10 * _NS_PER_S
"""Pause after which the sound of an unacknowledged hit of high priority is repeated."""
_REPEATS = 12


class Alarm:
    """Alerts the crew.  High priority is never muted by its list; acknowledging silences it.  Used under a lock."""

    def __init__(self, panel: Panel, speaker: Speaker | None, language: str) -> None:
        """``language``: ``en`` or ``es``."""
        self._panel = panel
        self._speaker = speaker
        self._language = language
        self._lamp = HitLamp.OFF
        self._repeat_due_ns = 0
        self._repeats_left = 0
        self.sounded = 0
        """Sounds made since the start of the process, repetitions included."""

    def alert(self, hits: Sequence[Hit], t_mono_ns: int) -> None:
        """Sound and speak about new hits, the most important one."""
        heard = [hit for hit in hits if hit.priority is Priority.HIGH or hit.match.list.sound]
        if not heard:
            return
        hit = min(heard, key=lambda hit: RANK[hit.priority])
        self._sound(hit)
        if self._speaker is not None:
            self._speaker.say(spoken(hit, self._language), language=self._language)
        if hit.priority is Priority.HIGH:
            self._repeat_due_ns, self._repeats_left = t_mono_ns + _REPEAT_NS, _REPEATS

    def show(self, unacknowledged: Sequence[Hit]) -> None:
        """Set the hit lamp to the highest priority of the hits that nobody has seen."""
        shown = [hit.priority for hit in unacknowledged if hit.priority is Priority.HIGH or hit.match.list.lamp]
        lamp = _LAMPS[min(shown, key=RANK.__getitem__)] if shown else HitLamp.OFF
        if lamp is not self._lamp:
            self._lamp = lamp
            self._panel.set_hit_lamp(lamp)

    def hush(self) -> None:
        """Silence buzzer, speech and hit lamp; ``show`` sets the lamp again if hits are left."""
        self._panel.hush()
        self._lamp = HitLamp.OFF
        self._repeats_left = 0
        if self._speaker is not None:
            self._speaker.hush()

    def close(self) -> None:
        """Release the speaker; nothing is spoken from then on."""
        if self._speaker is not None:
            self._speaker.close()

    def repeat(self, unacknowledged: Sequence[Hit], t_mono_ns: int) -> None:
        """Repeat the sound of high priority while nobody has seen the hit."""
        if not self._repeats_left or t_mono_ns < self._repeat_due_ns:
            return
        waiting = [hit for hit in unacknowledged if hit.priority is Priority.HIGH]
        if not waiting:
            self._repeats_left = 0
            return
        self._repeats_left -= 1
        self._repeat_due_ns = t_mono_ns + _REPEAT_NS
        self._sound(waiting[-1])

    def _sound(self, hit: Hit) -> None:
        self.sounded += 1
        self._panel.buzz(_SOUNDS[hit.priority])
