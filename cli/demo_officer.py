"""The demo's officer: a signed roster for one unit, with keys and a PIN that exist for one run."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from agent.runtime.roster_file import RosterFile
from agent.shift.pins import MIN_DIGITS, Argon2Pins, check_pin
from protocol.roster.envelope import roster_header, sign_roster
from protocol.roster.roster import FORMAT, draft_roster
from protocol.seal.keys import SigningKey

if TYPE_CHECKING:
    from pathlib import Path

BADGE = "4711"
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class DemoOfficer:
    """Who can sign on to the demo's unit."""

    badge: str
    pin: str


def install_officer(unit: str, state_dir: Path, key: Path, now_s: int) -> DemoOfficer:
    """Install a roster with one officer, who has all rights, and return badge and PIN; ``key`` gets its public key."""
    pin = _new_pin()
    rights = ["officer", "supervisor", "technician"]
    officer = {"badge": BADGE, "name": "D. Example", "rights": rights, "pin": Argon2Pins().hash(pin)}
    roster = draft_roster({"format": FORMAT, "officers": [officer]})
    header = roster_header(
        roster, id="demo", version=1, as_of_s=now_s, owner="demo", units=(unit,), expires_s=now_s + _DAY_S
    )
    agency = SigningKey.generate()
    key.write_bytes(agency.public.pem())
    path = RosterFile(state_dir, key, unit).path
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.write_bytes(sign_roster(roster, header, agency))
    return DemoOfficer(BADGE, pin)


def _new_pin() -> str:
    """Draw digits until they are a PIN that a roster accepts."""
    while True:
        pin = "".join(secrets.choice("0123456789") for _ in range(MIN_DIGITS))
        try:
            check_pin(pin)
        except ValueError:
            continue
        return pin
