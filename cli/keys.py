"""``patrol-lpr keys``: create key pairs of units and stations, show fingerprints."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

from agent.policy.hashing import KEY_BYTES
from cli.show import TextTable, print_json, print_table
from cli.terminal import PlainConsole
from protocol.errors import KeyFileError
from protocol.seal.keys import (
    LOG_KEY,
    LOG_PUBLIC,
    RECEIPT_KEY,
    RECEIPT_PUBLIC,
    SigningKey,
    StationKey,
    VerifyKey,
    fingerprint,
)
from protocol.wire.topics import check_unit

if TYPE_CHECKING:
    from pathlib import Path


def make_station(folder: Path, name: str) -> int:
    """Write NAME.key, for the station only, and NAME.pub, for every unit.

    Likewise receipt.key and receipt.pub, unless they exist: the station signs its answers with them; and log.key and
    log.pub, for checkpoints of its audit log.
    """
    key = StationKey.generate()
    make_pair(folder, f"{name}.key", f"{name}.pub", key)
    _say(folder / f"{name}.pub", key.raw, "copy it to every unit; the .key stays here")
    if not (folder / RECEIPT_KEY).exists():
        answers = SigningKey.generate()
        make_pair(folder, RECEIPT_KEY, RECEIPT_PUBLIC, answers)
        _say(folder / RECEIPT_PUBLIC, answers.public.raw, "copy it to every unit as well; receipt.key stays here")
    if not (folder / LOG_KEY).exists():
        log = SigningKey.generate()
        make_pair(folder, LOG_KEY, LOG_PUBLIC, log)
        _say(folder / LOG_PUBLIC, log.public.raw, "give it to whoever verifies the audit log; log.key stays here")
    return 0


def make_unit(folder: Path, unit: str) -> int:
    """Write unit.key, for the unit only, and unit-ID.pub, for the station."""
    check_unit(unit)
    key = SigningKey.generate()
    make_pair(folder, "unit.key", f"unit-{unit}.pub", key)
    _say(folder / f"unit-{unit}.pub", key.public.raw, "copy it to the station's keys; unit.key stays here")
    return 0


def make_signer(folder: Path, name: str) -> int:
    """Write NAME.key, which signs files for units and is stored on none, and NAME.pub, for every unit."""
    key = SigningKey.generate()
    make_pair(folder, f"{name}.key", f"{name}.pub", key)
    _say(folder / f"{name}.pub", key.public.raw, "copy it to /etc/patrol-lpr of every unit; keep the .key offline")
    return 0


def make_hash(folder: Path) -> int:
    """Write plate-hash.key, for all units of an agency and for whoever compares their hashes."""
    path = folder / "plate-hash.key"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
    except FileExistsError:
        raise KeyFileError(f"{path}: already exists; keys are never overwritten, use another folder") from None
    except OSError as error:
        raise KeyFileError(f"{folder}: keys cannot be written here: {error.strerror}") from error
    PlainConsole().print(
        f"{path}: copy it to the units and name it in [policy] hash_key; a new key makes old hashes useless",
    )
    return 0


def show(paths: list[Path], *, as_json: bool = False) -> int:
    """Print type and fingerprint of public keys."""
    rows = [(path.name, *_described(path)) for path in paths]
    columns = ("file", "kind", "id", "fingerprint")
    if as_json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
        return 0
    table = TextTable(*columns)
    for row in rows:
        table.add_row(*row)
    print_table(table)
    return 0


def _described(path: Path) -> tuple[str, str, str]:
    """Kind, id and fingerprint of a public key."""
    try:
        unit = VerifyKey.load(path)
    except KeyFileError:
        station = StationKey.load_public(path)
        return "encryption key, X25519", station.id.hex(), fingerprint(station.raw)
    return "signing key, Ed25519", unit.id.hex(), fingerprint(unit.raw)


def make_pair(folder: Path, private: str, public: str, key: SigningKey | StationKey) -> None:
    """Write both halves of a key; raises KeyFileError, also if one of the files exists."""
    if (folder / public).exists():
        raise KeyFileError(f"{folder / public}: already exists; keys are never overwritten, use another folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        key.save(folder / private)
        pem = key.public.pem() if isinstance(key, SigningKey) else key.pem()
        (folder / public).write_bytes(pem)
    except OSError as error:
        raise KeyFileError(f"{folder}: keys cannot be written here: {error.strerror}") from error


def _say(path: Path, raw: bytes, what: str) -> None:
    PlainConsole().print(f"{path}: {what}\nfingerprint {fingerprint(raw)}")
