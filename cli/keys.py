"""``patrol-lpr keys``: make the key pairs of units and stations, show what to compare."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from protocol.errors import KeyFileError
from protocol.seal.keys import RECEIPT_KEY, RECEIPT_PUBLIC, SigningKey, StationKey, VerifyKey, fingerprint
from protocol.wire.topics import check_unit

if TYPE_CHECKING:
    from pathlib import Path


def make_station(folder: Path, name: str) -> int:
    """Write NAME.key, which stays at the station, and NAME.pub, which every unit gets.

    So it is with receipt.key and receipt.pub, unless the folder has them: the station signs its answers.
    """
    key = StationKey.generate()
    _make(folder, f"{name}.key", f"{name}.pub", key)
    _say(folder / f"{name}.pub", key.raw, "copy it to every unit; the .key stays here")
    if not (folder / RECEIPT_KEY).exists():
        answers = SigningKey.generate()
        _make(folder, RECEIPT_KEY, RECEIPT_PUBLIC, answers)
        _say(folder / RECEIPT_PUBLIC, answers.public.raw, "copy it to every unit as well; receipt.key stays here")
    return 0


def make_unit(folder: Path, unit: str) -> int:
    """Write unit.key, which stays in the unit, and unit-ID.pub, which the station gets."""
    check_unit(unit)
    key = SigningKey.generate()
    _make(folder, "unit.key", f"unit-{unit}.pub", key)
    _say(folder / f"unit-{unit}.pub", key.public.raw, "copy it to the station's keys; unit.key stays here")
    return 0


def make_release(folder: Path) -> int:
    """Write release.key, which signs updates and lies on no unit, and release.pub, which every unit gets."""
    key = SigningKey.generate()
    _make(folder, "release.key", "release.pub", key)
    _say(
        folder / "release.pub", key.public.raw, "copy it to /etc/patrol-lpr of every unit; keep the .key off-line"
    )
    return 0


def show(paths: list[Path]) -> int:
    """Print what a public key is and its fingerprint."""
    table = Table("file", "kind", "id", "fingerprint")
    for path in paths:
        try:
            unit = VerifyKey.load(path)
            table.add_row(path.name, "signs, Ed25519", unit.id.hex(), fingerprint(unit.raw))
        except KeyFileError:
            station = StationKey.load_public(path)
            table.add_row(path.name, "seals, X25519", station.id.hex(), fingerprint(station.raw))
    Console().print(table)
    return 0


def _make(folder: Path, private: str, public: str, key: SigningKey | StationKey) -> None:
    if (folder / public).exists():
        raise KeyFileError(f"{folder / public}: exists already; a key is never overwritten, name another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        key.save(folder / private)
        pem = key.public.pem() if isinstance(key, SigningKey) else key.pem()
        (folder / public).write_bytes(pem)
    except OSError as error:
        raise KeyFileError(f"{folder}: keys cannot be written here: {error.strerror}") from error


def _say(path: Path, raw: bytes, what: str) -> None:
    Console().print(f"{path}: {what}\nfingerprint {fingerprint(raw)}", highlight=False, soft_wrap=True)
