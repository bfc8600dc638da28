"""The Python, NumPy and TFLite runtime of Trixie: all tests that need no broker and no root, once more there."""

from __future__ import annotations

import re

import pytest

from tests.chroot import requirements, run
from tests.integration.test_trixie import trixie  # noqa: F401 - a fixture

pytestmark = pytest.mark.integration


def test_fast_tests_on_python_313(trixie, repo):  # noqa: F811 - the fixture
    """The camera's tests in that root need less than these."""
    more = requirements(repo, "postgres", "oidc", "evidence")
    run("chroot", str(trixie), "/venv/bin/pip", "install", "--quiet", *more)
    command = "cd /src && exec /venv/bin/python -m pytest tests -m 'not integration' -q"
    said = run("chroot", str(trixie), "sh", "-c", command)
    passed = re.search(r"^(\d+) passed, \d+ deselected", said, flags=re.MULTILINE)
    assert passed, said[-3000:]
    assert int(passed[1]) > 900
