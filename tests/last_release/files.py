"""Copies of the last release's files, and its programs as processes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
EXPECTED = json.loads((HERE / "expected.json").read_text(encoding="utf-8"))
UNIT, AGENCY = "unit-07", "Example Sheriff"
RELEASE = HERE / "release.zip"
PRESENT_COMMAND = (sys.executable, "-m", "cli")
RELEASE_COMMAND = (sys.executable, "-m", "agent")
"""``patrol-lpr`` of the present code, and of the release."""


def copy_of(name: str, folder: Path) -> Path:
    """A copy with the rights that git does not keep."""
    target = Path(shutil.copytree(HERE / name, folder / name))
    for path in target.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)
    return target


def environment(code: Path) -> dict[str, str]:
    """Where Python finds the product's code before anywhere else."""
    return {**os.environ, "PYTHONPATH": str(code), "COLUMNS": "200"}


def present(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command of the present code to its end."""
    return subprocess.run(
        [*PRESENT_COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(ROOT),
        capture_output=True,
        text=True,
        check=False,
    )
