"""A unit's duty state machine for tests: a clock, a disk, an outbox and a roster that tests control."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any

from agent.records import TimeTag
from agent.shift.duty import Duty, SignedOn
from agent.shift.moment import Moment
from agent.shift.ports import DutyConfig, DutyPorts
from agent.shift.sign_on import Choices
from protocol.roster.envelope import SignedRoster, roster_header
from protocol.roster.roster import Roster, draft_roster
from protocol.seal.keys import SigningKey
from protocol.wire.enums import TimeSource
from protocol.wire.released import released_registry

if TYPE_CHECKING:
    from protocol.wire.registry import RecordBody

NS_PER_S = 1_000_000_000
UTC_S = 1_780_000_000
PINS = {"4711": "482913", "4712": "571204", "9001": "660417"}
HASHES = {
    "4711": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0MTE$" + "A" * 43,
    "4712": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0MTI$" + "B" * 43,
    "9001": "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHRzYWx0OTA$" + "C" * 43,
}
"""Well-formed; never compared: the fake checker below knows the PINs."""
TOKEN_KEY = SigningKey.generate()


def roster_values(**other: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "format": 1,
        "token_key": TOKEN_KEY.public.raw.hex(),
        "officers": [
            {"badge": "4711", "name": "A. Example", "rights": ["officer"], "pin": HASHES["4711"]},
            {
                "badge": "4712",
                "name": "B. Example",
                "rights": ["officer"],
                "pin": HASHES["4712"],
                "training_expires_s": UTC_S + 86_400,
            },
            {"badge": "9001", "name": "C. Example", "rights": ["officer", "supervisor"], "pin": HASHES["9001"]},
        ],
        "zones": [
            {
                "id": "north",
                "name": "North",
                "corners": [
                    [450_000_000, -1_001_000_000],
                    [450_000_000, -999_000_000],
                    [451_000_000, -1_000_000_000],
                ],
            }
        ],
        "checkpoints": [{"id": "cp-1", "name": "Bridge", "lat_e7": 450_000_000, "lon_e7": -1_000_000_000}],
        "equipment": ["radio-1", "rifle-3"],
        "shifts": [
            {
                "id": "day-1",
                "badge": "4711",
                "starts_s": UTC_S - 600,
                "ends_s": UTC_S + 36_000,
                "overtime_class": "scheduled",
                "activities": [["patrol", 30_000], ["report", 6_600]],
            }
        ],
    }
    return {**values, **other}


def make_roster(**other: Any) -> Roster:
    return draft_roster(roster_values(**other))


def signed_roster(*, version: int = 1, expires_s: int | None = None, **other: Any) -> SignedRoster:
    roster = make_roster(**other)
    header = roster_header(roster, id="sheriff", version=version, as_of_s=UTC_S - 3600, expires_s=expires_s)
    return SignedRoster(header, roster)


class FakePins:
    """Knows the PINs of the hashes above, and costs nothing."""

    def is_right(self, pin: str, pin_hash: str | None) -> bool:
        return any(pin_hash == HASHES[badge] and pin == PINS[badge] for badge in PINS)


@dataclass
class Log:
    """An audit log that remembers."""

    entries: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(
        self, who: str, action: str, obj: str, *, purpose: str = "", case_number: str = "", outcome: str = "ok"
    ) -> None:
        self.entries.append((who, action, obj, outcome))


@dataclass
class Car:
    """One unit over several starts."""

    roster: SignedRoster | None = field(default_factory=signed_roster)
    config: DutyConfig = field(default_factory=lambda: DutyConfig("unit-07"))
    t_mono_ns: int = 100 * NS_PER_S
    boot: int = 1
    utc_offset_ns: int | None = UTC_S * NS_PER_S
    """UTC at the monotonic time 0; None while the time is unknown."""
    disk: bytes | None = None
    sent: list[RecordBody] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    log: Log = field(default_factory=Log)

    def __post_init__(self) -> None:
        self._random = count(1)
        self.duty = self.start()

    @property
    def now(self) -> Moment:
        offset = self.utc_offset_ns
        tag = (
            TimeTag(None, TimeSource.NONE, None)
            if offset is None
            else TimeTag(offset + self.t_mono_ns, TimeSource.GNSS, 150.0)
        )
        return Moment(self.t_mono_ns, self.boot.to_bytes(16, "big"), tag)

    def start(self) -> Duty:
        """Start the agent with what is on the disk."""
        ports = DutyPorts(self._save, self._send, lambda n: next(self._random).to_bytes(n, "big"), self.log)
        self.duty = Duty(self.config, ports, released_registry(), self.disk, self.now, roster=self.roster)
        self.duty.journal.resend(self.now)
        return self.duty

    def cut_power(self, *, off_s: float = 60.0) -> Duty:
        """Cut the power, and boot again: the clock starts anew, and memory is gone."""
        if self.utc_offset_ns is not None:
            self.utc_offset_ns += self.t_mono_ns + round(off_s * NS_PER_S)
        self.t_mono_ns, self.boot = 0, self.boot + 1
        return self.start()

    def restart(self) -> Duty:
        """Restart the agent in the same boot."""
        return self.start()

    def wait(self, seconds: float, *, step_s: float = 30.0) -> None:
        """Let time pass, as the main thread watches it."""
        until_ns = self.t_mono_ns + round(seconds * NS_PER_S)
        while self.t_mono_ns < until_ns:
            self.t_mono_ns = min(until_ns, self.t_mono_ns + round(step_s * NS_PER_S))
            self.duty.watch(self.now)

    def sign_on(self, badge: str = "4711", pin: str | None = None, **choices: Any) -> SignedOn:
        attempt = self.duty.gate.begin(badge, self.now)
        right = FakePins().is_right(PINS.get(badge, "") if pin is None else pin, attempt.pin_hash)
        return self.duty.sign_on(attempt, Choices(**choices), self.now, right=right)

    def of_type(self, schema: str) -> list[Any]:
        return [body for body in self.sent if schema == body.SCHEMA]

    def _save(self, document: bytes) -> None:
        self.disk = document

    def _send(self, key: str, body: RecordBody) -> None:
        self.sent.append(body)
        self.keys.append(key)
