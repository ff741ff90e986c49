import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball.ledger import merkle

# the inputs and roots of the certificate transparency projects' own tests
INPUTS = [
    bytes.fromhex(text) for text in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = {
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}


def plain_root(leaves: Sequence[bytes]) -> bytes:
    """The definition of RFC 6962, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return hashlib.sha256(b"\x01" + plain_root(leaves[:split]) + plain_root(leaves[split:])).digest()


class Tree:
    def __init__(self, leaves: Sequence[bytes]) -> None:
        self.frontier: list[bytes] = []
        self.nodes: dict[tuple[int, int], bytes] = {}
        for size, leaf in enumerate(leaves):
            for level, completed in enumerate(merkle.append(size, self.frontier, merkle.leaf_hash(leaf))):
                self.nodes[level, size >> level] = completed

    def get(self, level: int, idx: int) -> bytes:
        return self.nodes[level, idx]


trees = st.integers(1, 70).map(lambda size: [str(number).encode() for number in range(size)])


@pytest.mark.parametrize("size", ROOTS)
def test_roots_are_those_of_other_implementations(size: int) -> None:
    assert merkle.root(Tree(INPUTS[:size]).frontier).hex() == ROOTS[size]


def test_the_root_of_nothing_is_the_hash_of_nothing() -> None:
    assert merkle.root([]) == plain_root([])


@given(trees)
def test_appending_one_by_one_gives_the_root_by_definition(leaves: list[bytes]) -> None:
    tree = Tree(leaves)
    assert merkle.root(tree.frontier) == plain_root(leaves)


@given(trees, st.data())
def test_the_root_of_the_first_leaves_is_found_in_the_whole_tree(leaves: list[bytes], data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(leaves)))
    assert merkle.root_of_first(Tree(leaves).get, size) == plain_root(leaves[:size])


@given(trees, st.data())
def test_a_leaf_proves_its_place_and_no_other(leaves: list[bytes], data: st.DataObject) -> None:
    tree, size = Tree(leaves), len(leaves)
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(tree.get, index, size)
    leaf, expected = merkle.leaf_hash(leaves[index]), plain_root(leaves)
    assert merkle.includes(leaf, index, size, proof, expected)
    assert merkle.includes(leaf, other, size, proof, expected) == (other == index)
    assert not merkle.includes(merkle.leaf_hash(b"forged"), index, size, proof, expected)
    assert not merkle.includes(leaf, index, size, (*proof, b"\x00" * 32), expected)


@given(trees, st.data())
def test_a_tree_proves_that_it_only_grew(leaves: list[bytes], data: st.DataObject) -> None:
    tree, new = Tree(leaves), len(leaves)
    old = data.draw(st.integers(1, new))
    proof = merkle.consistency_proof(tree.get, old, new)
    before, after = plain_root(leaves[:old]), plain_root(leaves)
    rewritten = plain_root([b"forged", *leaves[1:old]])
    assert merkle.consistent(old, new, before, after, proof)
    assert not merkle.consistent(old, new, rewritten, after, proof)
    assert not merkle.consistent(old, new, before, rewritten, proof)


def test_places_outside_the_tree_are_refused() -> None:
    tree = Tree([b"a", b"b"])
    with pytest.raises(ValueError, match="not in a tree"):
        merkle.inclusion_proof(tree.get, 2, 2)
    with pytest.raises(ValueError, match="not an older"):
        merkle.consistency_proof(tree.get, 3, 2)
    assert not merkle.includes(tree.get(0, 0), 2, 2, (), merkle.root(tree.frontier))
