"""The Merkle tree of RFC 9162, section 2.1: hashes, inclusion proofs, consistency proofs.

A node is named by level and place: node (L, P) covers the entries P * 2**L to (P + 1) * 2**L - 1, all of which exist.
Such nodes never change once they exist, so that a log stores each of them once.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

from protocol.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Node = tuple[int, int]
"""Level and place."""
HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
"""Root of a log without entries."""
_LEAF, _INNER = b"\0", b"\1"


def leaf_hash(entry: bytes) -> bytes:
    """Return the hash of an entry."""
    return sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of two nodes."""
    return sha256(_INNER + left + right).digest()


class Frontier:
    """The roots of the complete subtrees of a log, from which it grows."""

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        """``roots`` are those of the nodes of :func:`frontier_nodes`."""
        self._size = size
        self._roots = list(roots)

    @property
    def size(self) -> int:
        """Number of entries."""
        return self._size

    def append(self, leaf: bytes) -> list[bytes]:
        """Append the hash of an entry; return the new nodes, from level 0 up, each the last of its level."""
        made = [leaf]
        size, roots = self._size, self._roots
        while size & 1:
            leaf = sha256(_INNER + roots.pop() + leaf).digest()
            made.append(leaf)
            size >>= 1
        roots.append(leaf)
        self._size += 1
        return made

    def root(self) -> bytes:
        """Return the root of the whole log."""
        return _fold(self._roots) if self._roots else EMPTY_ROOT


def frontier_nodes(size: int) -> list[Node]:
    """Return the nodes of the complete subtrees of a log, the largest first."""
    return list(_complete(0, size))


def inclusion_proof(
    number: int, size: int, hashes: Callable[[Sequence[Node]], Mapping[Node, bytes]]
) -> list[bytes]:
    """Prove that entry ``number`` is in the log of ``size`` entries; ``hashes`` returns the hashes of stored nodes.

    Raises ProofError for an entry that this log does not have.
    """
    if not 0 <= number < size:
        raise ProofError(f"a log of {size} entries has no entry {number}")
    low, high, ranges = 0, size, []
    while high - low > 1:
        middle = low + _split(high - low)
        if number < middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low = middle
    return _roots_of(ranges[::-1], hashes)


def consistency_proof(old: int, new: int, hashes: Callable[[Sequence[Node]], Mapping[Node, bytes]]) -> list[bytes]:
    """Prove that the log of ``new`` entries begins with that of ``old`` entries.  Raises ProofError."""
    if not 0 <= old <= new:
        raise ProofError(f"a log of {new} entries does not continue one of {old}")
    if old in {0, new}:
        return []
    low, high, ranges, is_whole = 0, new, [], True
    while high != old:
        middle = low + _split(high - low)
        if old <= middle:
            ranges.append((middle, high))
            high = middle
        else:
            ranges.append((low, middle))
            low, is_whole = middle, False
    if not is_whole:
        ranges.append((low, high))
    return _roots_of(ranges[::-1], hashes)


def root_of(size: int, hashes: Callable[[Sequence[Node]], Mapping[Node, bytes]]) -> bytes:
    """Return the root of the first ``size`` entries."""
    return _roots_of([(0, size)], hashes)[0] if size else EMPTY_ROOT


def is_included(leaf: bytes, number: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """True if the proof shows that a leaf is entry ``number`` of the log with this size and root."""
    if not 0 <= number < size:
        return False
    place, last, found = number, size - 1, leaf
    for other in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(other, found)
            while place and not place & 1:
                place >>= 1
                last >>= 1
        else:
            found = node_hash(found, other)
        place >>= 1
        last >>= 1
    return last == 0 and found == root


def is_consistent(old: int, new: int, old_root: bytes, new_root: bytes, proof: Sequence[bytes]) -> bool:
    """True if the proof shows that the log of ``new`` entries begins with that of ``old`` entries."""
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and old_root == new_root
    if old == 0:
        return not proof and old_root == EMPTY_ROOT
    steps = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not steps:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place >>= 1
        last >>= 1
    before = after = steps[0]
    for other in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            before, after = node_hash(other, before), node_hash(other, after)
            while place and not place & 1:
                place >>= 1
                last >>= 1
        else:
            after = node_hash(after, other)
        place >>= 1
        last >>= 1
    return last == 0 and before == old_root and after == new_root


def _split(count: int) -> int:
    """The largest power of two below a number above 1."""
    return 1 << (count - 1).bit_length() - 1


def _complete(low: int, high: int) -> Iterator[Node]:
    """The complete subtrees of a range that a proof names, the largest first."""
    while low < high:
        level = (high - low).bit_length() - 1
        yield level, low >> level
        low += 1 << level


def _roots_of(
    ranges: Sequence[tuple[int, int]], hashes: Callable[[Sequence[Node]], Mapping[Node, bytes]]
) -> list[bytes]:
    parts = [list(_complete(low, high)) for low, high in ranges]
    found = hashes([node for part in parts for node in part])
    return [_fold([found[node] for node in part]) for part in parts]


def _fold(roots: Sequence[bytes]) -> bytes:
    folded = roots[-1]
    for left in roots[-2::-1]:
        folded = sha256(_INNER + left + folded).digest()
    return folded
