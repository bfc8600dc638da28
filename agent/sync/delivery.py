"""Whether waiting records are delivered, and why not: only a receipt is a success, a connection is not."""

from __future__ import annotations

from dataclasses import dataclass

_NOT_AUTHORISED, _TOO_LARGE = 0x87, 0x95
_NO_MQTT = "the server at the broker's address does not answer in MQTT; it may be a captive portal"
_OUTDATED = (
    "the certificate of the broker or its authority is not valid at the time of this unit's clock; check the clock, "
    "then renew the certificate"
)
_ANOTHER = (
    "the server at the broker's address does not have the broker's certificate; it may be a captive portal or another "
    "broker"
)
_HANGS_UP = (
    "the server at the broker's address closes the connection at once; it may want TLS, or not accept this unit's "
    "certificate"
)
_DOWN = (
    (
        ("certificate has expired", "certificate is not yet valid"),
        _OUTDATED,
    ),
    (
        (
            "certificate_verify_failed",
            "certificate verify failed",
            "wrong_version_number",
            "wrong version number",
        ),
        _ANOTHER,
    ),
    (
        ("alert certificate", "alert bad certificate", "alert unknown ca", "alert access denied"),
        "the broker does not accept this unit's certificate",
    ),
    (
        ("subscription refused",),
        "the broker does not let the unit subscribe to the station's answers (access list)",
    ),
    (
        ("name or service not known", "temporary failure in name resolution", "no address associated"),
        "the name of the broker is not known; check the network's name server and host",
    ),
    (
        ("without an answer",),
        _HANGS_UP,
    ),
    (
        ("not authorized", "bad user name or password", "not authorised", "banned"),
        "the unit is not authorised at the broker",
    ),
    (
        ("retain not supported",),
        "the broker keeps no retained messages, and the unit's state is one; allow them there (retain_available)",
    ),
    (
        ("qos not supported",),
        "the broker acknowledges no messages (QoS 1), and the unit needs that; allow it there (max_qos)",
    ),
    (
        ("server busy", "server unavailable", "quota exceeded", "connection rate exceeded"),
        "the broker takes no more connections at the moment",
    ),
    (("client identifier not valid",), "the broker does not accept this unit's id as client id"),
    (("no websockets at",), _NO_MQTT),
)
"""Words in the reason for which a connection ended, and the cause; the first that applies."""


@dataclass(frozen=True, slots=True)
class Signs:
    """What the uplink has seen since the last receipt."""

    is_up: bool
    down_reason: str = ""
    """Why the last connection ended; empty if there was none."""
    was_fault: bool = False
    """True if it ended because of an unreadable packet."""
    has_been_up: bool = False
    refusal_code: int | None = None
    """MQTT 5 reason code of the broker's last refusal of a record."""
    refusal: str = ""
    forged: int = 0
    """Receipts and nacks not signed by a known key."""
    nack: str = ""
    """Code and text of the station's last nack."""
    too_large: int = 0
    """Records that wait because they are larger than the broker accepts."""
    held: int = 0
    """Records that are held back because the broker did not accept them."""
    acked: int = 0
    """Records that the broker has acknowledged."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """The state of delivery at one moment."""

    undelivered_s: float = 0.0
    """Since when records wait and nothing is receipted; 0 if nothing waits."""
    cause: str = ""
    """The reason, as the end of a sentence; empty if nothing waits."""

    @property
    def sentence(self) -> str:
        """Text for log and doctor; empty if nothing waits."""
        minutes = int(self.undelivered_s // 60)
        return f"nothing receipted for {minutes} minutes, because {self.cause}" if self.cause else ""


def why_undelivered(signs: Signs) -> str:
    """Return the most likely reason why nothing is receipted, as the end of a sentence, without control characters."""
    cause = _why_up(signs) if signs.is_up else _why_down(signs)
    # It quotes the broker and the station.
    return "".join(char if char.isprintable() else " " for char in cause)


def _why_down(signs: Signs) -> str:
    """Return the first cause that applies, most specific first."""
    reason = signs.down_reason
    if not reason:
        return "there is no connection: no broker is configured, or it has not answered yet"
    lower = reason.lower()
    cause = next((cause for words, cause in _DOWN if any(word in lower for word in words)), "")
    if not cause and signs.was_fault and not signs.has_been_up:
        cause = _NO_MQTT
    if not cause and signs.held:
        cause = _closes_at(signs.held)
    return f"{cause or 'there is no connection to the broker'}: {reason}"


def _why_up(signs: Signs) -> str:
    """Return the first cause that applies, most specific first."""
    refused = signs.refusal_code
    large = refused == _TOO_LARGE or signs.too_large > 0
    found = (
        (
            signs.forged > 0,
            "the station's answers are not signed with a key that this unit knows (seal.receipt_key)",
        ),
        (refused == _NOT_AUTHORISED, "the broker does not authorise the unit to publish (access list)"),
        (large, f"{max(signs.too_large, signs.held, 1)} records are larger than the broker accepts"),
        (refused is not None, f"the broker refuses the records: {signs.refusal}"),
        (signs.nack != "", f"the station refuses the records: {signs.nack}"),
        (
            signs.acked > 0,
            "the broker accepts the records, but no station confirms them: no station runs, or the broker drops them",
        ),
        (signs.held > 0, _closes_at(signs.held)),
    )
    return next((cause for is_seen, cause in found if is_seen), "the broker does not acknowledge the records")


def _closes_at(held: int) -> str:
    return f"the broker closes the connection when it receives {held} of the records, which may be too large"
