"""The fuzz targets hold for their seeds, for every input that was ever found, and for some damage of both."""

from __future__ import annotations

import random

import pytest

from tests.fuzz import FOUND, TARGETS


def damaged(data: bytes, rng: random.Random) -> bytes:
    broken = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(broken) + 1)
        until = min(len(broken), at + rng.choice((0, 1, 1, 4, 64)))
        broken[at:until] = rng.randbytes(rng.choice((0, 1, 1, 3)))
    return bytes(broken)


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_fuzz_targets_raise_only_declared_errors(name):
    target, seeds = TARGETS[name]()
    found = [path.read_bytes() for path in sorted((FOUND / name).glob("*"))]
    rng = random.Random(name)  # noqa: S311 - reproducible, not secret
    try:
        for data in [b"", *seeds, *found]:
            target(data)
            for _ in range(8):
                target(damaged(data, rng))
    finally:
        getattr(target, "close", lambda: None)()
