"""What plates look like: colours, names and serial formats by issuing region.

Formats: L letter, D digit, space a gap, - a dash, * an emblem, ! a pair of small stacked characters and | a word
written downwards, neither part of the read text; other characters are themselves.  Colours are RGB.  Designs are drawn after common knowledge of
current plates and are deliberately rough: they fill gaps of real data, they do not reproduce any plate.
"""

# ruff: noqa: E501 - one design a line reads as a table

from __future__ import annotations

from dataclasses import dataclass, replace

Colour = tuple[int, int, int]
WHITE, BLACK, NAVY, RED, GREEN, BLUE = (
    (240, 240, 238), (22, 22, 24), (28, 38, 100), (185, 30, 45), (10, 95, 60), (40, 75, 165),
)  # fmt: skip
SKY, GOLD, YELLOW, CREAM, SILVER = (
    (160, 200, 235), (243, 180, 40), (245, 215, 80), (240, 232, 205), (190, 192, 195),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Design:
    """One plate design.  `band` is the European blue strip ("left") or the Mercosul one ("top").

    `formats` are the issuer's usual ones, which the agent may propose; `others` are drawn as well: temporary plates,
    special series, formats that have just begun.
    """

    region: str
    top: Colour
    bottom: Colour
    ink: Colour
    formats: tuple[str, ...]
    name: str = ""
    slogan: str = ""
    name_colour: Colour = NAVY
    aspect: float = 2.0
    band: str = ""
    faces: str = "US"
    serial_height: float = 0.5
    weight: float = 1.0
    others: tuple[str, ...] = ()


def _us(  # noqa: PLR0917 - a row of the table below
    code: str, name: str, slogan: str, top: Colour, bottom: Colour, name_colour: Colour, ink: Colour, *formats: str
) -> Design:
    return Design(f"US-{code}", top, bottom, ink, formats, name, slogan, name_colour)


def _more(*row: str | Colour) -> Design:
    """A current, special or temporary design of a state: its formats are drawn, not proposed."""
    design = _us(*row)
    return replace(design, formats=(), others=design.formats)


US = (
    _us("AL", "Alabama", "Heart of Dixie", SKY, WHITE, RED, NAVY, "DLLDDDD", "DDLDDLL", "DLDDLLL"),
    _us("AK", "ALASKA", "The Last Frontier", GOLD, GOLD, BLUE, NAVY, "LLL DDD", "LLL*DDD"),
    _us("AZ", "ARIZONA", "Grand Canyon State", WHITE, (90, 110, 160), BLUE, (20, 70, 70), "LLLDDDD", "LLL LDL"),
    _us("AR", "Arkansas", "The Natural State", WHITE, SILVER, NAVY, BLACK, "LLL DDL", "DDD LLL"),
    _us("CA", "California", "dmv.ca.gov", WHITE, WHITE, RED, NAVY, "DLLLDDD", "DLLLDDD", "DLDDDDD"),
    _us("CO", "COLORADO", "", WHITE, GREEN, GREEN, (15, 80, 50), "LLL-DDD", "LLL-LDD", "DDD-LLL"),
    _us("CT", "Connecticut", "Constitution State", (110, 160, 215), WHITE, NAVY, NAVY, "LL DDDDD", "DLLLLD", "DDD-LLL"),
    _us("DE", "DELAWARE", "The First State", (20, 42, 92), (20, 42, 92), YELLOW, (228, 190, 90), "DDDDDD", "LDDDDD"),
    _us("FL", "FLORIDA", "Sunshine State", WHITE, WHITE, GREEN, GREEN, "LLL*LDD", "LLL*DDL", "DDL*LLL", "LLLLDD"),
    _us("GA", "GEORGIA", "In God We Trust", WHITE, (245, 215, 190), BLACK, BLACK, "LLL*DDDD", "LLLDDDD", "DDDD LL"),
    _us("HI", "HAWAII", "Aloha State", WHITE, (250, 215, 215), BLACK, BLACK, "LLL DDD"),
    _us("ID", "IDAHO", "Famous Potatoes", (215, 120, 120), (180, 205, 235), NAVY, NAVY, "DL LDDDD", "L DDDDDD"),
    _us("IL", "Illinois", "Land of Lincoln", (150, 190, 225), WHITE, NAVY, RED, "LL DDDDD", "LDD DDDD", "DDD DDDD"),
    _us("IN", "INDIANA", "In God We Trust", SKY, WHITE, NAVY, NAVY, "DDDLLL", "DDD L", "LLL DDD"),
    _us("IA", "IOWA", "POLK", (140, 180, 225), WHITE, NAVY, NAVY, "LLL DDD", "DDD LLL"),
    _us("KS", "KANSAS", "", (180, 210, 235), (225, 235, 245), NAVY, NAVY, "DDD LLL", "DDDD L"),
    _us("KY", "Kentucky", "Bluegrass State", (110, 150, 215), WHITE, WHITE, NAVY, "DDD LLL", "LDL DDD"),
    _us("LA", "Louisiana", "Sportsman's Paradise", WHITE, (190, 215, 235), RED, NAVY, "DDD LLL", "LLL DDD"),
    _us("ME", "MAINE", "Vacationland", WHITE, (205, 225, 200), GREEN, (20, 60, 45), "DDDD LL", "DDD LL"),
    _us("MD", "MARYLAND", "", WHITE, WHITE, BLACK, BLACK, "DLL DDDD", "DLL*DDDD", "LLL DDD"),
    _us("MA", "Massachusetts", "The Spirit of America", WHITE, WHITE, BLUE, RED, "DLL DDD", "DLLLDD", "DDDD LL"),
    _us("MI", "MICHIGAN", "Great Lakes Splendor", (60, 110, 180), WHITE, WHITE, NAVY, "LLL DDDD", "DLLLDD"),
    _us("MN", "Minnesota", "10,000 lakes", (150, 200, 235), (200, 225, 240), NAVY, BLUE, "LLL*DDD", "DDD*LLL"),
    _us("MS", "Mississippi", "", CREAM, (230, 215, 180), NAVY, NAVY, "LLL DDDD", "LLL DDD", "!DDDDD"),
    _us("MO", "MISSOURI", "Show-Me State", WHITE, (150, 190, 215), NAVY, BLUE, "LLD LDL", "LLD*LDL", "DDD LLL"),
    _us("MT", "MONTANA", "Treasure State", (60, 90, 150), (60, 90, 150), WHITE, WHITE, "DDDDDDL", "D-DDDDDL"),
    _us("NE", "NEBRASKA", "", WHITE, CREAM, NAVY, BLACK, "LLL DDD", "DD-LDDD", "D-LDDDD"),
    _us("NV", "NEVADA", "The Silver State", (190, 205, 225), (215, 205, 190), NAVY, NAVY, "DDDLDD", "DDD*LLL", "DDL DDD"),
    _us("NH", "NEW HAMPSHIRE", "Live Free or Die", WHITE, (190, 220, 190), GREEN, GREEN, "DDD DDDD", "DDDDDDD"),
    _us("NJ", "NEW JERSEY", "Garden State", (245, 225, 120), WHITE, BLACK, BLACK, "LDD LLL", "LLL DDL", "LLL-DDL"),
    _us("NM", "NEW MEXICO", "Land of Enchantment", YELLOW, YELLOW, RED, RED, "DDD LLL", "LLLLDD", "LLL*DDD"),
    _us("NM", "NEW MEXICO", "Land of Enchantment", (0, 150, 165), (0, 150, 165), YELLOW, YELLOW, "LLLLDD", "DDD LLL"),
    _us("NY", "NEW YORK", "Empire State", GOLD, GOLD, NAVY, NAVY, "LLL-DDDD", "LLL DDDD"),
    _us("NY", "NEW YORK", "Excelsior", WHITE, WHITE, NAVY, NAVY, "LLL DDDD", "LLL-DDDD"),
    _us("NC", "NORTH CAROLINA", "First in Flight", WHITE, (215, 230, 240), RED, BLUE, "LLL-DDDD", "LLL-DDDD"),
    _us("ND", "NORTH DAKOTA", "Legendary", (70, 130, 190), (240, 205, 150), WHITE, BLACK, "DDD LLL"),
    _us("OH", "OHIO", "Birthplace of Aviation", (200, 220, 240), WHITE, RED, NAVY, "LLL DDDD", "LLL*DDDD"),
    _us("OK", "OKLAHOMA", "Imagine That", (140, 195, 225), WHITE, NAVY, NAVY, "LLL-DDD", "DDD-LLL"),
    _us("OR", "Oregon", "", (170, 205, 235), (200, 205, 190), NAVY, NAVY, "DDD LLL", "DDD*LLL"),
    _us("PA", "PENNSYLVANIA", "visitPA.com", (50, 90, 165), (245, 220, 110), WHITE, NAVY, "LLL-DDDD", "LLL DDDD"),
    _us("RI", "Rhode Island", "Ocean State", WHITE, (150, 190, 225), NAVY, NAVY, "LL DDD", "DDDDDD", "DLL DDD"),
    _us("SC", "SOUTH CAROLINA", "While I breathe, I hope", (150, 190, 220), WHITE, NAVY, NAVY, "LLL DDD", "DDDD LL"),
    _us("SD", "South Dakota", "Great Faces. Great Places.", (170, 205, 235), WHITE, RED, NAVY, "DLD DDD", "DDL DDD"),
    _us("TN", "TENNESSEE", "The Volunteer State", (200, 220, 195), WHITE, NAVY, NAVY, "LLL DDDD", "LDD DDL", "DDD-LLL"),
    _us("TN", "TENNESSEE", "", (25, 40, 85), (25, 40, 85), WHITE, WHITE, "LLL DDDD", "DDD LLLL"),
    _us("TX", "TEXAS", "The Lone Star State", WHITE, WHITE, BLACK, BLACK, "LLL-DDDD", "LLL*DDDD", "DLL*LDDD", "LLD*LDDD"),
    _us("UT", "UTAH", "Life Elevated", (150, 190, 230), (230, 170, 120), NAVY, NAVY, "LDD DLL", "DLD DLL", "LDDD LL"),
    _us("VT", "VERMONT", "Green Mountain State", (10, 85, 60), (10, 85, 60), WHITE, WHITE, "LLL DDD", "DDDLD"),
    _us("VA", "VIRGINIA", "Virginia is for Lovers", WHITE, WHITE, NAVY, BLUE, "LLL-DDDD", "LLL DDDD"),
    _us("WA", "WASHINGTON", "Evergreen State", WHITE, (190, 215, 235), RED, NAVY, "LLLDDDD", "DDD LLL", "LLL DDDD"),
    _us("WV", "West Virginia", "Wild, Wonderful", (45, 80, 150), WHITE, YELLOW, NAVY, "DLL DDD", "LLL DDD"),
    _us("WI", "WISCONSIN", "America's Dairyland", WHITE, (225, 230, 215), RED, BLACK, "LLL-DDDD", "DDD-LLL"),
    _us("WY", "WYOMING", "", (170, 200, 225), (200, 195, 180), NAVY, NAVY, "DD*DDDDD", "D*DDDDD", "DD DDDDL"),
    _us("DC", "WASHINGTON, DC", "Taxation Without Representation", WHITE, WHITE, RED, NAVY, "LL DDDD", "LL*DDDD"),
    _more("AL", "ALABAMA", "Sweet Home", (175, 215, 235), (250, 235, 210), NAVY, NAVY, "DDLDDLL", "DLDDLLL", "DDDDLLL"),
    _more("AK", "ALASKA", "The Last Frontier", SKY, (120, 100, 80), RED, BLACK, "LLL DDD", "LLL*DDD"),
    _more("AZ", "ARIZONA", "Grand Canyon State", (240, 200, 150), (110, 90, 150), WHITE, (20, 70, 60), "LLLDLDL", "LDLDLDL", "DLLDLDL"),
    _more("CA", "CALIFORNIA", "", BLACK, BLACK, GOLD, GOLD, "DLLLDDD", "LLL DDD", "DLDDDDD"),
    _more("CA", "CALIFORNIA", "", (25, 50, 110), (25, 50, 110), GOLD, GOLD, "DDDLLL", "LLL DDD"),
    _more("CA", "California", "", WHITE, WHITE, RED, NAVY, "DLLLDDD", "DLLLDDD", "DLLLDDD", "DDDDDLD"),
    _more("CO", "COLORADO", "", (30, 80, 55), (240, 240, 240), WHITE, WHITE, "LLL-LDD", "LLL-DDD"),
    _more("CO", "COLORADO", "", BLACK, BLACK, WHITE, WHITE, "LLL-LDD", "LLLLDD"),
    _more("CO", "COLORADO", "", (140, 25, 40), (140, 25, 40), WHITE, WHITE, "LLL-LDD"),
    _more("CT", "CONNECTICUT", "Constitution State", (20, 60, 120), (20, 60, 120), WHITE, WHITE, "DDD-LLL", "LLL-DDD"),
    _more("DE", "DELAWARE", "The First State", BLACK, BLACK, WHITE, WHITE, "DDDD", "DDDDD"),
    _more("FL", "MYFLORIDA.COM", "Sunshine State", WHITE, WHITE, GREEN, GREEN, "LLL LDD", "DDLLLL", "LLL*DDL", "LDD DLL"),
    _more("GA", "GEORGIA", "PEACH STATE", (240, 225, 200), (245, 190, 130), BLACK, BLACK, "LLLDDDD", "LLL DDDD"),
    _more("IA", "IOWA", "", BLACK, BLACK, WHITE, WHITE, "LLL DDD", "LLLDDD"),
    _more("IL", "Illinois", "Land of Lincoln", (130, 175, 215), (230, 235, 245), NAVY, RED, "LL DDDDD", "LLDDDDD", "DDDDDDL"),
    _more("IN", "INDIANA", "", (60, 90, 140), WHITE, WHITE, BLACK, "DDDLLL", "LLLDDD"),
    _more("KS", "KANSAS", "To the stars", CREAM, (230, 190, 90), NAVY, NAVY, "DDDDLLL", "LLL DDD"),
    _more("KY", "KENTUCKY", "In God We Trust", (30, 60, 120), WHITE, WHITE, NAVY, "LDL DDD", "LLL DDD"),
    _more("MA", "MASSACHUSETTS", "", GREEN, WHITE, GREEN, GREEN, "DDD-LLL", "DDDLLL"),
    _more("MD", "MARYLAND", "", WHITE, (240, 205, 120), BLACK, BLACK, "DLL DDDD", "DLLDDDD"),
    _more("ME", "MAINE", "Vacationland", WHITE, CREAM, NAVY, BLACK, "DDDLLL", "DDD LLL"),
    _more("MI", "MICHIGAN", "WATER-WINTER WONDERLAND", (30, 60, 120), (30, 60, 120), GOLD, GOLD, "LLLDDD", "DLLLDD"),
    _more("MI", "Michigan", "Pure Michigan", WHITE, WHITE, BLUE, NAVY, "LLL DDDD", "DLLLDD", "LLL DDDD"),
    _more("MN", "MINNESOTA", "", BLACK, BLACK, WHITE, WHITE, "LLL DDD", "DDD LLL"),
    _more("MO", "MISSOURI", "BICENTENNIAL", WHITE, (200, 220, 235), RED, NAVY, "LLD LDL", "LLD*LDL"),
    _more("MS", "MISSISSIPPI", "", WHITE, (205, 225, 240), NAVY, NAVY, "LLL DDDD", "LLLDDDD"),
    _more("MT", "MONTANA", "", BLACK, BLACK, WHITE, WHITE, "LLLDDD", "DDDDDDL"),
    _more("NC", "NORTH CAROLINA", "First in Freedom", WHITE, (235, 225, 205), NAVY, RED, "LLL-DDDD", "LLLDDDD"),
    _more("NE", "NEBRASKA", "The Good Life", (235, 225, 205), (240, 200, 130), BLACK, BLACK, "LLL DDD", "LLLDDD"),
    _more("NJ", "NEW JERSEY", "Garden State", (30, 40, 80), (30, 40, 80), GOLD, GOLD, "LLL-DDL", "LDD-LLL"),
    _more("NV", "NEVADA", "Home Means Nevada", (110, 150, 200), (225, 205, 170), NAVY, NAVY, "DDDLDD", "DDL DDD", "LLL DDD"),
    _more("OH", "OHIO", "BIRTHPLACE OF AVIATION", (170, 205, 235), (245, 205, 130), NAVY, NAVY, "LLL DDDD", "LLLDDDD"),
    _more("OK", "OKLAHOMA", "IMAGINE THAT", (25, 60, 120), (190, 220, 235), WHITE, NAVY, "LLL-DDD", "LLLDDD", "LL LDDD"),
    _more("OR", "OREGON", "PACIFIC WONDERLAND", (25, 50, 100), (25, 50, 100), GOLD, GOLD, "DDD LLL", "LLL DDD"),
    _more("PA", "PENNSYLVANIA", "LET FREEDOM RING", WHITE, (205, 215, 230), NAVY, NAVY, "LLL-DDDD", "LLLDDDD"),
    _more("RI", "RHODE ISLAND", "Ocean State", (170, 205, 230), (60, 110, 170), NAVY, NAVY, "DLLDDD", "LLDDD", "DDDDDD"),
    _more("TX", "TEXAS", "", BLACK, BLACK, WHITE, WHITE, "LLL*DDDD", "LLLDDDD", "LLDLDDD"),
    _more("TX", "TEXAS", "", WHITE, (205, 220, 235), NAVY, NAVY, "LLL DDDD", "DDL LLD", "LLD LDDD"),
    _more("UT", "UTAH", "IN GOD WE TRUST", BLACK, BLACK, WHITE, WHITE, "LDD DLL", "DLD DLL"),
    _more("VA", "VIRGINIA", "", (190, 215, 235), (240, 215, 160), NAVY, NAVY, "LLL-DDDD", "LLLDDDD", "DDDDLL"),
    _more("WI", "WISCONSIN", "", BLACK, BLACK, WHITE, WHITE, "LLL-DDDD", "LLLDDDD"),
    _more("WA", "WASHINGTON", "", (25, 40, 80), (25, 40, 80), WHITE, WHITE, "LLLDDDD", "LLLDDDD"),
    _more("DC", "WASHINGTON, DC", "END TAXATION WITHOUT REPRESENTATION", WHITE, WHITE, NAVY, NAVY, "LL DDDD", "LLDDDD"),
    _more("TX", "TEXAS", "TEMPORARY  EXPIRES 03/14", WHITE, WHITE, BLACK, BLACK, "DDDDDLD", "DDLDDDD"),
    _more("CO", "COLORADO", "TEMPORARY PERMIT", WHITE, WHITE, BLACK, BLACK, "DDDDDDL", "LLDDDDD"),
    _more("CA", "CALIFORNIA", "TEMPORARY", WHITE, WHITE, BLACK, BLACK, "LLDDLDD", "BDDLDDL"),
    _more("FL", "FLORIDA", "TEMPORARY TAG  EXP", WHITE, CREAM, BLACK, BLACK, "LLLDDDD", "DDDDDL"),
    _more("GA", "GEORGIA", "TEMPORARY OPERATING PERMIT", WHITE, WHITE, BLACK, BLACK, "SDDDDDDD", "PDDDDDDD"),
    _more("MD", "MARYLAND", "TEMPORARY REGISTRATION", WHITE, (250, 225, 200), BLACK, BLACK, "TDDDDDD", "DDDDDDT"),
    Design("US-OTHER", WHITE, SKY, NAVY, ("LLL DDD", "LL DDDD", "DDDDDD"), "U.S. GOVERNMENT", "For Official Use Only"),
    Design("US-OTHER", CREAM, WHITE, NAVY, ("LLL DDD", "LLL*DDD"), "PUERTO RICO", "Isla del Encanto", BLUE),
    Design("US-OTHER", WHITE, SKY, BLUE, ("LL DDDD",), "GUAM USA", "Tano Y Chamorro", RED),
)  # fmt: skip

_MEXICAN_STATES = (
    "JALISCO",
    "SONORA",
    "CHIHUAHUA",
    "NUEVO LEON",
    "BAJA CALIFORNIA",
    "PUEBLA",
    "SINALOA",
    "COAHUILA",
)
MEXICO = tuple(
    Design("MX", WHITE, bottom, ink, ("LLL-DDD-L", "LLL-DD-DD", "LDD-LLL", "LL-DDDD-L"), state, "MEXICO", colour)
    for state, bottom, ink, colour in zip(
        _MEXICAN_STATES,
        (WHITE, (245, 220, 200), WHITE, (215, 235, 215), (235, 215, 225), WHITE, (235, 205, 205), SKY),
        (BLACK, BLACK, NAVY, BLACK, BLACK, (20, 60, 40), BLACK, BLACK),
        (GREEN, RED, (120, 60, 20), NAVY, (130, 20, 60), GREEN, RED, NAVY),
        strict=True,
    )
)
CANADA = (
    Design("CA", WHITE, WHITE, BLUE, ("LLLL*DDD", "LLL*DDD", "DDD*LLL"), "ONTARIO", "Yours to Discover", BLUE),
    Design("CA", WHITE, WHITE, BLUE, ("LDD LLL", "DDD LLL", "LLL DDD"), "Quebec", "Je me souviens", BLUE),
    Design("CA", WHITE, WHITE, BLUE, ("LL*DDD L", "LLL*DDD", "DDD LLL"), "British Columbia", "Beautiful", BLUE),
    Design("CA", WHITE, WHITE, RED, ("LLL-DDDD", "LLL DDD"), "Alberta", "Wild Rose Country", RED),
    Design("CA", (170, 200, 230), CREAM, NAVY, ("LLL DDD",), "MANITOBA", "Friendly", RED),
    Design("CA", WHITE, WHITE, GREEN, ("DDD LLL", "LLL DDD"), "Saskatchewan", "Land of Living Skies", GREEN),
    Design("CA", WHITE, SKY, NAVY, ("LLL DDD",), "NOVA SCOTIA", "Canada's Ocean Playground", BLUE),
)


def _eu(name: str, *formats: str, back: Colour = WHITE, ink: Colour = BLACK) -> Design:
    return Design(
        "EU", back, back, ink, formats, name, aspect=4.6, band="left", faces="EU", serial_height=0.74, weight=0.8
    )


EUROPE = (
    _eu("D", "L*LL DDDD", "LL*L DDDD", "LLL*LL DDD", "LL*LL DDDD", "L*L DDDD"), _eu("F", "LL-DDD-LL"),
    _eu("I", "LL DDDLL"), _eu("E", "DDDD LLL"), _eu("NL", "LL-DDD-L", "DD-LLL-D", back=YELLOW), _eu("PL", "LL DDDDD"),
    _eu("RO", "L DDD LLL", "LL DD LLL"), _eu("SK", "LL*DDDLL"), _eu("CZ", "DLD DDDD", "DLL DDDD"), _eu("H", "LLL-DDD"),
    _eu("S", "LLL DDD", "LLL DDL"), _eu("B", "D-LLL-DDD", ink=RED), _eu("P", "DD-LL-DD", "LL-DD-LL"),
    _eu("A", "L*DDDDDL", "LL*DDDLL", ink=BLACK), _eu("FIN", "LLL-DDD"), _eu("HR", "LL*DDDD-LL", "LL*DDD-LL"),
    _eu("BG", "LL DDDD LL", "L DDDD LL"), _eu("SLO", "LL*DD-LLL"), _eu("LT", "LLL*DDD"), _eu("L", "LL DDDD", back=YELLOW),
    _eu("IRL", "DDD-L-DDDDD", "DDD-D-DDDD"), _eu("GR", "LLL-DDDD"), _eu("EST", "DDD LLL"), _eu("LV", "LL-DDDD"),
)  # fmt: skip
_MERCOSUL_INKS = ((BLACK, 3.0), (RED, 0.7), (BLUE, 0.4), ((20, 110, 60), 0.3))
BRAZIL = (
    *(
        Design("BR", WHITE, WHITE, ink, ("LLLDLDD",), "BRASIL", aspect=3.1, band="top", faces="BR", serial_height=0.6,
               weight=weight)
        for ink, weight in _MERCOSUL_INKS
    ),
    Design("BR", SILVER, SILVER, BLACK, ("LLL-DDDD", "LLL DDDD"), "BR", aspect=3.1, faces="BR", serial_height=0.6,
           name_colour=BLACK, weight=4.0),
    Design("BR", (160, 163, 166), (160, 163, 166), BLACK, ("LLL-DDDD",), "BR", aspect=3.1, faces="BR", serial_height=0.6,
           name_colour=BLACK, weight=2.0),
    Design("BR", (185, 40, 50), (185, 40, 50), WHITE, ("LLL-DDDD",), "BR", aspect=3.1, faces="BR",
           serial_height=0.6, name_colour=WHITE, weight=1.0),
)  # fmt: skip
OTHER = (
    Design(
        "OTHER",
        WHITE,
        WHITE,
        BLACK,
        (),
        "REPUBLICA ARGENTINA",
        aspect=3.1,
        band="top",
        faces="BR",
        serial_height=0.58, others=("LL DDD LL",),
    ),
    Design("OTHER", YELLOW, YELLOW, BLACK, ("LLDD LLL",), aspect=4.6, faces="EU", serial_height=0.72, weight=2.0),
    Design("OTHER", WHITE, WHITE, BLACK, ("LLDD LLL",), aspect=4.6, faces="EU", serial_height=0.72),
    Design("OTHER", WHITE, WHITE, BLACK, ("LLL-DDD", "LL-DDD"), "", "ISLAMABAD", BLACK, aspect=2.6),
    Design("OTHER", BLACK, BLACK, WHITE, ("LLL DDDD", "LL DDDD L"), aspect=4.2, faces="EU", serial_height=0.68),
    Design("OTHER", WHITE, WHITE, NAVY, ("LLL DDL", "DLL DLL", "LLL-DDD"), "NSW", "", NAVY, aspect=2.8),
)  # fmt: skip
FAMILIES = {"US": US, "MX": MEXICO, "CA": CANADA, "EU": EUROPE, "BR": BRAZIL, "OTHER": OTHER}
FAMILY_SHARES = {"US": 0.55, "MX": 0.07, "CA": 0.06, "EU": 0.17, "BR": 0.11, "OTHER": 0.04}


def designs_of(region: str) -> tuple[Design, ...]:
    """Designs of "US-CA", "MX", ...; "US" means all states.  Raises KeyError for an unknown region."""
    if region in FAMILIES:
        return FAMILIES[region]
    found = tuple(d for family in FAMILIES.values() for d in family if d.region == region)
    if not found:
        raise KeyError(f"no plate design for region {region!r}")
    return found
