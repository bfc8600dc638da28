"""The console: memory, time from an event of the feed to pixels in a browser, and what it costs the vision step.

For the times the agent is a fake one in this process; console and browser are real.  Times are of one clock: when the
event was posted, and when the frame that shows it was handed to the screen.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import sync_playwright

from bench.console_vision import vision_ratio
from bench.measure import Figure, arguments
from tests.console_process import CHROMIUM, LARGE, SMALL, run_console
from tests.fake_agent import FakeAgent, a_hit, a_read

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Browser, Page

READS, HITS = 200, 40
MAX_MIB, MAX_READ_MS, MAX_HIT_MS = 45, 200, 300
_KIB_PER_MIB = 1024
_PATIENCE, _PAUSE_MS = 2000, 120
_WATCH = """() => {
  window.seen = new Map();
  const note = (key) => {
    if (!window.seen.has(key)) {
      window.seen.set(key, 0);
      requestAnimationFrame(() => setTimeout(() => window.seen.set(key, Date.now()), 0));
    }
  };
  new MutationObserver(() => {
    document.querySelectorAll('#reads li').forEach((item) => note(item.dataset.key));
    const hit = document.querySelector('#hit');
    const loaded = [...hit.querySelectorAll('img')].every((image) => image.complete && image.naturalWidth > 0);
    const shown = document.querySelector('#hit-choices').dataset.key;
    if (!hit.hidden && loaded && shown) note(shown);
  }).observe(document.body, { subtree: true, childList: true, attributes: true, characterData: true });
  document.querySelectorAll('#hit img').forEach((image) =>
    image.addEventListener('load', () => document.body.toggleAttribute('data-loaded')));
}"""


def main() -> None:
    """Print the figures."""
    tiny = arguments(__doc__).parse_args().tiny
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(CHROMIUM))
        figures = [
            *_page_figures(browser, *((5, 2) if tiny else (READS, HITS))),
            *vision_ratio(browser, tiny=tiny),
        ]
        browser.close()
    for figure in figures:
        print(figure.as_json())


def _page_figures(browser: Browser, reads: int, hits: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder, FakeAgent(Path(folder)) as agent, run_console(agent) as console:
        page, other = (
            browser.new_page(viewport={"width": width, "height": height}) for width, height in (SMALL, LARGE)
        )
        agent.read(a_read(1))
        for each in (page, other):
            each.goto(console.address)
            each.wait_for_selector("#reads li")
        page.evaluate(_WATCH)
        read_ms = [
            _until_seen(page, partial(agent.read, read), read["read_id"]) for read in map(a_read, range(2, reads))
        ]
        hit_ms = []
        for i in range(hits):
            hit = a_hit(i)
            hit_ms.append(_until_seen(page, partial(agent.hit, hit), hit["hit_id"]))
            agent.hit(hit, state="withdrawn")
            page.click("#hit-over [data-close]")
        mib = _resident_kib(console.process.pid) / _KIB_PER_MIB
        for each in (page, other):
            each.close()
    return [
        Figure("console: resident memory, two terminals", mib, "MiB", MAX_MIB),
        *_figures("console: read to pixels", read_ms, MAX_READ_MS),
        *_figures("console: hit to its view with pictures", hit_ms, MAX_HIT_MS),
    ]


def _figures(name: str, times_ms: list[float], limit: float) -> tuple[Figure, Figure]:
    return (
        Figure(f"{name}, median", statistics.median(times_ms), "ms"),
        Figure(f"{name}, 95th percentile", sorted(times_ms)[int(len(times_ms) * 0.95)], "ms", limit),
    )


def _until_seen(page: Page, post: Callable[[], None], key: str) -> float:
    start = time.time()
    post()
    for _ in range(_PATIENCE):
        if seen := page.evaluate("(key) => window.seen.get(key)", key):
            page.wait_for_timeout(_PAUSE_MS)  # the console limits how many pictures a terminal may ask for
            return float(seen) - start * 1000
        page.wait_for_timeout(5)
    raise TimeoutError("an event never reached the screen")


def _resident_kib(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return int(text.split("VmRSS:")[1].split()[0])


if __name__ == "__main__":
    main()
