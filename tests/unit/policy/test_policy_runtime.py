"""The running agent under a policy: reads carry it, fences pause the cameras, and everybody can see it."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from agent.buffer.outbox import FILE_NAME
from agent.runtime.service import Service
from agent.runtime.stages import build_policy_store
from hw.ports import Button, Lamp
from protocol.policy.envelope import sign_pack
from protocol.seal.keys import SigningKey
from protocol.wire.record import decode_record
from protocol.wire.records.audit import Audit
from protocol.wire.records.read import Read
from protocol.wire.released import released_registry
from tests.unit.policy.packs import make_pack
from tests.unit.runtime.test_feed import Listener
from tests.unit_parts import unit_parts

pytestmark = pytest.mark.slow
KEY = SigningKey.generate()
WORLD = [[10.0, -170.0], [10.0, -50.0], [70.0, -50.0], [70.0, -170.0]]
FAR = [[-45.0, 100.0], [-45.0, 101.0], [-44.0, 101.0], [-44.0, 100.0]]
LONG = {"retain": {"nonhit": {"days": 90}, "hit": {"days": 90}}}


@pytest.fixture
def unit(tmp_path):
    """Parts of a unit with policies, which may have some installed."""
    public = tmp_path / "policy.pub"
    public.write_bytes(KEY.public.pem())

    def make(*packs, **tables):
        parts = unit_parts(tmp_path, policy={"key": str(public)}, **tables)
        for pack in packs:
            install(parts[0], pack)
        return parts

    def install(config, pack):
        path = tmp_path / "new.lprpol"
        path.write_bytes(sign_pack(pack, KEY, as_of_s=1_780_000_000))
        build_policy_store(config).install(path)

    make.install = install
    return make


def bodies(config, kind):
    with contextlib.closing(sqlite3.connect(config.state_dir / FILE_NAME)) as con:
        payloads = [payload for (payload,) in con.execute("SELECT payload FROM records ORDER BY seq")]
    found = [decode_record(payload, released_registry()).body for payload in payloads]
    return [body for body in found if isinstance(body, kind)]


def audited(config):
    return [(entry.action, entry.obj) for entry in bodies(config, Audit)]


def run(parts, until, **options):
    service = Service(*parts)

    def watch(running):
        if until(running):
            running.stop()

    service.run(on_watch=watch, drain_s=0, **options)
    return service


def test_reads_carry_the_policy_and_its_expiry(unit):
    parts = unit(make_pack(**LONG))
    run(parts, lambda running: running.progress.committed >= 1)
    reads = bodies(parts[0], Read)
    assert {read.policy for read in reads} == {"us-xx/3"}
    assert all(
        read.expires_utc_us == read.utc_us + 90 * 86_400_000_000 for read in reads if read.utc_us is not None
    )
    assert any(action == "policy_change" and obj.startswith("us-xx/3") for action, obj in audited(parts[0]))


def test_without_a_policy_the_strict_default_keeps_no_read(unit):
    parts = unit()
    service = run(parts, lambda running: running.health.counters()["policy.not_kept"] >= 1)
    assert bodies(parts[0], Read) == []
    assert service.health.counters()["policy.kept"] == 0
    assert ("policy_change", "strict/1 sha256 ") in [(a, o[:16]) for a, o in audited(parts[0])]


def test_fence_pauses_the_cameras_like_the_button_and_everybody_sees_it(unit, tmp_path):
    """Lamp, feed, counters and audit log; only the names differ."""
    path = tmp_path / "feed.sock"
    parts = unit(make_pack(fences=[{"name": "everywhere", "polygon": WORLD}], **LONG), feed={"path": str(path)})
    panel, views, pressed = parts[1].panel._inner, [], []

    def until(running):
        if not views and private(panel):
            views.append(Listener(path))
        if views and not pressed and paused_by(views[0], "fence"):
            pressed.append(panel.press(Button.PRIVACY))
        return bool(views and paused_by(views[0], "button"))

    service = run(parts, until)
    counters = service.health.counters()
    assert counters["frames.private"] > 0
    assert (counters["frames.processed"], counters["policy.kept"]) == (0, 0)
    told = [obj for action, obj in audited(parts[0]) if action == "recording_off"]
    # Before the first fix the position is in doubt, which is a pause of its own.
    assert [name for name in told if name != "position"] == ["fence everywhere", "button"]
    ended = [obj for action, obj in audited(parts[0]) if action == "recording_on"]
    assert ended == told, "every pause has an end"
    state = paused_by(views[0], "fence")[0]
    assert state["private"] is True
    assert state["pause"] == {"reason": "fence", "name": "everywhere"}
    assert state["policy"] == {"id": "us-xx", "version": 3}


def paused_by(view, reason: str) -> list[dict]:
    """The states in which the feed told this reason."""
    told = [*view.of("snapshot"), *view.of("heartbeat")]
    return [state for state in told if (state["pause"] or {}).get("reason") == reason]


def private(panel) -> bool:
    return bool(panel.lamps) and panel.lamps[-1] is Lamp.PRIVATE


def test_fence_elsewhere_does_not_pause_once_the_position_is_known(unit):
    parts = unit(make_pack(fences=[{"name": "far", "polygon": FAR}], **LONG))
    service = run(parts, lambda running: running.progress.committed >= 1)
    assert service.health.counters()["policy.kept"] >= 1


def test_policy_installed_while_the_agent_runs_is_used_and_audited(unit):
    parts = unit()
    seen = []

    def until(running):
        if not seen and running.health.counters()["policy.not_kept"] >= 1:
            unit.install(parts[0], make_pack(**LONG))
            seen.append(True)
        return running.read_path.policies().names == ("us-xx/3",)

    run(parts, until)
    changes = [obj.split(" ")[0] for action, obj in audited(parts[0]) if action == "policy_change"]
    assert changes == ["strict/1", "us-xx/3"]


def test_changed_configuration_is_audited_at_the_next_start(unit):
    config, *others = unit(make_pack(**LONG))
    (config.state_dir / "audited-config").write_text("ab" * 32)
    run((config, *others), lambda _: True)
    assert [action for action, _ in audited(config)].count("config_change") == 1
