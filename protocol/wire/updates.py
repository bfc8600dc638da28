"""The four messages of updates: an offer and its bytes come down, a wish for bytes and a report go up.

The unit asks for bytes, one message at a time, when it has nothing better to do; docs/wire-format.md has the keys.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from protocol.errors import WireError
from protocol.wire.fields import I63, U32, Fields, pack, unpack
from protocol.wire.topics import check_unit

MAX_PART_BYTES = 32_768
MAX_PARTS = 8
_ID_BYTES = 16
_SHA_BYTES = 32


class UpdateState(StrEnum):
    """How the latest update stands on a unit."""

    IDLE = "idle"
    """None was ever seen."""
    WAITING = "waiting"
    """Offered; fetched over a link that costs nothing, or when the one on trial is decided."""
    FETCHING = "fetching"
    HANDED = "handed"
    """Fetched whole; being verified and staged."""
    TRIAL = "trial"
    """Staged; runs from the next start, until it has proven itself."""
    COMMITTED = "committed"
    ROLLED_BACK = "rolled_back"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class UpdateOffer:
    """``offer/1``, retained: what the station wants a unit to run."""

    unit: str
    release: int
    sha256: bytes
    """Of the whole file."""
    size_bytes: int
    attempt: int
    """Rises when the same file is offered once more."""
    parts: tuple[str, ...]
    """What it changes."""
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class UpdateBytes:
    """``part/1``: some bytes of an offered file."""

    unit: str
    sha256: bytes
    offset: int
    data: bytes
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class ChunkRequest:
    """``want/1``: the unit wants the bytes from ``offset`` on."""

    unit: str
    boot_id: bytes
    sha256: bytes
    offset: int
    extra: bytes = b""


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """``reported/1``: what the unit runs, and how the latest update stands."""

    unit: str
    boot_id: bytes
    running: int
    committed: int
    release: int
    """The update that state and reason are about; 0 for none."""
    state: UpdateState
    reason: str
    fetched_bytes: int
    config_sha256: bytes
    """Of the whole configuration in force."""
    extra: bytes = b""


def encode_offer(m: UpdateOffer) -> bytes:
    """``offer/1``."""
    return pack(
        {
            "dev": m.unit,
            "len": m.size_bytes,
            "parts": list(m.parts),
            "rel": m.release,
            "sha": m.sha256,
            "try": m.attempt,
            "v": "offer/1",
        },
        m.extra,
    )


def decode_offer(payload: bytes) -> UpdateOffer:
    """Decode what comes on ``dn/cmd``; raises WireError."""
    f, _ = _opened(payload, "offer/1")
    return UpdateOffer(
        unit=check_unit(f.text("dev", 36)),
        release=f.integer("rel", 1, U32),
        sha256=f.binary("sha", _SHA_BYTES, _SHA_BYTES),
        size_bytes=f.integer("len", 1, I63),
        attempt=f.integer("try", 0, U32),
        parts=f.texts("parts", MAX_PARTS, 16),
        extra=f.extra(),
    )


def encode_part(m: UpdateBytes) -> bytes:
    """``part/1``."""
    return pack({"data": m.data, "dev": m.unit, "off": m.offset, "sha": m.sha256, "v": "part/1"}, m.extra)


def decode_part(payload: bytes) -> UpdateBytes:
    """Decode what comes on ``dn/part``; raises WireError."""
    f, _ = _opened(payload, "part/1")
    return UpdateBytes(
        unit=check_unit(f.text("dev", 36)),
        sha256=f.binary("sha", _SHA_BYTES, _SHA_BYTES),
        offset=f.integer("off", 0, I63),
        data=f.binary("data", 1, MAX_PART_BYTES),
        extra=f.extra(),
    )


def encode_chunk_request(m: ChunkRequest) -> bytes:
    """``want/1``."""
    return pack({"boot": m.boot_id, "dev": m.unit, "off": m.offset, "sha": m.sha256, "v": "want/1"}, m.extra)


def encode_report(m: UpdateReport) -> bytes:
    """``reported/1``."""
    return pack(
        {
            "boot": m.boot_id,
            "cfg": m.config_sha256,
            "com": m.committed,
            "dev": m.unit,
            "got": m.fetched_bytes,
            "rel": m.release,
            "run": m.running,
            "state": m.state.value,
            "v": "reported/1",
            "why": m.reason,
        },
        m.extra,
    )


def decode_update(payload: bytes) -> ChunkRequest | UpdateReport:
    """Decode what comes on ``up/upd``; raises WireError."""
    f, schema = _opened(payload, "want/1", "reported/1")
    unit, boot_id = check_unit(f.text("dev", 36)), f.binary("boot", _ID_BYTES, _ID_BYTES)
    if schema == "want/1":
        sha256 = f.binary("sha", _SHA_BYTES, _SHA_BYTES)
        return ChunkRequest(unit, boot_id, sha256, f.integer("off", 0, I63), f.extra())
    state = f.text("state", 32)
    if state not in set(UpdateState):
        f.fail("state", f"is {state!r}, not one of {', '.join(UpdateState)}")
    return UpdateReport(
        unit=unit,
        boot_id=boot_id,
        running=f.integer("run", 0, U32),
        committed=f.integer("com", 0, U32),
        release=f.integer("rel", 0, U32),
        state=UpdateState(state),
        reason=f.text("why", 512),
        fetched_bytes=f.integer("got", 0, I63),
        config_sha256=f.binary("cfg", _SHA_BYTES, _SHA_BYTES),
        extra=f.extra(),
    )


def _opened(payload: bytes, *schemas: str) -> tuple[Fields, str]:
    f = Fields(unpack(payload), "message")
    schema = f.text("v", 32)
    if schema not in schemas:
        raise WireError(f"schema {schema!r} is not one of {', '.join(sorted(schemas))}")
    return f, schema
