"""The key to which a unit's lists are sealed: derived from the unit's key, or opened by an officer's PIN."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hw.output import output
from protocol.errors import KeyFileError, PinError
from protocol.seal.keys import StationKey
from protocol.seal.pin import MEMORY_KIB, PASSES, PinWrap, unwrap_with_pin, wrap_with_pin

if TYPE_CHECKING:
    from pathlib import Path

    from protocol.seal.keys import SigningKey

PIN_FILE = "hotlist-pins.json"
_MAX_FILE_BYTES = 2**20
_MAX_OFFICERS = 512


def derived_key(unit: SigningKey) -> StationKey:
    """Return the key of a unit whose lists open at the start: who has the unit's key has this one."""
    return StationKey.from_private_raw(unit.derive(b"hotlist"))


class _PinFile(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    public: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    officers: Annotated[dict[str, PinWrap], Field(max_length=_MAX_OFFICERS)]


@dataclass(slots=True)
class PinKeys:
    """The key of a unit whose lists open at an officer's sign-on; its private half is on disk only wrapped by PINs."""

    path: Path
    unit: SigningKey
    memory_kib: int = field(default=MEMORY_KIB, kw_only=True)
    passes: int = field(default=PASSES, kw_only=True)

    @property
    def exists(self) -> bool:
        """True once :meth:`create` was called on this unit."""
        return self.path.exists()

    def create(self, officer: str, pin: str) -> StationKey:
        """Make a new key for the first officer; raises KeyFileError if there is one, PinError for a weak PIN."""
        if self.exists:
            raise KeyFileError(f"{self.path}: already exists; add officers with one who is in it")
        key = StationKey.from_private_raw(os.urandom(32))
        self._save(_PinFile(public=key.raw.hex(), officers={officer: self._wrap(key, officer, pin)}))
        return key

    def public(self) -> StationKey:
        """Return the public half, to which lists can be sealed without a PIN; raises KeyFileError."""
        return StationKey.from_public_raw(bytes.fromhex(self._load().public))

    def officers(self) -> tuple[str, ...]:
        """Return who can unlock; raises KeyFileError."""
        return tuple(self._load().officers)

    def unlock(self, officer: str, pin: str) -> StationKey:
        """Return the key; raises PinError for an unknown officer or a wrong PIN, after the same time."""
        kept = self._load()
        wrap = kept.officers.get(officer)
        found = wrap or next(iter(kept.officers.values()))
        raw = unwrap_with_pin(found, pin, self._secret(), officer)
        key = StationKey.from_private_raw(raw)
        if wrap is None or key.raw.hex() != kept.public:
            raise PinError("the PIN is wrong")
        return key

    def add(self, key: StationKey, officer: str, pin: str) -> None:
        """Let another officer unlock, or change a PIN; ``key`` is what :meth:`unlock` returned."""
        kept = self._load()
        if key.raw.hex() != kept.public:
            raise KeyFileError(f"{self.path}: this is not the key of this unit's lists")
        if officer not in kept.officers and len(kept.officers) >= _MAX_OFFICERS:
            raise KeyFileError(f"{self.path}: {_MAX_OFFICERS} officers are in it: remove one first")
        self._save(
            _PinFile(public=kept.public, officers={**kept.officers, officer: self._wrap(key, officer, pin)})
        )

    def remove(self, officer: str) -> None:
        """Take an officer out; the last one stays, because nobody could unlock the lists then."""
        kept = self._load()
        others = {name: wrap for name, wrap in kept.officers.items() if name != officer}
        if not others:
            raise KeyFileError(f"{self.path}: {officer} is the only one who can unlock: add another first")
        self._save(_PinFile(public=kept.public, officers=others))

    def _wrap(self, key: StationKey, officer: str, pin: str) -> PinWrap:
        return wrap_with_pin(
            key.private_raw(), pin, self._secret(), officer, memory_kib=self.memory_kib, passes=self.passes
        )

    def _secret(self) -> bytes:
        return self.unit.derive(b"hotlist pin")

    def _load(self) -> _PinFile:
        try:
            with self.path.open("rb") as file:
                return _PinFile.model_validate_json(file.read(_MAX_FILE_BYTES))
        except ValidationError:
            raise KeyFileError(f"{self.path}: damaged: delete it, set PINs and install the lists again") from None
        except OSError as error:
            raise KeyFileError(f"{self.path}: cannot be read: {error.strerror}; set a first PIN") from error

    def _save(self, kept: _PinFile) -> None:
        with output(self.path, private=True) as file:
            file.write(kept.model_dump_json(indent=1).encode())
