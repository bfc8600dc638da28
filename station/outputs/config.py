"""Tables of outputs in ``station.toml``."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

Shared = Literal["hit/1", "disposition/1", "read/1"]
Pattern = Annotated[str, Field(min_length=1, max_length=64)]
_SCHEMES = {"tls": 8089, "tcp": 8087, "udp": 6969}
_LOCAL_NAMES = frozenset({"localhost"})


class Table(BaseModel):
    """A table of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class OutputTable(Table):
    """What an output shares, and how much may wait."""

    name: str = Field(
        pattern=r"^[a-z0-9][a-z0-9-]{0,31}$",
        description="Name of the output; its place in the stream is kept under it",
    )
    records: tuple[Shared, ...] = Field(
        default=("hit/1", "disposition/1"),
        min_length=1,
        description="Types of records: hit/1, disposition/1 (what officers decided), read/1",
    )
    units: tuple[Pattern, ...] = Field(default=("*",), description="Units, by patterns")
    agencies: tuple[Pattern, ...] = Field(default=("*",), description="Agencies of the units, by patterns")
    lists: tuple[Pattern, ...] = Field(
        default=("*",), description="Hot lists of the hits, by patterns of their ids"
    )
    plates: bool = Field(default=False, description="Send plates, and what lists say of them")
    positions: bool = Field(default=True, description="Send positions")
    officers: bool = Field(default=False, description="Send badge, shift and note of officers")
    max_age_h: float = Field(
        default=72,
        gt=0,
        le=24 * 30,
        description="Hours after which a record is given up, and kept as a dead letter",
    )
    max_waiting: int = Field(
        default=100_000, ge=100, le=10_000_000, description="Records that may wait; the oldest are then left out"
    )


class CotOutput(OutputTable):
    """Cursor-on-Target events for TAK: hits as leads, and positions of units."""

    kind: Literal["cot"]
    url: str = Field(description="tls://HOST:PORT of a TAK server; also tcp:// and udp://")
    ca: Path | None = Field(default=None, description="Authorities of the server's certificate, PEM")
    cert: Path | None = Field(default=None, description="Certificate of this station, PEM")
    key: Path | None = Field(default=None, description="Private key of the certificate, PEM")
    unencrypted: bool = Field(
        default=False, description="Allow tcp:// or udp:// to another machine; never with plates"
    )
    stale_s: float = Field(default=600, ge=10, le=86_400, description="Seconds after which a hit is stale")
    show_units: bool = Field(default=True, description="Also send where units are, by their latest read")
    unit_every_s: float = Field(
        default=15, ge=1, le=3_600, description="Minimum seconds between positions of a unit"
    )
    unit_stale_s: float = Field(
        default=120, ge=10, le=86_400, description="Seconds after which a unit's position is stale"
    )
    plate_distance_m: float = Field(
        default=25, ge=0, le=200, description="Maximum distance of a read plate from the unit, added to the error"
    )

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        target = urlsplit(self.url)
        if target.scheme not in _SCHEMES or not target.hostname or target.path not in {"", "/"}:
            raise ValueError("url: use tls://HOST:PORT, tcp://HOST:PORT or udp://HOST:PORT")
        _ = self.address
        if (self.cert is None) != (self.key is None):
            raise ValueError("cert and key: give both, or neither")
        if target.scheme != "tls" and not is_local(target.hostname):
            if not self.unencrypted:
                raise ValueError(f"url: {target.scheme}:// is not encrypted: use tls://, or unencrypted = true")
            if self.plates:
                raise ValueError("plates: are sent over tls:// only")
        return self

    @property
    def scheme(self) -> str:
        """``tls``, ``tcp`` or ``udp``."""
        return urlsplit(self.url).scheme

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        target = urlsplit(self.url)
        return target.hostname or "", target.port or _SCHEMES[target.scheme]

    @property
    def wanted(self) -> tuple[str, ...]:
        """Types of records that it follows."""
        return tuple(sorted({*self.records, *(("read/1",) if self.show_units else ())}))


class WebhookOutput(OutputTable):
    """Signed HTTPS requests, one for each record (Standard Webhooks)."""

    kind: Literal["webhook"]
    url: str = Field(description="https:// address; redirects are not followed")
    secret_file: Path = Field(description="File from `patrol-lpr station outputs secret`")
    ca: Path | None = Field(default=None, description="Authorities of the server, PEM; if omitted, the system's")
    timeout_s: float = Field(
        default=10,
        ge=1,
        le=60,
        description="Seconds for one request, to the end of its answer",
    )

    @model_validator(mode="after")
    def _is_https(self) -> Self:
        target = urlsplit(self.url)
        if target.scheme != "https" or not target.hostname:
            raise ValueError("url: use https://HOST/PATH")
        if target.username or target.password or target.fragment:
            raise ValueError("url: must not contain a user, a password or a fragment")
        if any(ord(letter) <= ord(" ") or ord(letter) > ord("~") for letter in self.url):
            raise ValueError("url: has characters that no address has")
        _ = target.port
        return self

    @property
    def wanted(self) -> tuple[str, ...]:
        """Types of records that it follows."""
        return self.records


class JsonLinesOutput(OutputTable):
    """A file with one JSON object in each line, or standard output."""

    kind: Literal["jsonl"]
    path: str = Field(description="File, or - for standard output")
    max_mib: float = Field(default=100, ge=0.01, le=100_000, description="MiB after which a new file is begun")
    keep: int = Field(default=5, ge=0, le=1_000, description="Number of older files, PATH.1 and so on")

    @property
    def wanted(self) -> tuple[str, ...]:
        """Types of records that it follows."""
        return self.records


AnyOutput = Annotated[CotOutput | WebhookOutput | JsonLinesOutput, Field(discriminator="kind")]


def is_local(host: str) -> bool:
    """True for this machine."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host in _LOCAL_NAMES
