"""Options and fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest
import structlog
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="write goldens instead of comparing with them")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The emulated boards take an hour: they run when they are asked for by name, as `make system` does."""
    if collection_path == ROOT / "tests" / "system" and not any("tests/system" in word for word in config.args):
        return True
    return None


@pytest.fixture
def bless(request: pytest.FixtureRequest) -> bool:
    """True when goldens are to be written."""
    return bool(request.config.getoption("--bless"))


@pytest.fixture
def fresh_logging(monkeypatch):
    """For tests that configure logging: their configuration and its stream end with the test.

    Modules keep a logger that is cached at its first use, with the stream of that moment; here none is cached.
    """
    configure = structlog.configure
    monkeypatch.setattr(
        structlog, "configure", lambda **keys: configure(**{**keys, "cache_logger_on_first_use": False})
    )
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository."""
    return ROOT


# Shared machines are slow at times; how fast things are is shown by `make bench`, never by a test.
settings.register_profile("patrol", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("patrol"), max_examples=10)  # `make fast`: while one writes
settings.load_profile("patrol")
