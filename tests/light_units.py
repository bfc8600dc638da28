"""Thousands of units in one process: bare MQTT 3.1.1 over asyncio, each with its own connection and records."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from protocol.errors import WireError
from protocol.wire.codec import decode
from protocol.wire.control.receipt import Nack, PictureStatus, Receipt
from protocol.wire.topics import Channel, build

if TYPE_CHECKING:
    from collections.abc import Callable

_CONNACK, _PUBLISH, _PUBACK, _SUBACK = 2, 3, 4, 9
_TRIES_S = 1.0
KEEPALIVE_S = 60


@dataclass(slots=True)
class LightUnit:
    """What waits is sent again until it is receipted."""

    name: str
    port: int
    waiting: dict[tuple[int, bytes], bytes]
    """Payloads by number and id."""
    receipt_timeout_s: float = 10.0
    receipts: list[tuple[int, bytes]] = field(default_factory=list)
    sent: int = 0
    """Including those sent again."""
    nacks: int = 0
    delays_s: list[float] = field(default_factory=list)
    """From the first time that a record was sent to its receipt."""
    first_sent_s: dict[tuple[int, bytes], float] = field(default_factory=dict)

    async def run(self, on_receipt: Callable[[], None], start_s: float) -> None:
        """Until everything is receipted; connects again whenever it is disconnected."""
        await asyncio.sleep(start_s)
        while self.waiting:
            try:
                await self._connection(on_receipt)
            except (TimeoutError, OSError, EOFError):
                await asyncio.sleep(_TRIES_S)

    async def _connection(self, on_receipt: Callable[[], None]) -> None:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", self.port), 10)
        try:
            writer.write(
                _packet(0x10, _text("MQTT") + bytes([4, 2]) + struct.pack(">H", KEEPALIVE_S) + _text(self.name))
            )
            await self._expect(reader, _CONNACK)
            topic = build(self.name, Channel.RECEIPT)
            writer.write(_packet(0x82, struct.pack(">H", 1) + _text(topic) + b"\1"))
            await self._expect(reader, _SUBACK)
            while self.waiting:
                self._send_all(writer)
                deadline = asyncio.get_running_loop().time() + self.receipt_timeout_s
                while self.waiting and (left := deadline - asyncio.get_running_loop().time()) > 0:
                    try:
                        kind, flags, body = await asyncio.wait_for(_read(reader), left)
                    except TimeoutError:
                        break
                    if kind == _PUBLISH:
                        self._take(writer, flags, body)
                        on_receipt()
        finally:
            writer.close()

    async def _expect(self, reader: asyncio.StreamReader, wanted: int) -> None:
        kind, _, __ = await asyncio.wait_for(_read(reader), 10)
        if kind != wanted:
            raise EOFError

    def _send_all(self, writer: asyncio.StreamWriter) -> None:
        topic = _text(build(self.name, Channel.READ))
        now_s = asyncio.get_running_loop().time()
        for number, (key, payload) in enumerate(self.waiting.items(), start=1):
            self.first_sent_s.setdefault(key, now_s)
            writer.write(_packet(0x32, topic + struct.pack(">H", number) + payload))
            self.sent += 1

    def _take(self, writer: asyncio.StreamWriter, flags: int, body: bytes) -> None:
        end = 2 + struct.unpack(">H", body[:2])[0]
        if flags & 0b0110:
            writer.write(_packet(0x40, body[end : end + 2]))
            end += 2
        try:
            answer = decode(body[end:], Receipt, Nack, PictureStatus)
        except WireError as error:
            raise AssertionError(f"{self.name}: {error}") from error
        if isinstance(answer, Nack):
            self.nacks += 1
        elif isinstance(answer, Receipt):
            for key in answer.records:
                self.receipts.append(key)
                if self.waiting.pop(key, None) is not None:
                    self.delays_s.append(asyncio.get_running_loop().time() - self.first_sent_s[key])


def _text(text: str) -> bytes:
    raw = text.encode()
    return struct.pack(">H", len(raw)) + raw


def _packet(first: int, body: bytes) -> bytes:
    length, left = bytearray(), len(body)
    while True:
        left, low = divmod(left, 128)
        length.append(low | (0x80 if left else 0))
        if not left:
            return bytes([first]) + bytes(length) + body


async def _read(reader: asyncio.StreamReader) -> tuple[int, int, bytes]:
    """Kind, flags and body of a packet."""
    first = (await reader.readexactly(1))[0]
    length, shift = 0, 0
    while True:
        low = (await reader.readexactly(1))[0]
        length |= (low & 0x7F) << shift
        shift += 7
        if not low & 0x80:
            return first >> 4, first & 0x0F, await reader.readexactly(length)
