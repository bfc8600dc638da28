"""A broker of a few lines, played by the test: it says what no sound broker says."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import random

PATIENCE_S = 30
TOPIC = b"lpr/1/unit-07/dn/receipt"
_VARINT_MORE = 0x80
_MQTT_5 = 5


def packet(head: int, body: bytes) -> bytes:
    """Fixed header, remaining length, body."""
    size, length = bytearray(), len(body)
    while True:
        length, low = divmod(length, _VARINT_MORE)
        size.append(low | (_VARINT_MORE if length else 0))
        if not length:
            return bytes([head]) + size + body


def text(value: bytes) -> bytes:
    return len(value).to_bytes(2, "big") + value


class Broker:
    """Listens; the test takes one connection after the other."""

    def __init__(self, *, five: bool = True) -> None:
        self.five = five
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(PATIENCE_S)
        self._accepted: list[socket.socket] = []
        self.port: int = self._socket.getsockname()[1]

    def accept(self) -> Peer:
        """Wait for a connection and its CONNECT; raises TimeoutError when nobody comes."""
        sock = self._socket.accept()[0]
        self._accepted.append(sock)
        return Peer(sock)

    def welcome(self) -> Peer:
        """Let the next client in, up to its subscription."""
        peer = self.accept()
        peer.send(peer.connack())
        peer.read()
        peer.send(peer.suback())
        return peer

    def publish(self, topic: bytes, payload: bytes = b"hello", *, mid: int = 0, properties: bytes = b"") -> bytes:
        body = text(topic) + (mid.to_bytes(2, "big") if mid else b"")
        body += bytes([len(properties)]) + properties if self.five else b""
        return packet(0x32 if mid else 0x30, body + payload)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sock in (self._socket, *self._accepted):
            sock.close()


class Peer:
    """One connection from the broker's side."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._socket.settimeout(PATIENCE_S)
        head, self.connect = self.read()
        """The body of the client's CONNECT."""
        assert head == 0x10, "the first packet is a CONNECT"
        # It answers in the version that it is spoken to.
        self._nothing = b"\x00" if self.connect[6] == _MQTT_5 else b""
        self.is_clean = bool(self.connect[7] & 0x02)
        """True when the client asked for the broker to forget its session."""

    def connack(self, properties: bytes | None = None) -> bytes:
        told = self._nothing if properties is None else bytes([len(properties)]) + properties
        return packet(0x20, b"\x00\x00" + told)

    def suback(self, mid: int = 1) -> bytes:
        return packet(0x90, mid.to_bytes(2, "big") + self._nothing + b"\x01")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def read(self) -> tuple[int, bytes]:
        """One packet: its first byte and its body."""
        head, length, shift = self._exactly(1)[0], 0, 0
        while True:
            byte = self._exactly(1)[0]
            length |= (byte & 0x7F) << shift
            shift += 7
            if not byte & _VARINT_MORE:
                return head, self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            part = self._socket.recv(count - len(data))
            if not part:
                raise EOFError
            data += part
        return data

    def end(self) -> None:
        """Say no more, wait until the client hangs up, hang up.  All that was said is read before the end is."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv(65_536):
                pass
        except TimeoutError:
            raise
        except OSError:
            pass  # it has hung up already
        finally:
            self._socket.close()

    def wait_for_the_end(self) -> None:
        """Wait until the client hangs up by itself; raises TimeoutError when it does not."""
        try:
            while self._socket.recv(65_536):
                pass
        except ConnectionResetError:
            pass
        finally:
            self._socket.close()


_PROPERTY_TEXT = b"\x26" + text(b"name") + text(b"value")
BODIES = (
    (0x30, text(TOPIC) + b"\x00hello"),
    (0x32, text(TOPIC) + b"\x00\x07\x00hello"),
    (0x32, text(TOPIC) + b"\x00\x08" + b"\x0d" + _PROPERTY_TEXT[:13] + b"hello"),
    (0x34, text(TOPIC) + b"\x00\x09\x03\x23\x00\x01hello"),
    (0x40, b"\x00\x01\x10\x00"),
    (0x50, b"\x00\x01\x00\x00"),
    (0x62, b"\x00\x09\x00\x00"),
    (0x70, b"\x00\x01\x00\x00"),
    (0x90, b"\x00\x01\x00\x01"),
    (0xB0, b"\x00\x01\x00\x11"),
    (0xD0, b""),
    (0xE0, b"\x8b\x05\x11\x00\x00\x00\x05"),
    (0xF0, b"\x18\x06\x15" + text(b"abc")),
    (0x20, b"\x00\x00\x06\x21\x00\x10\x22\x00\x05"),
)


def broken_packet(rng: random.Random) -> bytes:
    """A packet with one to three faults; half of them with the length that fits the damaged body."""
    head, body = rng.choice(BODIES)
    data = bytearray(body if rng.random() < 0.5 else packet(head, body))
    fits = bytes(data) == body
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        until = min(len(data), at + rng.choice((0, 1, 1, 2, 40)))
        data[at:until] = rng.randbytes(rng.choice((0, 1, 1, 2)))
    return packet(head, bytes(data)) if fits else bytes(data)
