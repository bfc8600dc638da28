"""Options and fixtures that all tests share."""

from __future__ import annotations

import gc
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import structlog
from hypothesis import HealthCheck, settings

from station.store import open_store, sqlite_file
from tests.postgres import Postgres
from tests.station_template import StationTemplate

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parent.parent
INTEGRATION = (ROOT / "tests" / "integration", ROOT / "tests" / "browser")
"""All tests in these folders are of that kind: who leaves them out need not import them."""
MEMORY = Path("/dev/shm")  # noqa: S108 - the folder of a file system, not a file
MEMORY_BYTES = 1 << 30


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--bless", action="store_true", help="write goldens instead of comparing with them")
    parser.addoption(
        "--in-memory",
        action="store_true",
        help=f"keep the tests' files in {MEMORY}, if 1 GiB is free there: thousands of syncs wait for no disk",
    )


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--in-memory") and _may_use_memory():
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(MEMORY)


def _may_use_memory() -> bool:
    """Tests also write programs, and run them."""
    try:
        found = os.statvfs(MEMORY)
    except OSError:
        return False
    return not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize >= MEMORY_BYTES


def pytest_collection() -> None:
    """Nothing that collection makes is garbage."""
    gc.disable()


def pytest_collection_finish() -> None:
    """Half a million objects live until the end: looked at again and again, they take a quarter of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 10)
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """What a test may leave to the garbage collector is collected at its end, not in another test."""
    yield
    if any("Unraisable" in told for mark in item.iter_markers("filterwarnings") for told in mark.args):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not {*INTEGRATION}.isdisjoint(item.path.parents) and item.get_closest_marker("integration") is None:
            raise pytest.UsageError(f"{item.nodeid}: mark it integration, or move it to tests/unit")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The emulated boards take an hour: they run when they are asked for by name, as `make system` does."""
    if collection_path == ROOT / "tests" / "system" and not any("tests/system" in word for word in config.args):
        return True
    if collection_path in INTEGRATION and "not integration" in config.getoption("-m"):
        return True
    return None


@pytest.fixture
def bless(request: pytest.FixtureRequest) -> bool:
    """True when goldens are to be written."""
    return bool(request.config.getoption("--bless"))


@pytest.fixture(autouse=True)
def fresh_logging() -> Iterator[None]:
    """What a test configures of the process's logs, and the stream that it writes to, ends with the test."""
    yield
    structlog.reset_defaults()


@pytest.fixture(autouse=True)
def own_umask() -> Iterator[None]:
    """The umask that a command sets for its process ends with the test."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session", autouse=True)
def why_people_look() -> Iterator[None]:
    """Commands that look reads up have a purpose and a case number, as on a station where the shell sets them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATROL_LPR_PURPOSE", "a test")
        patch.setenv("PATROL_LPR_CASE", "26-014")
        yield


@pytest.fixture(scope="session", autouse=True)
def station_template() -> Iterator[StationTemplate]:
    """In this process, a station's new file is a copy of one that was migrated before."""
    template = StationTemplate()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sqlite_file, "_migrate", template.migrate)
        yield template
    template.close()


@pytest.fixture(scope="session")
def repo() -> Path:
    """The root of the repository."""
    return ROOT


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A running server with a template that has the station's tables; it does not wait for its disk."""
    server = Postgres(settings="fsync = off\nfull_page_writes = off").create().start()
    server.make_template(lambda address: open_store(address).close())
    yield server
    server.remove()


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[Postgres]:
    """The server, for one test: the databases that it makes end with it."""
    yield postgres_server
    postgres_server.drop_databases()


# Shared machines are slow at times; how fast things are is shown by `make bench`, never by a test.
settings.register_profile("patrol", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("fast", settings.get_profile("patrol"), max_examples=5)  # `make fast`: while one writes
settings.load_profile("patrol")
