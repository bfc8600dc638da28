"""A stolen disk tells nothing: the image of a whole device is searched for every plate that was read on it."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from agent.buffer import OutboxReader
from agent.buffer.outbox import FILE_NAME
from cli.simulate import fresh_keys
from hw.drive_load import load_drive
from tests.power_cut import CuttableDisk

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.integration
JPEG_START = b"\xff\xd8\xff\xe0\x00\x10JFIF"


@pytest.fixture
def disk(tmp_path):
    made = CuttableDisk(tmp_path)
    yield made
    made.release()


def run_agent(disk: CuttableDisk, drive: Path, seal: str) -> int:
    """Run the agent with everything it writes on the disk: state, logs, temporary files; return how many reads."""
    root = disk.mount
    (root / "tmp").mkdir()
    config = root / "config.toml"
    config.write_text(
        f'unit = "unit-07"\nagency = "a"\nstate_dir = "{root}/state"\n'
        f'[[hw.cameras]]\nkind = "folder"\nname = "front"\npath = "{drive}/frames"\nfps = 10\n'
        f"[outbox]\nmin_free_mib = 0\nballast_mib = 0\n[policy]\nmode = 'off'\n[seal]\n{seal}\n"
    )
    with (root / "agent.log").open("w") as out:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "cli",
                "run",
                "--config",
                str(config),
                "--until-cameras-end",
                "--drain-s",
                "0",
            ],
            check=True,
            stdout=out,
            stderr=out,
            env={**os.environ, "TMPDIR": str(root / "tmp"), "HOME": str(root / "tmp")},
            timeout=120,
        )
    reader = OutboxReader(root / "state" / FILE_NAME)
    reads = reader.stats().appended
    reader.close()
    return reads


@pytest.mark.parametrize("sealed", [True, False], ids=["sealed", "open"])
def test_disk_image_of_a_sealing_unit_contains_no_plate_and_no_picture(disk, tmp_path, repo, sealed):
    """The run without sealing shows that the search would find them."""
    drive = repo / "tests" / "drives" / "city-day"
    table, _ = fresh_keys(tmp_path / "keys", "unit-07")
    lines = "\n".join(f'{key} = "{value}"' for key, value in table.items()) if sealed else 'mode = "off"'
    reads = run_agent(disk, drive, lines)
    assert reads > 0
    disk.power_off()
    image = (tmp_path / "disk.img").read_bytes()
    disk.power_on()
    plates = {truth.plate for truth in load_drive(drive).truth}
    found = {plate for plate in plates if plate.encode() in image}
    if sealed:
        assert not found
        assert JPEG_START not in image
    else:
        assert found
        assert JPEG_START in image
