"""The classes of the region head and what the data sets say about them."""

from __future__ import annotations

import re

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
BLANK = len(ALPHABET)

STATES = {
    "ALABAMA": "AL", "ALASKA": "AK", "ARIZONA": "AZ", "ARKANSAS": "AR", "CALIFORNIA": "CA", "COLORADO": "CO",
    "CONNECTICUT": "CT", "DELAWARE": "DE", "FLORIDA": "FL", "GEORGIA": "GA", "HAWAI": "HI", "HAWAII": "HI",
    "IDAHO": "ID", "ILLINOIS": "IL", "INDIANA": "IN", "IOWA": "IA", "KANSAS": "KS", "KENTUCKY": "KY",
    "LOUISIANA": "LA", "MAINE": "ME", "MARYLAND": "MD", "MASSACHUSETTS": "MA", "MICHIGAN": "MI", "MINNESOTA": "MN",
    "MISSISSIPPI": "MS", "MISSIPPI": "MS", "MISSOURI": "MO", "MONTANA": "MT", "NEBRASKA": "NE", "NEVADA": "NV",
    "NEW HAMPSHIRE": "NH", "NEW JERSEY": "NJ", "NEW MEXICO": "NM", "NEW YORK": "NY", "NORTH CAROLINA": "NC",
    "NORTH DAKOTA": "ND", "OHIO": "OH", "OKLAHOMA": "OK", "OREGON": "OR", "PENNSYLVANIA": "PA",
    "RHODE ISLAND": "RI", "SOUTH CAROLINA": "SC", "SOUTH DAKOTA": "SD", "TENNESSEE": "TN", "TEXAS": "TX",
    "UTAH": "UT", "VERMONT": "VT", "VIRGINIA": "VA", "WASHINGTON": "WA", "WASHINGTON DC": "DC",
    "WEST VIRGINIA": "WV", "WISCONSIN": "WI", "WYOMING": "WY",
}  # fmt: skip
"""State names as the labels write them ("HAWAI" and "MISSIPPI" are theirs) to postal codes."""

REGIONS = (*(f"US-{code}" for code in sorted(set(STATES.values()))), "US-OTHER", "MX", "CA", "EU", "BR", "OTHER")
UNLABELLED = -100
"""Class index that the region loss ignores."""

_EU_SETS = frozenset({"rl", "efm_self"})
_BRITISH = re.compile(r"[A-Z]{2}[0-9]{2}[A-Z]{3}")


def region_of(label_set: str, state: str, text: str) -> int:
    """Class index of a labelled crop, or UNLABELLED where nobody said and the text does not prove it.

    Outside ``us_state`` a state is a region's name, such as US-CA.  Territories fold into US-OTHER.  Two letters, two
    digits, three letters in ``openlpr`` is a British plate.
    """
    if label_set == "us_state":
        return REGIONS.index(f"US-{STATES[state]}" if state in STATES else "US-OTHER")
    if state in REGIONS:
        return REGIONS.index(state)
    if label_set in _EU_SETS:
        return REGIONS.index("EU")
    if label_set == "openlpr" and _BRITISH.fullmatch(text):
        return REGIONS.index("OTHER")
    return UNLABELLED


def encode(text: str) -> list[int]:
    """Class indices of a text.  Raises ValueError for a character outside the alphabet."""
    return [ALPHABET.index(c) for c in text]
