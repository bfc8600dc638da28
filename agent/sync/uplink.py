"""From the outbox to the station: decides what to publish next, and handles receipts and nacks.

A state machine: events and times in, ``Link.publish`` and outbox commands out.  A PUBACK only frees a place in the
window; a record is done when the station's receipt lists it.  Until then it stays in the outbox, and it is published
again when the link is back or the receipt is overdue; the station ignores duplicates.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from agent.buffer.rows import Command, PictureQuarantined, PictureStored, Quarantined, Receipted
from agent.sync.congestion import CongestionWindow
from agent.sync.counts import UplinkCounts
from agent.sync.delivery import Delivery, Signs, why_undelivered
from agent.sync.metering import Meter, MeteringConfig
from agent.sync.pictures import PictureSender
from agent.sync.records import RecordSender
from hw.config import MAX_IN_FLIGHT
from hw.ports import Acked, LinkDown, LinkDownError, LinkEvent, LinkUp, Received, Refused
from protocol.errors import WireError
from protocol.wire.codec import decode
from protocol.wire.control.receipt import DownMessage, Nack, PictureStatus, Receipt
from protocol.wire.topics import Channel, build, offered_kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent.sync.ports import Downloads, Waiting
    from hw.ports import Link
    from protocol.seal import ReceiptVerifier

_NS_PER_S = 1_000_000_000
_ABOUT_THE_BYTES = frozenset({0x90, 0x95, 0x99})
"""MQTT 5 reason codes that concern one message: topic name invalid, packet too large, payload format invalid (OASIS
MQTT 5.0, section 3.4.2.1).  Only the station can have a record quarantined; one refused by the broker waits."""
_MAX_REFUSED_IN_A_ROW = 8
"""Records refused without a receipt in between, after which everything pauses."""
_SKIPPED_AT_ONCE = 64
_LOOK_NS = _NS_PER_S
_LOST_TWICE, _LOST_OFTEN = 2, 3
_PACKET_OVERHEAD_BYTES = 256
"""Bytes of topic, packet id and properties of a publish."""


@dataclass(frozen=True, slots=True)
class UplinkConfig:
    """Limits and timeouts of the uplink."""

    window: int = MAX_IN_FLIGHT
    """Maximum number of messages in flight; lowered by the peer and on slow links (:mod:`agent.sync.congestion`)."""
    unreceipted: int = 2048
    """Maximum number of records of each priority published and not yet receipted."""
    receipt_timeout_s: float = 20.0
    """Time after which a receipt is overdue; it doubles each time, up to ``receipt_timeout_max_s``."""
    receipt_timeout_max_s: float = 300.0
    chunk_bytes: int = 32 * 1024
    send_pictures: bool = True
    metering: MeteringConfig = field(default_factory=MeteringConfig)
    fetch: int = 64
    """Number of records fetched from the outbox at a time."""


@dataclass(frozen=True, slots=True)
class _Flight:
    """A message that the peer has not acknowledged."""

    channel: Channel
    seq: int | None
    """Sequence number of the record, None for anything else."""
    size_bytes: int
    t_mono_ns: int


class Uplink:
    """Publishes what waits in the outbox.  Used by one thread, which also passes the link's events."""

    def __init__(
        self,
        link: Link,
        waiting: Waiting,
        commands: Callable[[Command], None],
        *,
        unit: str,
        boot_id: bytes,
        config: UplinkConfig | None = None,
        downloads: Downloads | None = None,
        verifier: ReceiptVerifier | None = None,
        witness: Callable[[bytes], bytes | None] | None = None,
    ) -> None:
        """``verifier`` has the station's keys; if None, receipts and nacks are accepted without a signature.

        ``witness`` takes a checkpoint of the station's audit log and returns the answer, if there is to be one.
        """
        self._witness = witness
        self._witness_answer: bytes | None = None
        self._verifier = verifier
        self._unit = unit
        self._downloads = downloads
        self._link = link
        self._commands = commands
        self._waiting = waiting
        self._config = config or UplinkConfig()
        self._counts = UplinkCounts()
        self._meter = Meter(self._config.metering)
        self._records = RecordSender(waiting, fetch=self._config.fetch, max_unreceipted=self._config.unreceipted)
        self._pictures = PictureSender(unit, boot_id, waiting, self._counts, self._config.chunk_bytes)
        self._topic = {channel: build(unit, channel) for channel in Channel}
        self._up = False
        self._blocked = False
        self._room = 0
        self._max_packet_bytes: int | None = None
        self._next_token = 1
        self._flights: dict[int, _Flight] = {}
        """By publish token."""
        self._congestion = CongestionWindow()
        self._timeout_s = self._config.receipt_timeout_s
        self._resume_ns: int | None = None
        """Nothing is sent before this instant: the station or the broker requested a pause."""
        self._last_receipt_ns = 0
        self._signs = Signs(is_up=False)
        self._delivery = Delivery()
        self._undelivered_since_ns: int | None = None
        self._looked_ns: int | None = None
        self._pauses_in_a_row = 0
        self._refused_in_a_row = 0
        self._careful = 0
        """Number of next messages to be sent one at a time: one of them may be what the broker does not accept."""
        self._careful_from = 0
        """The first publish token of those."""
        self._lost: dict[int, int] = {}
        """Number of times that the connection was lost while a record was in flight."""
        self._too_large: set[int] = set()
        """Records that wait because they are larger than the broker accepts."""
        self._health: bytes | None = None
        self._status: bytes | None = None
        self._status_due = False
        self._report: bytes | None = None
        self._report_due = False

    @property
    def is_up(self) -> bool:
        """True while connected."""
        return self._up

    @property
    def counts(self) -> UplinkCounts:
        """A snapshot."""
        return self._counts.snapshot()

    @property
    def in_flight(self) -> int:
        """Messages not acknowledged by the peer."""
        return len(self._flights)

    @property
    def unreceipted(self) -> int:
        """Records published and not yet receipted."""
        return self._records.unreceipted

    @property
    def delivery(self) -> Delivery:
        """Whether what waits is receipted, and why not; as of the last second.  Any thread may ask."""
        return self._delivery

    @property
    def metered(self) -> bool:
        """True while the link is metered or unknown."""
        return self._meter.metered

    @property
    def pictures_held_back(self) -> bool:
        """True while a picture waits for the budget of a metered link, or for an unmetered link."""
        return self._meter.holding

    def set_metered(self, *, metered: bool) -> None:
        """Set whether the current link is metered; any thread."""
        self._meter.set_metered(metered=metered)

    def set_status(self, payload: bytes) -> None:
        """Publish this status, retained, now and at each new connection."""
        self._status = payload
        self._status_due = True

    def set_report(self, payload: bytes) -> None:
        """Publish this report on updates, now and at each new connection."""
        self._report = payload
        self._report_due = True

    def offer_health(self, payload: bytes) -> None:
        """Publish this health message when possible; a newer one replaces it."""
        if self._health is not None:
            self._counts.health_replaced += 1
        self._health = payload

    def handle(self, event: LinkEvent, t_mono_ns: int) -> None:
        """Handle one event of the link."""
        match event:
            case LinkUp(max_in_flight, max_packet_bytes):
                self._forget_flights()
                self._up = True
                self._signs = replace(self._signs, has_been_up=True)
                self._room = max(1, min(max_in_flight, self._config.window))
                self._max_packet_bytes = max_packet_bytes
                self._too_large.clear()
                self._records.reconnected(t_mono_ns)
                self._pictures.limit(max_packet_bytes)
                self._status_due = self._status is not None
                self._report_due = self._report is not None
                self._counts.link_ups += 1
            case LinkDown(reason, is_fault):
                self._signs = replace(self._signs, down_reason=reason, was_fault=is_fault)
                self._counts.link_faults += is_fault
                # The port allows two of these events for one outage.
                self._counts.link_downs += self._up
                self._up = False
                self._broke(t_mono_ns)
                self._forget_flights()
            case Acked(token):
                flight = self._landed(token, t_mono_ns)
                self._counts.acked += flight is not None
                if token >= self._careful_from:
                    self._careful = max(0, self._careful - 1)
                if flight is not None and flight.channel is Channel.PICTURE:
                    self._pictures.passed()
                if flight is not None and flight.seq is not None:
                    self._lost.pop(flight.seq, None)
                    self._signs = replace(self._signs, acked=self._signs.acked + 1)
                self._blocked = False
            case Refused(token, code, reason):
                self._signs = replace(self._signs, refusal_code=code, refusal=reason)
                self._refused(token, code, t_mono_ns)
            case Received(topic, payload):
                self._receive(topic, payload, t_mono_ns)

    def pump(self, t_mono_ns: int) -> int:
        """Publish as much as the window allows, records before pictures; return the number of messages."""
        self._look_at_delivery(t_mono_ns)
        if not self._up:
            return 0
        self._look_for_overdue(t_mono_ns)
        if self._resume_ns is not None and t_mono_ns < self._resume_ns:
            return 0
        self._resume_ns = None
        sent = 0
        if self._may_send:
            self._records.refresh()
        while self._may_send and self._send_next(t_mono_ns):
            sent += 1
        return sent

    def _look_at_delivery(self, t_mono_ns: int) -> None:
        if self._looked_ns is not None and t_mono_ns - self._looked_ns < _LOOK_NS:
            return
        self._looked_ns = t_mono_ns
        if not self._waiting.priorities():
            self._undelivered_since_ns = None
            self._delivery = Delivery()
            return
        if self._undelivered_since_ns is None:
            self._undelivered_since_ns = t_mono_ns
        signs = replace(self._signs, is_up=self._up, too_large=len(self._too_large), held=self._records.held)
        undelivered_s = (t_mono_ns - self._undelivered_since_ns) / _NS_PER_S
        self._delivery = Delivery(undelivered_s, why_undelivered(signs))

    def _send_rest(self, t_mono_ns: int) -> bool:
        """What is sent only after records."""
        return self._send_chunk(t_mono_ns) or self._send_chunk_request(t_mono_ns)

    def _send_chunk_request(self, t_mono_ns: int) -> bool:
        if self._downloads is None or self._blocked:
            return False
        request = self._downloads.next_request(t_mono_ns, metered=self._meter.metered)
        if request is None or not self._fits(request) or not self._publish(Channel.UPDATE, request, t_mono_ns):
            return False
        self._downloads.request_sent(t_mono_ns)
        return True

    @property
    def _may_send(self) -> bool:
        room = 1 if self._careful else self._room
        return not self._blocked and len(self._flights) < room and self._congestion.is_open

    def _send_next(self, t_mono_ns: int) -> bool:
        return self._send_about_us(t_mono_ns) or self._send_record(t_mono_ns) or self._send_rest(t_mono_ns)

    def _send_about_us(self, t_mono_ns: int) -> bool:
        if self._status_due and self._status is not None and self._fits(self._status):
            self._status_due = not self._publish(Channel.STATUS, self._status, t_mono_ns, retain=True)
            return not self._status_due
        if self._report_due and self._report is not None and self._fits(self._report):
            self._report_due = not self._publish(Channel.UPDATE, self._report, t_mono_ns)
            self._counts.reports_sent += not self._report_due
            return not self._report_due
        return self._send_witness_answer(t_mono_ns) or self._send_health(t_mono_ns)

    def _send_witness_answer(self, t_mono_ns: int) -> bool:
        answer = self._witness_answer
        if answer is None or not self._publish(Channel.WITNESS, answer, t_mono_ns):
            return False
        self._witness_answer = None
        self._counts.witness_answers_sent += 1
        return True

    def _send_health(self, t_mono_ns: int) -> bool:
        if self._health is None:
            return False
        if not self._fits(self._health):
            self._health = None
            self._counts.too_large += 1
            return False
        if self._publish(Channel.HEALTH, self._health, t_mono_ns):
            self._health = None
            self._counts.health_sent += 1
            return True
        return False

    def _send_chunk(self, t_mono_ns: int) -> bool:
        if not self._config.send_pictures or self._blocked:
            return False
        chunk = self._pictures.next_chunk(t_mono_ns, room_bytes=self._congestion.room_bytes)
        if chunk is None:
            self._meter.nothing_waits()
            return False
        if not self._meter.allows(len(chunk), t_mono_ns) or not self._publish(Channel.PICTURE, chunk, t_mono_ns):
            return False
        self._meter.spend(len(chunk), t_mono_ns)
        self._pictures.sent(t_mono_ns)
        return True

    def _send_record(self, t_mono_ns: int) -> bool:
        for _ in range(_SKIPPED_AT_ONCE):
            row = None if self._blocked else self._records.next(t_mono_ns)
            if row is None:
                return False
            if not self._fits(row.payload):
                self._counts.too_large += row.seq not in self._too_large
                self._too_large.add(row.seq)
                self._records.skipped()
                continue
            if not self._publish(Channel.READ, row.payload, t_mono_ns, seq=row.seq):
                return False
            self._records.sent(t_mono_ns)
            self._counts.records_sent += 1
            return True
        return False

    def _fits(self, payload: bytes) -> bool:
        limit = self._max_packet_bytes
        return limit is None or len(payload) + _PACKET_OVERHEAD_BYTES <= limit

    def _publish(
        self, channel: Channel, payload: bytes, t_mono_ns: int, *, seq: int | None = None, retain: bool = False
    ) -> bool:
        token = self._next_token
        try:
            self._link.publish(self._topic[channel], payload, token=token, retain=retain)
        except LinkDownError:
            # An event will follow; nothing is tried until then.
            self._blocked = True
            self._counts.not_taken += 1
            return False
        self._next_token += 1
        self._flights[token] = _Flight(channel, seq, len(payload), t_mono_ns)
        self._congestion.sent(len(payload))
        return True

    def _landed(self, token: int, t_mono_ns: int) -> _Flight | None:
        flight = self._flights.pop(token, None)
        if flight is not None:
            self._congestion.acked(flight.size_bytes, flight.t_mono_ns, t_mono_ns)
        return flight

    def _refused(self, token: int, code: int, t_mono_ns: int) -> None:
        self._blocked = False
        flight = self._landed(token, t_mono_ns)
        if flight is None:
            return
        self._counts.refused += 1
        if flight.channel is Channel.PICTURE:
            self._pictures.setback(t_mono_ns)
            self._pictures.rewind()
        elif flight.seq is not None and code in _ABOUT_THE_BYTES:
            self._refused_in_a_row += 1
            if not self._hold(flight.seq, t_mono_ns) or self._refused_in_a_row >= _MAX_REFUSED_IN_A_ROW:
                self._pause_and_rewind(t_mono_ns)
        elif flight.seq is not None:
            self._pause_and_rewind(t_mono_ns)

    def _hold(self, seq: int, t_mono_ns: int) -> bool:
        held = self._records.hold(seq, t_mono_ns)
        self._counts.held_back += held
        return held

    def _broke(self, t_mono_ns: int) -> None:
        """The connection was lost, possibly because of a message in flight: an MQTT 3.1.1 broker gives no reason."""
        flights = list(self._flights.values())
        if any(flight.channel is Channel.PICTURE for flight in flights):
            self._pictures.broke(t_mono_ns)
        seqs = [flight.seq for flight in flights if flight.seq is not None]
        # Only a message that was also in flight at the last loss can be the cause.
        self._lost = {seq: self._lost.get(seq, 0) + 1 for seq in seqs} if seqs else self._lost
        if any(self._lost[seq] >= _LOST_TWICE for seq in seqs):
            self._send_singly(len(flights))
        if len(flights) == len(seqs) == 1 and self._lost[seqs[0]] >= _LOST_OFTEN:
            self._hold(seqs[0], t_mono_ns)
            del self._lost[seqs[0]]

    def _send_singly(self, count: int) -> None:
        self._careful = max(self._careful, count)
        self._careful_from = self._next_token

    def _receive(self, topic: str, payload: bytes, t_mono_ns: int) -> None:
        kind = offered_kind(self._unit, topic)
        if self._downloads is not None and (kind is not None or topic == self._topic[Channel.PART]):
            self._receive_download(self._downloads, kind, payload)
            return
        if topic == self._topic[Channel.LOG] and self._witness is not None:
            self._receive_checkpoint(self._witness, payload)
        elif topic != self._topic[Channel.RECEIPT]:
            self._counts.foreign += 1
        else:
            self._receive_answer(payload, t_mono_ns)

    def _receive_checkpoint(self, witness: Callable[[bytes], bytes | None], payload: bytes) -> None:
        if self._is_signed(payload):
            self._witness_answer = witness(payload)
        else:
            self._counts.forged += 1

    def _receive_answer(self, payload: bytes, t_mono_ns: int) -> None:
        try:
            message: DownMessage = decode(payload, Receipt, Nack, PictureStatus)
        except WireError:
            self._counts.malformed += 1
            return
        if message.unit != self._unit:
            self._counts.foreign += 1
            return
        if not self._is_signed(payload):
            self._counts.forged += 1
            self._signs = replace(self._signs, forged=self._signs.forged + 1)
            return
        match message:
            case Receipt():
                self._take_receipt(message, t_mono_ns)
            case Nack():
                self._take_nack(message, t_mono_ns)
            case PictureStatus(sha256=sha256, offset=offset):
                self._counts.picture_resumes += 1
                self._pictures.go_back(sha256, offset, t_mono_ns)
                self._commands(PictureStored(sha256, offset))

    def _receive_download(self, downloads: Downloads, kind: str | None, payload: bytes) -> None:
        try:
            known = downloads.take(payload) if kind is None else downloads.offered(kind, payload)
            self._counts.foreign += not known
        except WireError:
            self._counts.malformed += 1

    def _is_signed(self, payload: bytes) -> bool:
        if self._verifier is None:
            return True
        try:
            self._verifier.check(payload)
        except WireError:
            return False
        return True

    def _take_receipt(self, receipt: Receipt, t_mono_ns: int) -> None:
        self._counts.receipts += 1
        if receipt.records or receipt.pictures:
            self._timeout_s = self._config.receipt_timeout_s
            self._last_receipt_ns = t_mono_ns
            self._undelivered_since_ns = None
            self._looked_ns = None
            self._signs = Signs(is_up=self._up, has_been_up=True)
            self._link.confirm()
            self._pauses_in_a_row = self._refused_in_a_row = 0
        for seq, _ in receipt.records:
            self._records.done(seq)
            self._too_large.discard(seq)
        if receipt.records:
            self._commands(Receipted(receipt.records))
        for sha256, stored_bytes in receipt.pictures:
            self._pictures.stored(sha256, stored_bytes)
            self._commands(PictureStored(sha256, stored_bytes))

    def _take_nack(self, nack: Nack, t_mono_ns: int) -> None:
        self._counts.nacks += 1
        # The detail of a refusal for good may quote the record; one that asks to wait says what the station lacks.
        said = f"{nack.code.value}, {nack.detail}" if nack.retry and nack.detail else nack.code.value
        self._signs = replace(self._signs, nack=said)
        if nack.retry:
            self._pause_and_rewind(t_mono_ns)
            return
        seq = self._records.seq_of(nack.ref)
        if seq is not None:
            self._give_up(seq, nack.code.value)
            return
        sha256 = self._pictures.refused(nack.ref)
        if sha256 is not None:
            self._counts.pictures_held += 1
            self._commands(PictureQuarantined(sha256, nack.code.value))

    def _give_up(self, seq: int, code: str) -> None:
        self._counts.quarantined += 1
        self._records.done(seq)
        self._commands(Quarantined(seq, code))

    def _look_for_overdue(self, t_mono_ns: int) -> None:
        patience_ns = round(self._timeout_s * _NS_PER_S)
        self._counts.held_back += self._records.hold_passed_over(t_mono_ns, patience_ns, self._last_receipt_ns)
        records_late = self._records.rewind_overdue(t_mono_ns, patience_ns)
        pictures_late = self._pictures.overdue(t_mono_ns, patience_ns)
        self._counts.resent += records_late
        if pictures_late:
            self._pictures.setback(t_mono_ns)
            self._pictures.rewind()
        if records_late or pictures_late:
            self._counts.overdue += 1
            self._lengthen_timeout()

    def _pause_and_rewind(self, t_mono_ns: int) -> None:
        if self._resume_ns is None:
            # A window full of refusals causes one pause, not one for each message.
            self._resume_ns = t_mono_ns + round(self._timeout_s / 4 * _NS_PER_S)
            self._lengthen_timeout()
            self._counts.pauses += 1
            self._pauses_in_a_row += 1
            if self._pauses_in_a_row > 1:
                # One message shows whether the others would be accepted.
                self._send_singly(1)
        self._counts.resent += self._records.rewind()
        self._pictures.rewind()

    def _lengthen_timeout(self) -> None:
        self._timeout_s = min(self._timeout_s * 2, self._config.receipt_timeout_max_s)

    def _forget_flights(self) -> None:
        if self._downloads is not None:
            self._downloads.link_went()
        self._flights.clear()
        self._congestion = CongestionWindow()
        self._blocked = False
        self._resume_ns = None
        self._timeout_s = self._config.receipt_timeout_s
        self._counts.resent += self._records.start_over()
        self._pictures.rewind()
