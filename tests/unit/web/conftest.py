"""What all tests of the station's pages share."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests import station_web
from tests.station_people import fill

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastapi import FastAPI

    from station.store import Store


@pytest.fixture(autouse=True)
def closed_stores(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The stores under the applications of a test are closed after it."""
    plain = station_web.build_app
    with ExitStack() as used:

        def build_app(store: Store, *arguments: Any, **options: Any) -> FastAPI:
            used.callback(store.close)
            return plain(store, *arguments, **options)

        monkeypatch.setattr(station_web, "build_app", build_app)
        yield


@pytest.fixture(scope="module")
def shared_web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[station_web.Web]:
    """A station with units of two agencies, for all tests of a module."""
    made = station_web.open_web(tmp_path_factory.mktemp("station") / "station.db", fill=fill)
    yield made
    made.store.close()
