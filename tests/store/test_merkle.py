"""The tree against the reference of Certificate Transparency, and its laws."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aegis.errors import BadInput
from aegis.store.merkle import EMPTY, Tree, consistent, included, leaf_hash, node_hash

# Inputs, roots and proofs of the reference implementation's own test (RFC 6962).
INPUTS = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def grown(count):
    return Tree(leaf_hash(f"entry {number}".encode()) for number in range(count))


def test_roots_are_those_of_the_reference():
    tree = Tree(map(leaf_hash, INPUTS))
    assert [tree.root(size).hex() for size in range(9)] == ROOTS
    assert ROOTS[0] == EMPTY.hex()


def test_proofs_are_those_of_the_reference():
    tree = Tree(map(leaf_hash, INPUTS))
    assert [one.hex() for one in tree.consistency(6, 8)] == [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ]
    assert [one.hex() for one in tree.consistency(2, 5)] == [
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    ]
    assert tree.inclusion(2, 3) == (bytes.fromhex(ROOTS[2]),)


def test_the_root_is_the_one_of_the_definition():
    """MTH of RFC 6962, section 2.1, in its own words."""

    def defined(leaves):
        if not leaves:
            return hashlib.sha256().digest()
        if len(leaves) == 1:
            return leaf_hash(leaves[0])
        split = 1
        while 2 * split < len(leaves):
            split *= 2
        return node_hash(defined(leaves[:split]), defined(leaves[split:]))

    for count in range(70):
        entries = [f"entry {number}".encode() for number in range(count)]
        assert grown(count).root() == defined(entries)


def test_every_proof_of_every_size_up_to_64_holds():
    tree = grown(64)
    for size in range(65):
        root = tree.root(size)
        for index in range(size):
            leaf = leaf_hash(f"entry {index}".encode())
            assert included(leaf, index, size, tree.inclusion(index, size), root)
        for first in range(size + 1):
            assert consistent(first, size, tree.consistency(first, size), tree.root(first), root)


sizes = st.integers(1, 200).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n - 1)))


@settings(max_examples=200)
@given(sizes, st.data())
def test_an_inclusion_proof_holds_for_its_own_leaf_place_and_size_only(drawn, data):
    size, index = drawn
    tree = grown(size)
    proof, leaf, root = tree.inclusion(index), leaf_hash(f"entry {index}".encode()), tree.root()
    assert included(leaf, index, size, proof, root)
    assert not included(leaf_hash(b"another"), index, size, proof, root)
    assert not included(leaf, index, size, (*proof, root), root)
    assert not included(leaf, size, size, proof, root)
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bad = [*proof]
        bad[at] = bytes([bad[at][0] ^ 1]) + bad[at][1:]
        assert not included(leaf, index, size, bad, root)
        assert not included(leaf, index, size, proof[:-1], root)
        other = data.draw(st.integers(0, size - 1))
        assert (other == index) == included(leaf, other, size, proof, root)


@settings(max_examples=200)
@given(sizes, st.data())
def test_a_rewritten_beginning_has_no_consistency_proof(drawn, data):
    size, first = drawn
    first = max(1, first)
    tree = grown(size)
    proof = tree.consistency(first)
    assert consistent(first, size, proof, tree.root(first), tree.root())
    changed = data.draw(st.integers(0, first - 1))
    leaves = [f"entry {n}".encode() + b"!" * (n == changed) for n in range(size)]
    forged = Tree(map(leaf_hash, leaves))
    assert not consistent(first, size, forged.consistency(first), tree.root(first), forged.root())
    assert not consistent(first, size, proof, tree.root(first), forged.root())
    if proof:
        at = data.draw(st.integers(0, len(proof) - 1))
        bad = [*proof]
        bad[at] = bad[at][:-1] + bytes([bad[at][-1] ^ 1])
        assert not consistent(first, size, bad, tree.root(first), tree.root())
        assert not consistent(first, size, proof[:-1], tree.root(first), tree.root())


def test_a_smaller_tree_continues_nothing_and_an_empty_one_needs_no_proof():
    tree = grown(9)
    assert not consistent(9, 8, (), tree.root(9), tree.root(8))
    assert consistent(0, 9, (), EMPTY, tree.root())
    assert not consistent(0, 9, (), tree.root(1), tree.root())
    assert not consistent(4, 9, (), tree.root(4), tree.root())
    assert not consistent(9, 9, (), tree.root(8), tree.root())


def test_what_is_not_there_cannot_be_proved():
    tree = grown(5)
    for ask in (
        lambda: tree.root(6),
        lambda: tree.inclusion(5),
        lambda: tree.inclusion(-1),
        lambda: tree.consistency(3, 6),
        lambda: tree.consistency(4, 3),
    ):
        with pytest.raises(BadInput):
            ask()
