"""Doctor's look at delivery: a record that waits is sent, and only its receipt is a success."""

from __future__ import annotations

import queue
from types import SimpleNamespace

import pytest

from agent.buffer import Limits, open_outbox
from cli.diagnostics import checks
from cli.diagnostics.step import Mark
from hw.ports import Acked, LinkUp, Received, Refused
from protocol.wire.codec import encode
from protocol.wire.control.receipt import Receipt
from tests.builders import make_encoder, make_read

RECEIPT = encode(
    Receipt(unit="unit-07", station="s", stored_us=1, records=((1, make_read(1).read_id),), pictures=())
)


class Told:
    """A link whose peer answers as the test says."""

    def __init__(self, events, answer) -> None:
        self._events, self._answer = events, answer

    def publish(self, topic, payload, *, token, retain=False, qos=1) -> None:
        for event in self._answer(token):
            self._events.put(event)

    def confirm(self) -> None:
        """See the port."""


def delivery(tmp_path, answer, *, reads=1):
    outbox = open_outbox(tmp_path, make_encoder(), limits=Limits(min_free_bytes=0, ballast_bytes=0))[0]
    if reads:
        outbox.append([make_read(1, pictures=())])
    events = queue.SimpleQueue()
    config = SimpleNamespace(unit="unit-07", state_dir=tmp_path, seal=SimpleNamespace(receipt_key=None))
    step = checks._delivery(config, Told(events, answer), events, LinkUp(16))
    assert outbox.stats().reads == reads
    outbox.close()
    return step


def test_a_receipt_is_a_success(tmp_path):
    step = delivery(tmp_path, lambda token: [Acked(token), Received("lpr/1/unit-07/dn/receipt", RECEIPT)])
    assert (step.mark, "sent and receipted" in step.detail) == (Mark.OK, True)


def test_nothing_waits(tmp_path):
    step = delivery(tmp_path, lambda _: [], reads=0)
    assert (step.mark, "nothing waits" in step.detail) == (Mark.OK, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (lambda token: [Refused(token, 0x87, "no")], "access list"),
        (lambda token: [Acked(token)], "no station confirms"),
        (lambda _: [], "does not acknowledge"),
    ],
)
def test_a_connection_is_none(tmp_path, monkeypatch, answer, cause):
    monkeypatch.setattr(checks, "_RECEIPT_TIMEOUT_S", 1.5)
    step = delivery(tmp_path, answer)
    assert step.mark is Mark.FAIL
    assert cause in step.detail
