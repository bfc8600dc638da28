"""``python -m provision.make_deb``: the Debian package of the station, from wheels, with dpkg-deb alone.

The package holds wheels, not an environment: an environment contains absolute paths, times and compiled files, and
belongs to one build of Python.  The same wheels give the same package, byte by byte.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from provision.errors import ProvisionError

_SOURCE = Path(__file__).parent / "station"
_ROOT = Path(__file__).parent.parent
_DOC = "usr/share/doc/patrol-lpr-station"
_UNITS = (
    "patrol-lpr-station.service",
    "patrol-lpr-worker@.service",
    "patrol-lpr-web.service",
    "patrol-lpr-outputs.service",
    "patrol-lpr-metrics.service",
    "patrol-lpr-purge.service",
    "patrol-lpr-purge.timer",
    "patrol-lpr-backup.service",
    "patrol-lpr-backup.timer",
)
_SCRIPTS = ("postinst", "prerm", "postrm")
_SHARE = Path("usr/share/patrol-lpr-station")
_WHEEL = re.compile(r"(?P<name>[A-Za-z0-9_.]+)-(?P<version>[^-]+)(-\d[^-]*)?-(?P<python>[^-]+)-[^-]+-[^-]+\.whl")
_EPOCH = 1_735_689_600
"""2025-01-01; SOURCE_DATE_EPOCH replaces it."""


@dataclass(frozen=True, slots=True)
class Target:
    """What the package is for."""

    architecture: str
    """As dpkg names it."""
    python: tuple[int, int]


def make_deb(wheels: Path, out: Path, target: Target, *, epoch_s: int = _EPOCH) -> Path:
    """Build the package from a folder with the wheel of patrol-lpr and those of all its dependencies.

    Raises ProvisionError for a folder without ours, or with two versions of one package.
    """
    found = _wheels(wheels)
    if "patrol_lpr" not in found:
        raise ProvisionError(f"{wheels} has no wheel of patrol-lpr: run `make deb`")
    version = found["patrol_lpr"][0]
    out.mkdir(parents=True, exist_ok=True)
    deb = out / f"patrol-lpr-station_{version}_{target.architecture}.deb"
    with tempfile.TemporaryDirectory() as work:
        root = Path(work) / "root"
        _fill(root, found)
        _control(root, version, target)
        _normalise(root, epoch_s)
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(epoch_s)}
        # Wheels are compressed already.
        command = ["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(root), str(deb)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)  # noqa: S603 - fixed
        if done.returncode:
            raise ProvisionError(f"dpkg-deb failed: {done.stderr.strip()}")
    return deb


def _wheels(folder: Path) -> dict[str, tuple[str, Path]]:
    found: dict[str, tuple[str, Path]] = {}
    for path in sorted(folder.glob("*.whl")):
        parsed = _WHEEL.fullmatch(path.name)
        if parsed is None:
            raise ProvisionError(f"{path}: is not named like a wheel")
        name = re.sub(r"[-_.]+", "_", parsed["name"]).lower()
        if name in found:
            raise ProvisionError(f"{folder} has two wheels of {name}: begin with an empty folder")
        found[name] = (parsed["version"], path)
    return found


def _fill(root: Path, found: dict[str, tuple[str, Path]]) -> None:
    wheels = root / _SHARE / "wheels"
    wheels.mkdir(parents=True)
    lines = []
    for name, (version, path) in sorted(found.items()):
        shutil.copyfile(path, wheels / path.name)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        lines.append(f"{name.replace('_', '-')}=={version} --hash=sha256:{digest}\n")
    (root / _SHARE / "requirements.txt").write_text("".join(lines), encoding="utf-8")
    units = root / "lib/systemd/system"
    units.mkdir(parents=True)
    for unit in _UNITS:
        shutil.copyfile(_SOURCE / unit, units / unit)
    for source, place in (
        (_SOURCE / "debian/patrol-lpr-station.sysusers.conf", "usr/lib/sysusers.d/patrol-lpr-station.conf"),
        (_SOURCE / "debian/patrol-lpr-station.tmpfiles.conf", "usr/lib/tmpfiles.d/patrol-lpr-station.conf"),
        (_SOURCE / "debian/station.env", "etc/patrol-lpr/station.env"),
        (_SOURCE / "web.env", "etc/patrol-lpr/web.env"),
        (_SOURCE / "grafana-dashboard.json", f"{_SHARE}/grafana-dashboard.json"),
        (_SOURCE / "postgresql.conf", f"{_SHARE}/postgresql.conf"),
        (_ROOT / "LICENSE", f"{_DOC}/copyright"),
        *((_ROOT / name, f"{_DOC}/{name}") for name in _documents()),
    ):
        target = root / place
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    link = root / "usr/bin/patrol-lpr"
    link.parent.mkdir(parents=True)
    link.symlink_to("/opt/patrol-lpr/bin/patrol-lpr")


def _documents() -> list[str]:
    """Paths of the documents in the repository: links between them work where they are installed."""
    found = [path for path in sorted((_ROOT / "docs").rglob("*")) if path.is_file()]
    return ["README.md", "CHANGELOG.md", *(str(path.relative_to(_ROOT)) for path in found)]


def _control(root: Path, version: str, target: Target) -> None:
    size_kib = sum(path.lstat().st_size for path in root.rglob("*") if path.is_file()) // 1024
    major, minor = target.python
    values = {
        "VERSION": version,
        "ARCHITECTURE": target.architecture,
        "SIZE_KIB": str(size_kib),
        "PYTHON": f"{major}.{minor}",
        "PYTHON_NEXT": f"{major}.{minor + 1}",
    }
    folder = root / "DEBIAN"
    folder.mkdir()
    (folder / "control").write_text(_filled(_SOURCE / "debian/control.in", values), encoding="utf-8")
    shutil.copyfile(_SOURCE / "debian/conffiles", folder / "conffiles")
    for script in _SCRIPTS:
        (folder / script).write_text(_filled(_SOURCE / "debian" / script, values), encoding="utf-8")


def _filled(source: Path, values: dict[str, str]) -> str:
    text = source.read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"@{name}@", value)
    return text


def _normalise(root: Path, epoch_s: int) -> None:
    """The same modes and times whoever builds."""
    for path in (root, *root.rglob("*")):
        if path.is_symlink():
            os.utime(path, (epoch_s, epoch_s), follow_symlinks=False)
            continue
        is_program = path.parent.name == "DEBIAN" and path.name in _SCRIPTS
        path.chmod(0o755 if path.is_dir() or is_program else 0o644)
        os.utime(path, (epoch_s, epoch_s))


def main() -> None:
    """Command line of ``make deb``."""
    parser = argparse.ArgumentParser(description="Build the Debian package of the station from wheels.")
    parser.add_argument("--wheels", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--python", default=f"{sys.version_info.major}.{sys.version_info.minor}")
    told = parser.parse_args()
    done = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True, check=True)  # noqa: S607 - Debian's
    major, _, minor = told.python.partition(".")
    target = Target(done.stdout.strip(), (int(major), int(minor)))
    epoch_s = int(os.environ.get("SOURCE_DATE_EPOCH", _EPOCH))
    sys.stdout.write(f"{make_deb(told.wheels, told.out, target, epoch_s=epoch_s)}\n")


if __name__ == "__main__":
    main()
