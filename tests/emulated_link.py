"""A bad mobile link on this machine: real packets through a TUN device, delayed, thinned out, slowed down, held back.

Whoever connects to ``FAR`` reaches what listens on ``NEAR``: each packet has its two addresses exchanged on its way
through, which leaves the checksums right (they are sums) and needs no second network stack.  Needs root.
"""

from __future__ import annotations

import contextlib
import fcntl
import heapq
import os
import random
import select
import struct
import threading
import time
from dataclasses import dataclass

from tests.chroot import run

NEAR, FAR = "10.77.0.1", "10.77.0.2"
_TUNSETIFF = 0x400454CA
_IFF_TUN_NO_PI = 0x1001
_QUEUE_S = 2.0
"""What a base station buffers: more is thrown away."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How a link behaves in each direction."""

    delay_ms: float
    jitter_ms: float
    kbit_s: float
    loss: float = 0.0


LTE = Profile(50, 20, 10_000)
UMTS = Profile(150, 50, 1_000, 0.01)
EDGE = Profile(400, 100, 60)
LOSSY = Profile(60, 20, 5_000, 0.20)


class EmulatedLink:
    """One TUN device and the thread that moves its packets."""

    def __init__(self, profile: Profile, *, seed: int = 1) -> None:
        self.profile = profile
        self.up = True
        """False: every packet vanishes, and nobody is told."""
        self.carried = self.lost = 0
        self._random = random.Random(seed)  # noqa: S311 - which packets are lost is no secret
        self._handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        name = f"bad{os.getpid() % 100_000}"
        fcntl.ioctl(self._handle, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
        run("ip", "addr", "add", NEAR, "peer", FAR, "dev", name)
        run("ip", "link", "set", name, "mtu", "1400", "up")
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._move, name="emulated-link", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take the device away."""
        self._closing.set()
        self._thread.join()
        os.close(self._handle)

    def _move(self) -> None:
        waiting: list[tuple[float, int, bytes]] = []
        free_at: dict[bytes, float] = {}
        number = 0
        while not self._closing.is_set():
            now = time.monotonic()
            pause = min(0.05, max(0.0, waiting[0][0] - now)) if waiting else 0.05
            if select.select([self._handle], [], [], pause)[0]:
                packet = os.read(self._handle, 2048)
                due = self._due(packet, free_at)
                if due is not None:
                    number += 1
                    heapq.heappush(waiting, (due, number, _turned(packet)))
            while waiting and waiting[0][0] <= time.monotonic():
                with contextlib.suppress(OSError):
                    os.write(self._handle, heapq.heappop(waiting)[2])
                    self.carried += 1

    def _due(self, packet: bytes, free_at: dict[bytes, float]) -> float | None:
        """When a packet arrives; None when it is lost."""
        now, profile = time.monotonic(), self.profile
        port = min(packet[20:22], packet[22:24])
        way = packet[20:22] if packet[20:22] == port else b"back"
        start = max(now, free_at.get(way, now))
        full = start - now > _QUEUE_S
        if packet[0] >> 4 != 4 or not self.up or full or self._random.random() < profile.loss:
            self.lost += 1
            return None
        free_at[way] = start + len(packet) * 8 / (profile.kbit_s * 1000)
        return free_at[way] + (profile.delay_ms + self._random.random() * profile.jitter_ms) / 1000


def _turned(packet: bytes) -> bytes:
    return packet[:12] + packet[16:20] + packet[12:16] + packet[20:]
