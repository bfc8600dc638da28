"""Updates and a unit's folder of releases, small enough to make by the hundred."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from protocol.errors import UpdateError
from protocol.seal.keys import SigningKey
from provision.make_update import Sources, Terms, make_update
from updater.releases import Releases
from updater.staging import Site, apply

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.update.manifest import Manifest

NOW_S = 1_800_000_000.0
WHEEL = "patrol_lpr-0.2.0-py3-none-any.whl"
UNIT_CONFIG = 'unit = "unit-07"\nagency = "Example Sheriff"\n[[hw.cameras]]\nkind = "sim"\n'


class FakeTools:
    """Makes an environment of one file and finds wrong what it is told to."""

    def __init__(self) -> None:
        self.wrong = ""
        self.checked: list[tuple[Path, Path | None, str]] = []

    def make_environment(self, folder: Path, wheels: Path) -> None:
        names = sorted(path.name for path in wheels.glob("*.whl"))
        (folder / "bin").mkdir()
        (folder / "bin/patrol-lpr").write_text("\n".join(names))

    def check(self, code: Path, *, models: Path | None, config: Path, over: Path) -> None:
        assert (code / "bin/patrol-lpr").exists()
        self.checked.append((code, models, over.read_text() if over.exists() else ""))
        if self.wrong:
            raise UpdateError(self.wrong)


class Unit:
    """One unit with release 0 installed, and the key that its fleet signs with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = SigningKey.generate()
        self.tools = FakeTools()
        self.steps: list[str] = []
        self.cut_at: int | None = None
        """Number of the step behind which the power goes."""
        self.home = folder / "opt"
        self.releases = Releases(self.home, done=self._step)
        (self.home / "code/0/bin").mkdir(parents=True)
        (self.home / "code/0/bin/patrol-lpr").write_text("installed")
        (folder / "config.toml").write_text(UNIT_CONFIG)
        self.releases.adopt()
        self.site = Site(self.key.public, folder / "config.toml")

    def _step(self, name: str) -> None:
        self.steps.append(name)
        if self.cut_at == len(self.steps):
            raise PowerCutError(name)

    def update(
        self, release: int, *, wheel: bytes | None = None, models: Path | None = None, config: str | None = None,
        units: tuple[str, ...] = ("*",), needs: int = 0, base: Manifest | None = None,
    ) -> bytes:  # fmt: skip
        """A signed update with these parts."""
        sources, folder = Sources(), self.folder / f"source-{release}"
        folder.mkdir(exist_ok=True)
        if wheel is not None:
            (folder / WHEEL).write_bytes(wheel)
            (folder / "numpy-1.26.4-py3-none-any.whl").write_bytes(b"the same in every release")
            sources.add_wheels(folder)
        if models is not None:
            sources.add_models(models)
        if config is not None:
            (folder / "fleet.toml").write_text(config)
            sources.add_config(folder / "fleet.toml")
        terms = Terms(release, units, int(NOW_S) - 1000, int(NOW_S) + 1000, needs)
        out = self.folder / f"{release}.lprup"
        self.made = make_update(out, sources, terms, self.key, base=base)
        return out.read_bytes()

    def apply(self, data: bytes, *, anyway: bool = False) -> Manifest:
        return apply(io.BytesIO(data), self.releases, self.site, self.tools, now_s=NOW_S, anyway=anyway)

    def commit(self, data: bytes) -> None:
        """Apply, start and confirm."""
        made = self.apply(data)
        assert self.releases.start()
        self.releases.commit(made.release)

    def runs(self) -> str:
        """What a start would run."""
        return (self.home / "bin/patrol-lpr").read_text()


class PowerCutError(Exception):
    """The lights go out."""
