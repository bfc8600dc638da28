"""An image with its hash beside it, and a card to write it to."""

from __future__ import annotations

import hashlib
import struct

import pytest


def table() -> bytes:
    """The first sector of a disk with a FAT and a Linux partition."""
    fat = b"\0\0\0\0\x0c\0\0\0" + struct.pack("<II", 2048, 2048)
    root = b"\0\0\0\0\x83\0\0\0" + struct.pack("<II", 4096, 2048)
    return bytes(446) + fat + root + bytes(32) + b"\x55\xaa"


@pytest.fixture
def image(tmp_path):
    path = tmp_path / "fleet.img"
    path.write_bytes(table() + bytes(range(256)) * 20_000)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "fleet.img.sha256").write_text(f"{digest}  fleet.img\n")
    return path


@pytest.fixture
def card(tmp_path):
    path = tmp_path / "card"
    path.write_bytes(b"\xff" * 6_000_000)
    return path
