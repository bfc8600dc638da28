"""Lamp, log, systemd and the unit's status say that nothing is receipted, and why."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from agent.power import Phase
from agent.runtime.component import Tick
from agent.runtime.health import Health
from agent.runtime.health_reporter import HealthReporter
from agent.runtime.lamp import Condition, lamp_for
from agent.runtime.queues import UplinkQueue
from agent.runtime.status import StatusReporter
from agent.runtime.uplink import UplinkComponent
from agent.sync.delivery import Delivery, Signs, why_undelivered
from agent.wear import WriteBudget
from hw.ports import Lamp, Vitals
from protocol.wire.codec import decode
from protocol.wire.control.unit_state import Status
from protocol.wire.enums import UnitState
from tests.builders import BOOT, make_encoder
from tests.conftest import ROOT
from tests.unit.sync.test_delivery import CAUSES

TICK = Tick(0, Vitals(None, None, None, 10**9, 10**8, 0.1))
MINUTES = 6


class FakeUplink:
    """As much of the uplink as its component reports."""

    metered, unreceipted, pictures_held_back = False, 0, False

    def __init__(self, delivery: Delivery, *, is_up: bool = True) -> None:
        self.delivery, self.is_up = delivery, is_up

    def set_metered(self, *, metered: bool) -> None:
        """See the uplink."""


@pytest.fixture(params=sorted(CAUSES))
def cause(request):
    return why_undelivered(CAUSES[request.param][0])


def component(delivery: Delivery) -> UplinkComponent:
    return UplinkComponent(FakeUplink(delivery), UplinkQueue(), None, None, None)


def test_the_log_says_the_cause_once_and_when_it_ends(cause):
    made = component(Delivery(MINUTES * 60, cause))
    with capture_logs() as logs:
        made.watch(TICK)
        made.watch(TICK)
        made._uplink.delivery = Delivery()
        made.watch(TICK)
    assert [entry["event"] for entry in logs] == ["not_delivered", "delivered_again"]
    assert logs[0]["reason"] == f"nothing receipted for {MINUTES} minutes, because {cause}"


def test_nothing_is_said_in_the_first_minutes(cause):
    with capture_logs() as logs:
        component(Delivery(299, cause)).watch(TICK)
    assert logs == []


def test_systemd_shows_the_cause(cause):
    told = []
    commit = SimpleNamespace(stats=lambda: SimpleNamespace(next_seq=1, appended=9, reads=7), utc_ns=lambda _: None)
    HealthReporter(
        Health((), WriteBudget(10**9)),
        commit,
        component(Delivery(MINUTES * 60, cause)),
        UplinkQueue(),
        SimpleNamespace(status=told.append),
        encoder=make_encoder(),
        every_s=60,
    ).watch(TICK)
    assert told == [f"9 reads, 7 waiting, link down, nothing receipted: {cause}"]
    assert "\n" not in told[0]


@pytest.mark.parametrize("lamp", [Lamp.NOT_DELIVERED, Lamp.NO_UPLINK])
def test_the_status_at_the_station_says_the_cause(cause, lamp):
    queue = UplinkQueue()
    reporter = StatusReporter(
        queue,
        SimpleNamespace(phase=Phase.DRIVING),
        SimpleNamespace(lamp=lamp),
        unit="unit-07",
        boot_id=BOOT,
        models=(),
        undelivered=lambda: cause,
    )
    reporter.watch(TICK)
    ((_, payload),) = queue.take()
    status = decode(payload, Status)
    assert status.state is UnitState.DEGRADED
    assert status.reason == f"not delivered: {cause}"[:216]


@pytest.mark.parametrize(
    ("link_up", "delivering", "lamp"),
    [(True, True, Lamp.RECORDING), (True, False, Lamp.NOT_DELIVERED), (False, False, Lamp.NO_UPLINK)],
)
def test_the_lamp_tells_a_connection_from_delivery(link_up, delivering, lamp):
    fix = SimpleNamespace(t_mono_ns=0)
    assert lamp_for(Condition(False, True, False, True, fix, link_up, delivering), 0) is lamp


def test_what_broker_and_station_say_has_no_control_characters():
    """systemd takes a line break in a status for the next assignment."""
    for signs in (
        Signs(is_up=True, nack="storage: a\nWATCHDOG=trigger\x1b[2J"),
        Signs(is_up=True, refusal_code=0x97, refusal="a\nb"),
        Signs(is_up=False, down_reason="a\nb"),
    ):
        assert why_undelivered(signs).isprintable()


def test_each_cause_is_in_the_manual(cause):
    """docs/operations.md: the reason begins as in its table."""
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    table = text.split("| reason begins with |")[1].split("\n\n")[0].splitlines()[2:]
    starts = [start.strip() for row in table for start in row.split("|")[1].split(";")]
    assert any(cause.startswith(start) or cause.partition(" ")[2] == start.removeprefix("N ") for start in starts)
