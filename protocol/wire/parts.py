"""Maps used in several messages: geotag, time quality, picture."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from protocol.wire.codec import I32, NAMED, U8, U16, U32, Part, Sha256, Text32, key
from protocol.wire.enums import FixQuality, GeotagMethod, PictureKind, TimeSource


class TimeQuality(Part):
    """Source and uncertainty of a time."""

    source: Annotated[TimeSource, NAMED, key("src")]
    uncertainty_ms: Annotated[U32 | None, key("unc_ms")]


class Place(Part):
    """Position of an event, with method and error bound."""

    method: Annotated[GeotagMethod, NAMED, key("how")]
    lat_e7: Annotated[Annotated[int, Field(strict=True, ge=-900_000_000, le=900_000_000)] | None, key("lat")]
    lon_e7: Annotated[Annotated[int, Field(strict=True, ge=-1_800_000_000, le=1_800_000_000)] | None, key("lon")]
    error_cm: Annotated[U32 | None, key("acc_cm")]
    fix_age_ms: Annotated[U32 | None, key("age_ms")]
    speed_cmps: Annotated[U16 | None, key("spd_cms")]
    course_cdeg: Annotated[Annotated[int, Field(strict=True, ge=0, le=36_000)] | None, key("crs_cdeg")]
    alt_cm: Annotated[I32 | None, key("alt_cm")]
    hdop_c: Annotated[U16 | None, key("hdop_c")]
    satellites: Annotated[U8 | None, key("sats")]
    quality: Annotated[FixQuality, NAMED, key("fix")]

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        if (self.lat_e7 is None) != (self.lon_e7 is None):
            raise ValueError("lat and lon must both be present or both be nil")
        return self

    @property
    def lat_deg(self) -> float | None:
        """Latitude in degrees."""
        return None if self.lat_e7 is None else self.lat_e7 / 1e7

    @property
    def lon_deg(self) -> float | None:
        """Longitude in degrees."""
        return None if self.lon_e7 is None else self.lon_e7 / 1e7

    @property
    def error_m(self) -> float | None:
        """One-sigma bound of the position in metres."""
        return None if self.error_cm is None else self.error_cm / 100


class PictureRef(Part):
    """A picture that belongs to a record; its bytes are sent as chunks."""

    kind: Annotated[PictureKind, NAMED, key("kind")]
    sha256: Annotated[Sha256, key("sha")]
    size_bytes: Annotated[int, Field(strict=True, ge=1, le=2**32 - 1), key("len")]
    width_px: Annotated[U16, key("w")]
    height_px: Annotated[U16, key("h")]


class Retention(Part):
    """Retention policy of a record."""

    policy_class: Annotated[Text32, key("cls")]
