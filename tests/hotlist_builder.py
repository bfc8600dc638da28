"""Signed hot lists for tests, made of entries."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from agent.hotlist.store import ListsInForce, Terms
from protocol.hotlist.entry import Entry, encode_entry
from protocol.hotlist.manifest import Rules, RuleTerms, Settings
from protocol.hotlist.packing import normalise, pack
from protocol.hotlist.patterns import WILDCARDS
from protocol.seal.keys import SigningKey, StationKey
from station.lists.draft import BlockWriter, DraftInfo, ListFile, full_sections, spooled, write_draft
from station.lists.signing import Signing, sign_delta, sign_full

if TYPE_CHECKING:
    from collections.abc import Sequence

AS_OF_US = 1_790_000_000_000_000
LOOSE = Rules(approximate=RuleTerms(min_probability_e4=10), patterns=RuleTerms(min_probability_e4=5000))


def make_settings(**changes: Any) -> Settings:
    """Settings of a list for every agency."""
    told = {"list_id": "stolen", "name": "Stolen vehicles", "owner": "State police", "agencies": ("*",), **changes}
    return Settings.model_validate(told)


def make_draft(path: Path, entries: Sequence[Entry], *, settings: Settings | None = None, **info: Any) -> Path:
    """Write an unsigned list."""
    plain = [entry for entry in entries if not any(c in WILDCARDS for c in entry.text)]
    patterns = [encode_entry(entry) for entry in entries if any(c in WILDCARDS for c in entry.text)]
    keys = np.array([pack(normalise(entry.text)) for entry in plain], np.uint64)
    order = np.argsort(keys, kind="stable")
    blocks = BlockWriter()
    blocks.add([encode_entry(entry) for entry in plain])
    told: dict[str, Any] = {"rules": LOOSE, "as_of_utc_us": AS_OF_US, **info}
    with spooled(full_sections(keys[order], order.astype(np.uint32), blocks, patterns)) as (sections, file):
        made = DraftInfo(
            settings=settings or make_settings(), rows=len(plain), records=len(plain), patterns=len(patterns),
            sections=sections, **told,
        )  # fmt: skip
        with path.open("wb") as out:
            write_draft(out, made, file)
    blocks.close()
    return path


def make_package(
    entries: Sequence[Entry],
    key: SigningKey,
    *,
    version: int = 1,
    base: bytes | None = None,
    settings: Settings | None = None,
    **info: Any,
) -> bytes:
    """Return a signed package of the entries: a full one, or the delta to a full one."""
    with tempfile.TemporaryDirectory() as folder:
        out = io.BytesIO()
        draft = make_draft(Path(folder) / "draft", entries, settings=settings, **info)
        with ListFile(draft) as opened:
            if base is None:
                sign_full(out, opened, key, Signing(version))
            else:
                (Path(folder) / "base").write_bytes(base)
                with ListFile(Path(folder) / "base", [key.public]) as older:
                    sign_delta(out, opened, older, key, Signing(version))
        return out.getvalue()


def make_lists(
    folder: Path,
    *packages: bytes,
    authority: SigningKey,
    now_utc_us: int | None = AS_OF_US,
    agency: str = "pd",
) -> ListsInForce:
    """Return the unlocked lists of a unit with these packages in force."""
    key = StationKey.generate()
    lists = ListsInForce(folder, Terms(agency, (authority.public,)), key, lambda: now_utc_us)
    lists.unlock(key)
    for package in packages:
        lists.install(io.BytesIO(package))
    return lists
