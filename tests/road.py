"""The shipped broker at the end of an emulated road."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.emulated_link import FAR
from tests.mosquitto import FleetBroker

if TYPE_CHECKING:
    from pathlib import Path


class RoadBroker(FleetBroker):
    """The shipped broker, reachable from the emulated link as well."""

    def __init__(self, folder: Path, repo: Path) -> None:
        super().__init__(folder, repo)
        self.give("broker", hosts=("127.0.0.1", FAR), into=self.home)
        text = self._config.read_text()
        here = f"listener {self.port} 127.0.0.1"
        assert here in text
        self._write(text.replace(here, f"listener {self.port} 0.0.0.0"))
