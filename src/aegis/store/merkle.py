"""A Merkle tree over entries in the order they came (RFC 6962 and RFC 9162, section 2.1).

    leaf = SHA-256(00 | entry)      node = SHA-256(01 | left | right)

One hash of 32 bytes, the root, stands for all entries and their order. An inclusion proof shows
that an entry is under a root; a consistency proof shows that one root continues another, so that
nothing before was changed, removed or moved. Both are a few hashes, and whoever checks them needs
none of the other entries. Whole subtrees are kept, so an entry costs two hashes on average, and a
root or a proof as many as the tree is deep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from aegis.errors import BadInput

EMPTY = hashlib.sha256().digest()


def leaf_hash(entry: bytes) -> bytes:
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Tree:
    """Grows by leaf hashes; the root and the proofs of every earlier size stay available."""

    def __init__(self, leaves: Iterable[bytes] = ()) -> None:
        self._levels: list[list[bytes]] = [[]]  # [k][i] is the root over 2^k leaves from i * 2^k
        for leaf in leaves:
            self.append(leaf)

    def __len__(self) -> int:
        return len(self._levels[0])

    def append(self, leaf: bytes) -> None:
        self._levels[0].append(leaf)
        height = 0
        while len(self._levels[height]) % 2 == 0:
            if height + 1 == len(self._levels):
                self._levels.append([])
            self._levels[height + 1].append(node_hash(*self._levels[height][-2:]))
            height += 1

    def root(self, size: int | None = None) -> bytes:
        """Over the first ``size`` leaves, or over all."""
        size = self._size(size)
        return self._over(0, size) if size else EMPTY

    def inclusion(self, index: int, size: int | None = None) -> tuple[bytes, ...]:
        """The proof that leaf ``index``, counted from 0, is in the tree of ``size`` leaves."""
        start, end = 0, self._size(size)
        if not 0 <= index < end:
            raise BadInput(f"entry {index} of a tree with {end} entries", "they count from 0")
        path = []
        while end - start > 1:
            middle = start + _split(end - start)
            if index < middle:
                path.append(self._over(middle, end))
                end = middle
            else:
                path.append(self._over(start, middle))
                start = middle
        return tuple(reversed(path))

    def consistency(self, first: int, second: int | None = None) -> tuple[bytes, ...]:
        """The proof that the tree of ``second`` leaves continues the tree of ``first``."""
        start, end = 0, self._size(second)
        if not 0 <= first <= end:
            raise BadInput(f"a proof from {first} to {end} entries", "a tree only grows")
        if first in (0, end):
            return ()
        path = []
        while first != end:
            middle = start + _split(end - start)
            if first <= middle:
                path.append(self._over(middle, end))
                end = middle
            else:
                path.append(self._over(start, middle))
                start = middle
        if start:
            path.append(self._over(start, end))
        return tuple(reversed(path))

    def _size(self, size: int | None) -> int:
        if size is not None and not 0 <= size <= len(self):
            raise BadInput(f"a tree of {size} entries was asked for", f"there are {len(self)}")
        return len(self) if size is None else size

    def _over(self, start: int, end: int) -> bytes:
        width = end - start
        if width & (width - 1) == 0 and start % width == 0:
            height = width.bit_length() - 1
            return self._levels[height][start >> height]
        middle = start + _split(width)
        return node_hash(self._over(start, middle), self._over(middle, end))


def included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows ``leaf`` at ``index`` under ``root`` (RFC 9162, section 2.1.3.2)."""
    if not 0 <= index < size:
        return False
    at, last, found = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if at & 1 or at == last:
            found = node_hash(sibling, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node_hash(found, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and found == root


def consistent(
    first: int, second: int, proof: Sequence[bytes], first_root: bytes, second_root: bytes
) -> bool:
    """Whether the proof shows that the second root continues the first (RFC 9162, section
    2.1.4.2). Nothing precedes an empty tree, so every tree continues it, without a proof."""
    if not 0 <= first <= second:
        return False
    if first == second or first == 0:
        same = first_root == second_root if first == second else first_root == EMPTY
        return same and not proof
    if not proof:
        return False
    path = list(proof)
    if first & (first - 1) == 0:
        path.insert(0, first_root)
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    before = after = path[0]
    for sibling in path[1:]:
        if last == 0:
            return False
        if at & 1 or at == last:
            before, after = node_hash(sibling, before), node_hash(sibling, after)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            after = node_hash(after, sibling)
        at, last = at >> 1, last >> 1
    return last == 0 and before == first_root and after == second_root


def _split(width: int) -> int:
    """The largest power of two below ``width``."""
    return 1 << ((width - 1).bit_length() - 1)
