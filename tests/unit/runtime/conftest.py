"""What tests of the runtime share."""

from __future__ import annotations

import pytest

from agent.runtime.service import Service
from tests.unit_parts import unit_parts


@pytest.fixture
def unit_commands(tmp_path):
    """The verbs of an agent."""
    service = Service(*unit_parts(tmp_path))
    yield tuple(service.commands)
    service.stop()
    service.run(drain_s=0)
