"""A search as programs send it and as it is kept; people fill the same fields in a form."""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from station.errors import StoreError
from station.query import Circle, Polygon, ReadSearch
from station.query.plates import MAX_LENGTH, look_alikes, wanted
from station.web.errors import RefusedError
from station.web.texts import is_storable

if TYPE_CHECKING:
    from station.store.search import Place

_Name = Annotated[str, Field(max_length=64)]
_Degrees = Annotated[float, Field(allow_inf_nan=False)]
_MAX_TEXTS = 1024
_MAX_PATTERNS = 256
"""With wildcards, each of which is compared by itself."""
_MAX_PARTS, _LONGEST_PLATE = 3, 10
"""Of one plate that is written with spaces."""
_MAX_INT = 2**63
"""Of the database."""
_NO_PLACE = "this is not where a page starts: search again"


class SearchBody(BaseModel):
    """Conditions on reads; every one that is given must be met."""

    model_config = ConfigDict(extra="forbid")

    plates: Annotated[list[Annotated[str, Field(max_length=MAX_LENGTH)]], Field(max_length=64)] = []
    """Any of these; `*` is any text, `?` one character."""
    contains: bool = False
    """Also plates of which these are a part."""
    look_alike: bool = False
    """Also plates that look like these, such as `O` for `0`."""
    region: _Name = ""
    unit: _Name = ""
    camera: _Name = ""
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0
    since: datetime | None = None
    """When it was made; without a zone it is UTC."""
    until: datetime | None = None
    lat_deg: _Degrees | None = None
    lon_deg: _Degrees | None = None
    radius_m: _Degrees | None = None
    polygon: Annotated[list[tuple[_Degrees, _Degrees]], Field(max_length=1000)] = []
    """Corners, latitude first; instead of a circle."""
    oldest_first: bool = False

    @property
    def drawn(self) -> str:
        """The corners as a form has them; empty for none."""
        return ";".join(f"{lat},{lon}" for lat, lon in self.polygon)

    def to_search(self) -> ReadSearch:
        """Return what the station searches for.  Raises RefusedError for what cannot be searched."""
        try:
            return self._search()
        except StoreError as error:
            # Not a failure of the database: it has not been asked yet.
            raise RefusedError(400, "search", str(error)) from error

    def _search(self) -> ReadSearch:
        since_us, until_us = _us(self.since), _us(self.until)
        if since_us is not None and until_us is not None and until_us < since_us:
            raise RefusedError(400, "search", "the period ends before it begins")
        plates = list(wanted(self.plates))
        if self.look_alike:
            plates = [text for plate in plates for text in look_alikes(plate)]
        if self.contains:
            plates = [f"*{plate}*" for plate in plates]
        has_wildcards = any("*" in plate or "?" in plate for plate in plates)
        if len(plates) > (_MAX_PATTERNS if has_wildcards else _MAX_TEXTS):
            raise RefusedError(400, "plates", f"{len(plates)} texts are too many: give fewer plates")
        return ReadSearch(
            plates=tuple(plates),
            region=self.region.strip().upper() or None,
            unit=self.unit.strip() or None,
            camera=self.camera.strip() or None,
            min_confidence_e4=round(self.min_confidence * 10_000),
            since_us=since_us,
            until_us=until_us,
            area=self._area(),
            ascending=self.oldest_first,
        )

    def _area(self) -> Circle | Polygon | None:
        if self.polygon:
            return Polygon(tuple(self.polygon))
        place = (self.lat_deg, self.lon_deg, self.radius_m)
        if place == (None, None, None):
            return None
        lat_deg, lon_deg, radius_m = place
        if lat_deg is None or lon_deg is None or radius_m is None:
            raise RefusedError(400, "place", "a place needs latitude, longitude and radius")
        return Circle(lat_deg, lon_deg, radius_m)


def body_of_form(fields: dict[str, str]) -> SearchBody:
    """Return the search of a form, whose empty fields are not given.  Raises RefusedError with what is wrong."""
    values: dict[str, Any] = {name: value for name, value in fields.items() if value.strip()}
    if "plates" in values:
        values["plates"] = plates_of(values["plates"])
    try:
        if drawn := values.pop("drawn", ""):
            values["polygon"] = numbers_of(drawn)
        return SearchBody.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = first["loc"][0] if first["loc"] else "search"
        raise RefusedError(400, "search", f"{str(name).replace('_', ' ')}: {first['msg']}") from error
    except ValueError as error:
        raise RefusedError(400, "area", "this is no area: draw it again") from error


def plates_of(typed: str) -> list[str]:
    """Return the plates of a form: with commas or spaces between, or one that is written with spaces."""
    found = []
    for part in typed.split(","):
        words = part.split()
        found += words
        joined = "".join(words)
        if 1 < len(words) <= _MAX_PARTS and len(joined) <= _LONGEST_PLATE:
            found.append(joined)
    return found


def usable_fields(fields: dict[str, str]) -> SearchBody:
    """Return of a form what can be shown again: whoever mistyped one field need not fill in the others."""
    kept = SearchBody()
    for name, value in fields.items():
        with suppress(RefusedError):
            one = body_of_form({name: value})
            kept = kept.model_copy(update={each: getattr(one, each) for each in one.model_fields_set})
    return kept


def numbers_of(drawn: str) -> list[list[float]]:
    """Return the corners of an area as a form has them, or one circle.  Raises ValueError."""
    return [[float(part) for part in corner.split(",")] for corner in drawn.split(";")]


def next_token(place: Place | None) -> str | None:
    """Return where the next page starts, for an address or a program; None after the last one."""
    if place is None:
        return None
    made_us, unit, record_id = place
    return base64.urlsafe_b64encode(f"{made_us}.{record_id.hex()}.{unit}".encode()).decode().rstrip("=")


def place_of(token: str) -> Place | None:
    """Return what :func:`next_token` gave; None for none.  Raises RefusedError."""
    if not token:
        return None
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
        made_us, record_id, unit = text.split(".", 2)
        place = int(made_us), unit, bytes.fromhex(record_id)
    except (ValueError, binascii.Error) as error:
        raise RefusedError(400, "after", _NO_PLACE) from error
    if abs(place[0]) >= _MAX_INT or not is_storable(unit):
        raise RefusedError(400, "after", _NO_PLACE)
    return place


def _us(when: datetime | None) -> int | None:
    if when is None:
        return None
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return round(aware.timestamp() * 1e6)
