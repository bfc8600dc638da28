"""A day of the soak; `make soak` lives through the week."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.integration


def test_a_simulated_day_with_random_faults_keeps_every_promise(repo):
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
