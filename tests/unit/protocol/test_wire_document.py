"""docs/wire-format.md lists exactly what is sent."""

from __future__ import annotations

import re
from enum import Enum

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from protocol.errors import WireError
from protocol.seal import SigningKey, StationKey
from protocol.seal.envelope import seal_record
from protocol.seal.evidence import START, decode_signed, sign
from protocol.seal.head import HeadState, sign_head, verify_head
from protocol.wire import enums
from protocol.wire.codec import MAX_ITEMS, MAX_MESSAGE_BYTES, MAX_STR_BYTES, pack, unpack
from protocol.wire.control.chunk import MAX_CHUNK_BYTES
from protocol.wire.control.receipt import MAX_RECEIPT_PICTURES, MAX_RECEIPT_RECORDS
from protocol.wire.control.transfer import MAX_PART_BYTES
from protocol.wire.control.unit_state import MAX_COUNTERS
from protocol.wire.records.tombstone import MAX_RANGES
from protocol.wire.topics import ROOT, Channel, offer_topic
from tests.unit.protocol.test_wire import EXAMPLES, KINDS

TYPES = {str: "string", int: "integer", bytes: "bytes", bool: "boolean", list: "array", dict: "map"}
FREE_NAMES = {"cnt", "gau"}
"""Maps whose names are data."""
OWN = SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
SIGNED = sign(OWN, "unit-07", 1, START, record=EXAMPLES["read"], salt=bytes(16))[0]
HEAD = sign_head(
    OWN, "unit-07", HeadState(17, 15, bytes(range(32)), bytes(range(16)), bytes(16), 60_000_000, None)
)
ALL = {
    **EXAMPLES,
    "head": HEAD,
    "signed": SIGNED,
    "sealed": seal_record(StationKey.generate(), "unit-07", 1, bytes(16), SIGNED),
}


@pytest.fixture
def document(repo):
    return (repo / "docs" / "wire-format.md").read_text(encoding="utf-8")


def is_enum(kind):
    return isinstance(kind, type) and issubclass(kind, Enum) and bool(list(kind))


def documented(document):
    """Schema -> key -> type, from the tables under the headings that name a schema."""
    found = {}
    for part in re.split(r"^### ", document, flags=re.MULTILINE)[1:]:
        schema = re.match(r"`(\w+/\d+)`", part)[1]
        table = part.split("\n## ")[0]
        rows = re.findall(r"^\| `([^`]+)` \| ([a-z ]+?) \|", table, flags=re.MULTILINE)
        assert len(rows) == len(dict(rows)), f"{schema} lists a key twice"
        found[schema] = dict(rows)
    return found


def flat(fields, prefix=""):
    """Keys with the types of their values, nested ones as ``gps.lat`` and ``img[].sha``."""
    found = {}
    for key, value in fields.items():
        name = prefix + key
        found[name] = None if value is None else TYPES[type(value)]
        if isinstance(value, dict) and key not in FREE_NAMES:
            found |= flat(value, f"{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            found |= flat(value[0], f"{name}[].")
    return found


def keys_of_all(schema):
    """Keys of all examples of a schema: those that may be left out are in one of them."""
    found = {}
    for payload in ALL.values():
        sent = unpack(payload)
        if sent["v"] == schema:
            found |= flat(sent)
    return found


@pytest.mark.parametrize("name", ALL)
def test_every_key_that_is_sent_is_documented_and_every_documented_key_is_sent(document, name):
    """Names and types agree in both directions."""
    sent = unpack(ALL[name])
    contract = documented(document)[sent["v"]]
    assert keys_of_all(sent["v"]).keys() == contract.keys()
    for key, sort in flat(sent).items():
        allowed = contract[key].split(" or ")
        assert (sort or "nil") in allowed, f"{key} is {sort}, documented as {contract[key]}"


@pytest.mark.parametrize("name", ALL)
def test_optional_keys_are_documented(document, name):
    """A decoder in another language must not ask for it."""
    sent = unpack(ALL[name])
    may = set(re.findall(r"^\| `(\w+)` \| [a-z ]+ \| optional:", document, flags=re.MULTILINE))
    assert keys_of_all(sent["v"]).keys() - flat(sent).keys() <= may


def test_documented_schemas_match_the_code(document):
    """One table for each message there is."""
    assert documented(document).keys() == {unpack(payload)["v"] for payload in ALL.values()}


@pytest.mark.parametrize("name", EXAMPLES)
def test_nullable_keys_are_documented(document, name):
    """Decoders take nil exactly where the contract says so."""
    sent = unpack(EXAMPLES[name])
    contract = documented(document)[sent["v"]]
    for key in sent:
        payload = pack({**sent, key: None})
        if contract[key].endswith("or nil"):
            KINDS[name].decode(payload)
        else:
            with pytest.raises(WireError):
                KINDS[name].decode(payload)


@pytest.mark.parametrize("channel", Channel)
def test_every_topic_is_documented(document, channel):
    """Access lists are made from the documented topics."""
    assert f"| `{ROOT}/{{unit}}/{channel.value}` |" in document


def test_topics_of_other_kinds_of_files_are_documented(document):
    topic = offer_topic("UNIT", "maps").replace("UNIT", "{unit}").replace("maps", "{kind}")
    assert f"| `{topic}` |" in document


@pytest.mark.parametrize("constants", [kind for kind in vars(enums).values() if is_enum(kind)])
def test_every_constant_is_documented(document, constants):
    """A station in another language needs all values."""
    assert {value for value in constants if f"`{value}`" not in document} == set()


@pytest.mark.parametrize(
    "limit",
    [
        MAX_MESSAGE_BYTES,
        MAX_CHUNK_BYTES,
        MAX_RECEIPT_RECORDS,
        MAX_RECEIPT_PICTURES,
        MAX_RANGES,
        MAX_PART_BYTES,
        MAX_COUNTERS,
        MAX_STR_BYTES,
        MAX_ITEMS,
    ],
)
def test_every_limit_is_documented(document, limit):
    """Limits of the code are limits of the contract."""
    assert re.search(rf"(?<![\d,]){limit:,}(?![\d,])", document)


def pinned_bytes(repo, name, made, *, bless):
    path = repo / "tests" / "golden" / "wire" / f"{name}.hex"
    if bless:
        path.write_text(made.hex(" ", 16).replace(" ", "\n") + "\n", encoding="ascii")
    return bytes.fromhex(path.read_text(encoding="ascii"))


def test_the_bytes_of_a_signed_head_are_pinned(bless, repo):
    """A head is compared with its series years later."""
    pinned = pinned_bytes(repo, "head", HEAD, bless=bless)
    assert pinned == HEAD
    assert verify_head(pinned, {OWN.id: OWN.public}).seq == 17


def test_the_bytes_of_a_signed_record_are_pinned(bless, repo):
    """Series are proven years later: link and signature of the example never change."""
    pinned = pinned_bytes(repo, "signed", SIGNED, bless=bless)
    assert pinned == SIGNED
    assert decode_signed(pinned).evidence("unit-07", 1).is_signed_by(OWN.public)
