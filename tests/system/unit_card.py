"""One unit's card: the fleet image, its drive, its configuration, its provision.json."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from provision.image import boot_and_root, put_card
from tests.chroot import run
from tests.system.fleet import ADDRESS, BROKER_PORT, UNIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IGNITION_PIN, STATUS_PIN, BUZZER_PIN = 5, 6, 7
FRAMES = "opt/drive"
ROUNDS = 5
"""How often the drive is driven: more than any boot has time for."""
COMMON = f"""
unit = "{UNIT}"
agency = "Example Sheriff"
[[hw.cameras]]
kind = "folder"
path = "%s"
fps = 1
[track]
lost_ms = 3000
[reread]
window_s = 0
"""
"""What the emulated unit and its twin on this machine have in common: frame times, so that tracks are the same."""
_ON_THE_UNIT = f"""
[hw.gnss]
kind = "serial"
[hw.panel]
kind = "gpio"
ignition_pin = {IGNITION_PIN}
status_pin = {STATUS_PIN}
buzzer_pin = {BUZZER_PIN}
[hw.link]
kind = "mqtt"
host = "{ADDRESS}"
port = {BROKER_PORT}
[hw.link.tls]
ca = "/etc/patrol-lpr/ca.pem"
cert = "/etc/patrol-lpr/unit.pem"
key = "/etc/patrol-lpr/tls.key"
[policy]
mode = "off"
[seal]
station_key = "/etc/patrol-lpr/station.pub"
receipt_key = "/etc/patrol-lpr/receipt.pub"
[power]
hold_up_s = 3
[sync]
health_s = 10
[outbox]
min_free_mib = 64
"""


def drive_frames(repo: Path, folder: Path) -> Path:
    """A folder camera's pictures: the rendered city drive, over and over."""
    folder.mkdir(parents=True)
    pictures = sorted((repo / "tests/drives/city-day/frames").iterdir())
    for number in range(ROUNDS):
        for picture in pictures:
            shutil.copy(picture, folder / f"{number}-{picture.name}")
    return folder


@contextmanager
def root_of(image: Path, mount: Path) -> Iterator[Path]:
    """The root partition of an image, mounted."""
    _, root = boot_and_root(image)
    mount.mkdir(exist_ok=True)
    run("mount", "-o", f"loop,offset={root.offset_bytes},sizelimit={root.size_bytes}", str(image), str(mount))
    try:
        yield mount
    finally:
        run("umount", str(mount))


def make(image: Path, folder: Path, repo: Path, provision: Path) -> Path:
    """What somebody would put into the unit."""
    card = folder / "card.img"
    run("cp", "--sparse=always", str(image), str(card))
    with root_of(card, folder / "mount") as root:
        drive_frames(repo, root / FRAMES)
        etc = root / "etc/patrol-lpr"
        etc.mkdir(exist_ok=True)
        (etc / "config.toml").write_text(COMMON % f"/{FRAMES}" + _ON_THE_UNIT)
    put_card(card, provision)
    return card
