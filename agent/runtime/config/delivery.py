"""Tables about what is stored, sealed and sent: [outbox], [sync], [seal]."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from agent.buffer import Limits
from agent.runtime.config.table import Table
from agent.sync.metering import MeteringConfig
from agent.sync.uplink import UplinkConfig
from hw.paths import CONFIG_DIR

_MEBI = 2**20
_KIBI = 2**10
_LIMITS = Limits()
_UPLINK = UplinkConfig()


class OutboxTable(Table):
    """Limits of the outbox."""

    max_mib: int = Field(
        default=_LIMITS.max_bytes // _MEBI, ge=1, le=2**20, description="Maximum size of the outbox in MiB"
    )
    min_free_mib: int = Field(
        default=_LIMITS.min_free_bytes // _MEBI,
        ge=0,
        le=2**20,
        description="Free disk space in MiB below which pictures are evicted and only reads are added",
    )
    write_budget_mib_h: int = Field(
        default=2048,
        ge=1,
        le=2**20,
        description="Writes per hour in MiB above which a warning is raised (flash wear)",
    )
    ballast_mib: int = Field(
        default=_LIMITS.ballast_bytes // _MEBI,
        ge=0,
        le=1024,
        description="Size in MiB of the ballast file that is deleted when the disk is full",
    )

    def limits(self) -> Limits:
        """For the outbox."""
        return Limits(
            max_bytes=self.max_mib * _MEBI,
            min_free_bytes=self.min_free_mib * _MEBI,
            ballast_bytes=self.ballast_mib * _MEBI,
        )


class SyncTable(Table):
    """Sending of records and pictures."""

    window: int = Field(
        default=_UPLINK.window,
        ge=1,
        le=1000,
        description="Maximum number of messages in flight; fewer on slow links",
    )
    receipt_timeout_s: float = Field(
        default=_UPLINK.receipt_timeout_s, gt=0, le=3600, description="Seconds after which a receipt is overdue"
    )
    chunk_kib: int = Field(
        default=_UPLINK.chunk_bytes // _KIBI, ge=1, le=64, description="Size of a picture chunk in KiB"
    )
    pictures: bool = Field(default=_UPLINK.send_pictures, description="Send pictures as well as reads")
    metered_pictures: bool = Field(
        default=_UPLINK.metering.pictures,
        description="Also send pictures over metered links; reads are always sent",
    )
    metered_picture_mib_h: float | None = Field(
        default=None, gt=0, description="Maximum MiB of pictures per hour over metered links; if omitted, no limit"
    )
    unmetered_interfaces: tuple[str, ...] = Field(
        default=("wlan", "wl", "eth", "en", "lo"),
        description="Name prefixes of unmetered network interfaces",
    )
    health_s: float = Field(default=60, ge=1, le=3600, description="Seconds between health messages")

    def uplink_config(self) -> UplinkConfig:
        """For the uplink."""
        budget_mib_h = self.metered_picture_mib_h
        return UplinkConfig(
            window=self.window,
            receipt_timeout_s=self.receipt_timeout_s,
            chunk_bytes=self.chunk_kib * _KIBI,
            send_pictures=self.pictures,
            metering=MeteringConfig(
                None if budget_mib_h is None else round(budget_mib_h * _MEBI), pictures=self.metered_pictures
            ),
        )


class SealTable(Table):
    """Encryption and signatures of records."""

    mode: Literal["on", "off"] = Field(
        default="on",
        description="on: records are signed, chained and encrypted; off: they are stored unencrypted",
    )
    station_key: Path = Field(
        default=CONFIG_DIR / "station.pub", description="Public key of the station that can decrypt records"
    )
    receipt_key: Path | None = Field(
        default=None,
        description="receipt.pub of the station: only answers signed with it are accepted; if omitted, all are",
    )
    unit_key: Path | None = Field(
        default=None,
        description="Private key of this unit; if omitted, unit.key from the service's credentials or /etc/patrol-lpr",
    )
