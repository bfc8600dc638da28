"""The Merkle tree is that of RFC 9162: an independent implementation and the RFC's own recursion agree with it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

import pymerkle
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import ProofError
from protocol.merkle.tree import (
    EMPTY_ROOT,
    Frontier,
    consistency_proof,
    frontier_nodes,
    inclusion_proof,
    is_consistent,
    is_included,
    leaf_hash,
    root_of,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

SIZES = [*range(1, 20), 31, 32, 33, 100, 127, 128, 129]


class Log:
    """Entries, and the nodes as a database keeps them."""

    def __init__(self, entries: Sequence[bytes]) -> None:
        self.entries = list(entries)
        self.nodes: dict[tuple[int, int], bytes] = {}
        self.roots = [EMPTY_ROOT]
        frontier = Frontier()
        for number, entry in enumerate(entries):
            for level, made in enumerate(frontier.append(leaf_hash(entry))):
                self.nodes[level, number >> level] = made
            self.roots.append(frontier.root())

    def hashes(self, wanted):
        return {node: self.nodes[node] for node in wanted}


def entries(count: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(count)]


def rfc_root(data: Sequence[bytes]) -> bytes:
    """MTH of RFC 9162, section 2.1.1, as it is written there."""
    if not data:
        return sha256(b"").digest()
    if len(data) == 1:
        return sha256(b"\0" + data[0]).digest()
    k = 1
    while k * 2 < len(data):
        k *= 2
    return sha256(b"\1" + rfc_root(data[:k]) + rfc_root(data[k:])).digest()


LOG = Log(entries(129))


def independent(size: int) -> pymerkle.InmemoryTree:
    tree = pymerkle.InmemoryTree(algorithm="sha256")
    tree.append_entries(LOG.entries[:size])
    return tree


@pytest.mark.parametrize("size", [0, *SIZES])
def test_roots_are_those_of_the_rfc_and_of_an_independent_implementation(size):
    assert LOG.roots[size] == rfc_root(LOG.entries[:size]) == root_of(size, LOG.hashes)
    if size:
        assert LOG.roots[size] == independent(size).get_root()


@pytest.mark.parametrize("size", SIZES)
def test_a_log_continues_from_its_frontier(size):
    """As a station does that was started again."""
    frontier = Frontier(size, [LOG.nodes[node] for node in frontier_nodes(size)])
    assert frontier.root() == LOG.roots[size]
    if size < len(LOG.entries):
        frontier.append(leaf_hash(LOG.entries[size]))
        assert (frontier.size, frontier.root()) == (size + 1, LOG.roots[size + 1])


@pytest.mark.parametrize("size", [*range(1, 20), 128, 129])
def test_inclusion_proofs_are_those_of_an_independent_implementation(size):
    tree = independent(size)
    for number in range(size):
        ours = inclusion_proof(number, size, LOG.hashes)
        assert is_included(leaf_hash(LOG.entries[number]), number, size, ours, LOG.roots[size])
        # Its paths begin with the leaf itself.
        theirs = tree.prove_inclusion(number + 1, size)
        pymerkle.verify_inclusion(tree.get_leaf(number + 1), LOG.roots[size], theirs)
        path = [bytes.fromhex(node) for node in theirs.serialize()["path"]]
        assert path[1:] == ours


@pytest.mark.parametrize("size", [*range(1, 20), 128, 129])
def test_consistency_proofs_hold_for_an_independent_implementation(size):
    tree = independent(size)
    for old in range(1, size + 1):
        ours = consistency_proof(old, size, LOG.hashes)
        assert is_consistent(old, size, LOG.roots[old], LOG.roots[size], ours)
        theirs = tree.prove_consistency(old, size)
        pymerkle.verify_consistency(LOG.roots[old], LOG.roots[size], theirs)


@given(st.data())
def test_no_other_proof_holds(data):
    """A proof with a node changed, removed or added, for another entry, size or root, proves nothing."""
    size = data.draw(st.integers(1, 129))
    number = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(number, size, LOG.hashes)
    other = _altered(data, proof)
    leaf = leaf_hash(LOG.entries[number])
    assert not is_included(leaf, number, size, other, LOG.roots[size])
    wrong = data.draw(st.integers(0, 128).filter(lambda n: n != number))
    assert not is_included(leaf, wrong, size, proof, LOG.roots[size])
    assert not is_included(leaf, number, size, proof, LOG.roots[size - 1])
    assert not is_included(leaf_hash(b"another"), number, size, proof, LOG.roots[size])


@given(st.data())
def test_no_other_consistency_holds(data):
    new = data.draw(st.integers(1, 129))
    old = data.draw(st.integers(1, new))
    proof = consistency_proof(old, new, LOG.hashes)
    roots = LOG.roots[old], LOG.roots[new]
    assert is_consistent(old, new, *roots, proof)
    assert not is_consistent(old, new, *roots, _altered(data, proof))
    assert not is_consistent(old, new, bytes(32), roots[1], proof)
    assert not is_consistent(old, new, roots[0], bytes(32), proof)
    assert not is_consistent(new, old - 1, roots[1], roots[0], proof)


@given(st.lists(st.binary(min_size=32, max_size=32), max_size=12), st.integers(-2, 200), st.integers(-2, 200))
def test_any_proof_is_refused_without_an_error(proof, one, other):
    assert not is_included(bytes(32), one, other, proof, bytes(32))
    assert not is_consistent(one, other, bytes(32), bytes(31), proof)


@given(st.lists(st.binary(max_size=40), min_size=1, max_size=40), st.data())
def test_an_altered_entry_changes_every_later_root(log, data):
    at = data.draw(st.integers(0, len(log) - 1))
    right, wrong = Log(log), Log([*log[:at], log[at] + b"x", *log[at + 1 :]])
    assert right.roots[: at + 1] == wrong.roots[: at + 1]
    assert all(a != b for a, b in zip(right.roots[at + 1 :], wrong.roots[at + 1 :], strict=True))


@pytest.mark.parametrize(("number", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_an_entry_that_is_not_there_cannot_be_proven(number, size):
    with pytest.raises(ProofError, match=f"a log of {size} entries has no entry {number}"):
        inclusion_proof(number, size, LOG.hashes)


@pytest.mark.parametrize(("old", "new"), [(-1, 4), (5, 4)])
def test_a_log_that_shrank_cannot_be_proven(old, new):
    with pytest.raises(ProofError, match=f"a log of {new} entries does not continue one of {old}"):
        consistency_proof(old, new, LOG.hashes)


def _altered(data: st.DataObject, proof: list[bytes]) -> list[bytes]:
    """Any other proof."""
    kinds = ["add", *(["drop", "change"] if proof else [])]
    at = data.draw(st.integers(0, max(len(proof) - 1, 0)))
    match data.draw(st.sampled_from(kinds)):
        case "add":
            return [*proof[:at], bytes(32), *proof[at:]]
        case "drop":
            return [*proof[:at], *proof[at + 1 :]]
        case _:
            return [*proof[:at], sha256(proof[at]).digest(), *proof[at + 1 :]]
