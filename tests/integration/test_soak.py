"""A day of the soak test; `make soak` runs a week."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration


def test_simulated_day_with_random_faults(repo):
    done = subprocess.run(
        [sys.executable, "-m", "tests.soak", "--days", "1", "--minutes", "0.4", "--seed", "5"],
        cwd=repo,
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "BROKEN" not in done.stdout
