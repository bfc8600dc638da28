"""Words that stand on plates and around them, and personal serials: common words, no plate's text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

DEALERS = (
    "MOTORS", "AUTO SALES", "HONDA OF", "CHEVROLET", "TOYOTA", "FORD LINCOLN", "ALUMNI", "KIA", "USED CARS",
    "WWW.EXAMPLE.COM", "AUTO GROUP", "SUBARU", "VOLKSWAGEN", "NISSAN OF", "UNIVERSITY", "STATE UNIVERSITY",
    "MY OTHER CAR", "THE GOLDEN STATE", "FIREFIGHTER", "PROUD PARENT", "I LOVE MY DOG", "HARLEY",
    "CERTIFIED PRE-OWNED", "555-0142", "SINCE 1956", "FAMILY OWNED", "VETERAN", "MARINES", "FOOTBALL",
    "LEXUS OF", "MERCEDES-BENZ", "BUICK GMC", "HYUNDAI",
)  # fmt: skip
SLOGANS = (
    "IN GOD WE TRUST", "VETERAN", "TRUCK", "TRAILER", "COMMERCIAL", "DEALER", "FARM", "APPORTIONED",
    "SPORTS FAN", "PROTECT WILDLIFE", "SUPPORT EDUCATION", "FIREFIGHTER", "ANTIQUE", "HISTORIC VEHICLE",
    "DISABLED", "PASSENGER", "CHOOSE LIFE", "CONSERVATION", "NATIONAL GUARD", "PURPLE HEART", "AMATEUR RADIO",
    "CENTENNIAL", "PERMANENT", "EXEMPT",
)  # fmt: skip
SIDE_WORDS = (
    "DLR", "TRK", "TRAN", "TLR", "VET", "DEALER", "VETERAN", "COMM", "APP", "FARM", "1967", "1954", "1938",
    "72", "TEMP", "EXEMPT", "TAXI", "PERM", "STATE", "RADIO", "POW", "NG", "RES",
)  # fmt: skip
CITIES = (
    "SP - SAO PAULO", "RJ - NITEROI", "MG - BELO HORIZONTE", "PR - CURITIBA", "BA - SALVADOR",
    "RS - PORTO ALEGRE", "SC - JOINVILLE", "ES - VITORIA", "GO - GOIANIA", "PE - RECIFE", "CE - FORTALEZA",
    "DF - BRASILIA", "SP - SANTOS", "RJ - RIO DE JANEIRO", "MG - UBERLANDIA", "SP - CAMPINAS",
)  # fmt: skip
_WORDS = (
    "LOVE", "COOL", "MOM", "DAD", "ZOOM", "GO", "FAST", "BOO", "ROCK", "SNOW", "GOLF", "DOG", "CAT", "BOSS",
    "KING", "QUEEN", "MOON", "SUN", "STAR", "HORSE", "JOY", "HOPE", "WOLF", "FOX", "OTTER", "ROAD", "BOAT",
    "SOLO", "DUO", "TOO", "COLD", "HOT", "BLUE", "GOLD", "ROSE", "LILY", "OAK", "RIVER", "COACH", "DOC",
    "NURSE", "PILOT", "FLY", "JET", "RUN", "SKI", "SURF", "YOGA", "ZEN", "OLD", "NEW", "BIG", "WOW", "YES",
    "OH", "NO", "MY", "THE", "FUN", "GR8", "4U", "2U", "B4", "IM", "HOME", "BROS", "MRS", "OPA", "OMA", "JO",
    "BOB", "TOM", "ROB", "LOU", "ZOE", "CHLOE", "OLLIE", "MOTO", "TORO", "IOWA",
)  # fmt: skip
_CONSONANTS, _VOWELS = "BCDFGHJKLMNPQRSTVWXYZ", "AEIOOUY"


def personal_serial(rng: np.random.Generator, dictionary: Sequence[str]) -> str:
    """A serial as owners choose it: words, syllables, letters with digits; 3 to 7 characters, at times a gap."""
    kind = rng.random()
    if kind < 0.25:
        text = dictionary[rng.integers(len(dictionary))]
        if rng.random() < 0.2:
            text += str(rng.integers(0, 99))
    elif kind < 0.5:
        text = "".join(str(w) for w in rng.choice(_WORDS, int(rng.integers(1, 3))))
        if rng.random() < 0.3:
            text += str(rng.integers(0, 99))
    elif kind < 0.75:
        text = "".join(
            (_CONSONANTS[rng.integers(len(_CONSONANTS))], _VOWELS[rng.integers(len(_VOWELS))])[i % 2]
            for i in range(int(rng.integers(4, 8)))
        )
    else:
        pool = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
        text = "".join(pool[i] for i in rng.integers(len(pool), size=int(rng.integers(3, 8))))
    text = text[:7] if len(text) > 2 else text + "OU"
    if rng.random() < 0.25:
        cut = int(rng.integers(1, len(text)))
        text = f"{text[:cut]} {text[cut:]}"
    return text
