"""``provision.json`` on the boot partition: what a unit needs to enrol; contains no permanent secret."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from protocol.mistakes import mistakes_of
from protocol.written import WrittenFileError, read_bounded
from provision.errors import ProvisionError

CARD = "provision.json"
MAX_CONFIG = 65_536
MAX_CARD_BYTES = 2**20


class Card(BaseModel):
    """One unit's card."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    unit: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,36}$")]
    agency: Annotated[str, Field(min_length=1, max_length=64)]
    enrol_host: Annotated[str, Field(min_length=1, max_length=253)]
    enrol_port: Annotated[int, Field(ge=1, le=65_535)]
    broker_host: Annotated[str, Field(min_length=1, max_length=253)]
    broker_port: Annotated[int, Field(ge=1, le=65_535)] = 8883
    token: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    """Single use and short-lived; invalid after enrolment."""
    ca_pem: Annotated[str, Field(max_length=10_000)]
    station_pem: Annotated[str, Field(max_length=10_000)]
    """Public key of the station that can decrypt the unit's records."""
    receipt_pem: Annotated[str, Field(max_length=10_000)]
    """Public key for the signatures of the station's answers."""
    release_pem: Annotated[str, Field(max_length=1_000)] | None = None
    """Public key for updates; if omitted, the unit accepts none."""
    hotlist_pem: Annotated[str, Field(max_length=10_000)] | None = None
    """Public keys of list authorities; if omitted, the unit has no hot lists."""
    policy_pem: Annotated[str, Field(max_length=10_000)] | None = None
    """Public keys that sign policies; if omitted, only hits are kept."""
    agency_pem: Annotated[str, Field(max_length=10_000)] | None = None
    """Public key of the agency, which signs the roster of officers."""
    config_toml: Annotated[str, Field(max_length=MAX_CONFIG)] = ""
    """The unit's tables, TOML without unit, agency, link and seal; empty for a Pi camera and a serial receiver."""
    gnss: Path | None = Path("/dev/patrol-gnss")
    """Time source while the clock is wrong."""


def load_card(path: Path) -> Card:
    """Read a card; raises ProvisionError."""
    try:
        return Card.model_validate_json(read_bounded(path, MAX_CARD_BYTES))
    except OSError as error:
        raise ProvisionError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        # Without the values: a card has secrets.
        raise ProvisionError(f"{path}: {'; '.join(mistakes_of(error, 'card', with_values=False))}") from None
    except WrittenFileError as error:
        raise ProvisionError(f"{path}: {error}") from error
