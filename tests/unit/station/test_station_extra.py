"""A unit needs no SQLAlchemy; a missing one is a clear error."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from tests.conftest import ROOT

BLOCKED = """
import sys
sys.modules.update(sqlalchemy=None, alembic=None, amqtt=None)
"""


def ran(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + textwrap.dedent(program)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_agent_and_verify_need_no_extra():
    """Neither what a unit runs nor what checks a series."""
    done = ran("import cli.main, cli.run, cli.verify, cli.diagnostics, cli.outbox, agent.runtime.service")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_station_without_its_extra_is_a_clear_error(tmp_path):
    """Not a traceback, and no file is made."""
    done = ran(f"""
        sys.argv = ["patrol-lpr", "station", "--db", "{tmp_path / "s.db"}", "--broker", "127.0.0.1"]
        from cli.main import main
        main()
    """)
    assert done.returncode == 1
    assert "needs SQLAlchemy and Alembic: in the checkout, pip install -e '.[station]'" in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
