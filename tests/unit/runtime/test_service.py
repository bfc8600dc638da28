"""The agent on real threads with simulated hardware: its status and how it ends."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from structlog.testing import capture_logs

from agent.buffer.damage import read_mark
from agent.commit import CommitResult
from agent.errors import OutboxDamagedError, OutboxDiskError
from agent.power import Phase
from agent.runtime.config import UpdateTable
from agent.runtime.service import Service
from agent.runtime.stages import build_read_path
from hw.ports import Button, CameraEndedError, Lamp
from protocol.wire.codec import decode
from protocol.wire.control.transfer import UpdateReport
from protocol.wire.enums import UnitState
from tests.builders import make_read
from tests.unit_parts import unit_parts
from tests.update_builder import Unit


@pytest.fixture
def parts(tmp_path):
    power = {"hold_up_s": 0.2, "off_request": str(tmp_path / "run" / "power-off")}
    return unit_parts(tmp_path, power=power)


@pytest.mark.slow
def test_ignition_off_ends_the_drive_and_requests_power_off(parts):
    config, hardware, reader, models = parts
    service = Service(config, hardware, reader, models)
    request = config.power.off_request

    def watch(running: Service) -> None:
        if hardware.link.states:
            hardware.panel.ignition_on = False
        assert not request.exists(), "asked for before everything was on the disk"

    service.run(on_watch=watch, drain_s=0)
    assert service.phase is Phase.OVER
    assert request.exists()
    states = [state for state, _ in hardware.link.states]
    assert states[0] is UnitState.BIRTH
    assert (UnitState.DYING, "ignition off") in hardware.link.states


@pytest.mark.slow
def test_privacy_button(parts):
    """Pressed: frames are counted and not processed, lamp and status show it; pressed again: normal operation."""
    config, hardware, reader, models = parts
    panel = hardware.panel._inner
    service = Service(config, hardware, reader, models)
    seen = []

    def watch(running: Service) -> None:
        counts = running.cameras[0].counts
        if not seen:
            panel.press(Button.PRIVACY)
            seen.append("pressed")
        elif seen == ["pressed"] and counts.private:
            seen.append(counts.processed)
        elif len(seen) == 2 and counts.private > 3:
            assert counts.processed == seen[1]
            assert panel.lamps[-1] is Lamp.PRIVATE
            panel.press(Button.PRIVACY)
            seen.append("again")
        elif len(seen) == 3 and counts.processed > seen[1]:
            running.stop()

    service.run(on_watch=watch, drain_s=0)
    assert len(seen) == 3
    assert (UnitState.DEGRADED, "private") in hardware.link.states
    assert service.health.counters()["devices.privacy"] == 1


def test_acknowledge_button_silences_the_buzzer(parts):
    config, hardware, reader, models = parts
    panel = hardware.panel._inner
    panel.press(Button.ACKNOWLEDGE)
    service = Service(config, hardware, reader, models)
    service.run(on_watch=lambda running: running.stop() if panel.hushed else None, drain_s=0)
    assert service.health.counters()["devices.acknowledgements"] == 1


def test_manual_stop_does_not_power_off(parts):
    config, hardware, reader, models = parts
    service = Service(config, hardware, reader, models)
    service.run(on_watch=lambda running: running.stop(), drain_s=0)
    assert not config.power.off_request.exists()


def test_unit_without_camera_is_degraded(parts):
    config, hardware, reader, models = parts

    class Dead:
        name = "front"

        def next_frame(self, *, timeout_s):
            raise CameraEndedError("unplugged")

        def close(self) -> None:
            return

    hardware = replace(hardware, cameras=(Dead(),))
    service = Service(config, hardware, reader, models)
    said = threading.Event()

    def watch(running: Service) -> None:
        if (UnitState.DEGRADED, "no_camera") in hardware.link.states:
            said.set()
            running.stop()

    service.run(on_watch=watch, drain_s=0)
    assert said.is_set()


@pytest.mark.slow
def test_release_on_trial_is_confirmed_and_the_agent_restarts_into_the_next(parts, tmp_path):
    """The whole agent: healthy, it writes the confirmation; if another release is ready, it ends cleanly."""
    config, hardware, reader, models = parts
    unit = Unit(tmp_path / "unit")
    unit.apply(unit.update(1, config="[log]\nlevel = 'debug'\n"))
    unit.releases.start()
    note = tmp_path / "run" / "update-confirmed"
    update = UpdateTable(home=unit.home, confirm=note, well_s=0, quiet_s=0)
    service = Service(config.model_copy(update={"update": update}), hardware, reader, models)

    def watch(_: Service) -> None:
        if note.exists() and unit.releases.committed != 1:
            assert note.read_text() == "1"
            unit.releases.commit(1)
            unit.apply(unit.update(2, config="[log]\nlevel = 'info'\n"))

    service.run(on_watch=watch, drain_s=0)
    assert service.updates.pending
    assert service.phase is not Phase.OVER, "the power stays on"
    assert service.updates.counters()["commits"] == 1
    reports = [decode(payload, UpdateReport) for payload in hardware.link.reports]
    assert (reports[0].running, reports[0].committed) == (1, 0)
    assert {report.state.value for report in reports} >= {"trial"}


@pytest.mark.slow
def test_unwritable_disk_is_reported_and_the_agent_continues(parts):
    """Lamp: disk, status: degraded; after recovery every read is committed."""
    config, hardware, reader, models = parts
    service = Service(config, hardware, reader, models)
    outbox = service.read_path.outbox
    append, refused = outbox.append, []

    def failing(reads, datings=()):
        refused.append(len(reads))
        raise OutboxDiskError("the disk does not take it")

    outbox.append = failing

    def watch(running: Service) -> None:
        if (UnitState.DEGRADED, "disk") in hardware.link.states and any(refused):
            outbox.append = append
        if running.progress.committed:
            running.stop()

    service.run(on_watch=watch, drain_s=0)
    assert service.read_path.committer.counts.disk_failed > 0
    assert service.progress.committed > 0
    assert service.read_path.committer.waiting == 0


@pytest.mark.slow
def test_damage_found_by_the_uplink_ends_the_process_and_is_repaired_at_the_next_start(parts):
    """The process ends, the mark stays, the next start salvages and continues."""
    config, hardware, reader, models = parts
    outbox = build_read_path(config, boot_id=hardware.clock.boot_id, models=models).outbox
    outbox.append([make_read(number) for number in range(1, 60)])
    outbox.close()
    data = bytearray(outbox.path.read_bytes())
    at = data.index(make_read(9).read_id + b"\xde") // 4096 * 4096
    data[at : at + 4096] = bytes(4096)
    outbox.path.write_bytes(data)
    with pytest.raises(OutboxDamagedError, match="restart the agent"):
        Service(config, hardware, reader, models).run(drain_s=0)
    mark = read_mark(config.state_dir)
    assert mark is not None
    assert (mark.seen, mark.certain) == (True, True)
    again = Service(config, hardware, reader, models)
    assert again.read_path.report.moved_to is not None
    assert again.outbox_stats.reads > 50
    with capture_logs() as logs:
        again.run(on_watch=lambda running: running.stop(), drain_s=0)
    assert any(entry["event"] == "outbox_damaged" and entry["salvaged"] > 50 for entry in logs)
    assert read_mark(config.state_dir) is None


@pytest.mark.slow
def test_evicted_read_is_logged_and_shown_on_the_lamp(parts):
    """Evicted because the disk is full: lamp disk, status degraded."""
    config, hardware, reader, models = parts
    service = Service(config, hardware, reader, models)
    told = []

    def watch(running: Service) -> None:
        if not told:
            running._parts.commit._tell(CommitResult(lost=3))
            told.append(True)
        elif running._parts.panel.lamp is Lamp.DISK:
            running.stop()

    with capture_logs() as logs:
        service.run(on_watch=watch, drain_s=0)
    assert service._parts.panel.lamp is Lamp.DISK
    assert {"count": 3}.items() <= next(entry for entry in logs if entry["event"] == "reads_lost").items()
