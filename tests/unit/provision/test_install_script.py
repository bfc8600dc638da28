"""The installer's options: what is wrong with them is told before anything is changed."""

from __future__ import annotations

import shutil
import subprocess

import pytest

SHELLS = [shell for shell in ("sh", "dash", "bash") if shutil.which(shell)]


@pytest.fixture(params=SHELLS)
def install(request, repo, tmp_path):
    def run(*options: str) -> tuple[int, str]:
        # No program of the system is on the path: only the script's own words can run.
        done = subprocess.run(
            [shutil.which(request.param), str(repo / "provision/install.sh"), *options],
            env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    return run


@pytest.mark.parametrize("options", [("--wheels",), ("--wheels", ""), ("--help",), ("wheels",)])
def test_wrong_options_are_answered_with_the_right_ones(install, options):
    assert install(*options) == (2, "usage: install.sh [--wheels DIR]\n")


def test_a_folder_without_our_wheel_changes_nothing(install, tmp_path):
    code, said = install("--wheels", f"{tmp_path}/no such")
    assert code == 1
    assert said.startswith(f"install.sh: {tmp_path}/no such: no patrol_lpr wheel; run: pip wheel")
