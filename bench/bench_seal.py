"""Sealing, signing and chaining a read against the bare primitives of the library, taking turns in one run."""

from __future__ import annotations

import hashlib
import secrets
import statistics
import time

from cryptography.hazmat.primitives import hpke

from bench.measure import Figure, arguments
from protocol.seal import KeyRing, Opener, Sealer, SigningKey, StationKey
from protocol.seal.envelope import decode_sealed
from tests.builders import make_read, make_read_record

ROUNDS = 1500
LIMIT = 1.3
MAX_WIRE_BYTES = 1024


def main() -> None:
    """Print the figures."""
    rounds = 20 if arguments(__doc__).parse_args().tiny else ROUNDS
    own, station = SigningKey.generate(), StationKey.generate()
    sealer = Sealer("unit-07", own, station)
    record = make_read_record().payload
    name, link = make_read(1).read_id, b"x" * 32
    suite = hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305)
    ours, bare = [], []
    payload = b""
    padding = bytes(160)
    for seq in range(1, rounds):
        start = time.perf_counter()
        payload, link = sealer.record(seq, name, record, link)
        middle = time.perf_counter()
        salt = secrets.token_bytes(16)
        digest = hashlib.sha256(salt + record).digest()
        message = hashlib.sha256(link + digest).digest()
        signature = own.sign(message)
        suite.encrypt(record + signature + padding[:96], station.public, info=message)
        end = time.perf_counter()
        ours.append(middle - start)
        bare.append(end - middle)
    opener = Opener(KeyRing({station.id: station}).with_unit("unit-07", own.public))
    opening = []
    for _ in range(rounds // 3):
        start = time.perf_counter()
        opener.record(decode_sealed(payload))
        opening.append(time.perf_counter() - start)
    ratio = statistics.median(ours) / statistics.median(bare)
    print(Figure("seal, sign and chain a read / bare primitives", ratio, "x", limit=LIMIT).as_json())
    print(Figure("seal, sign and chain a read", statistics.median(ours) * 1e3, "ms").as_json())
    print(Figure("open and check a read", statistics.median(opening) * 1e3, "ms").as_json())
    print(Figure("a sealed read on the wire", len(payload), "bytes", limit=MAX_WIRE_BYTES).as_json())


if __name__ == "__main__":
    main()
