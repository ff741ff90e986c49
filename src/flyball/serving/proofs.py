"""What a worker must be shown before any code of a version runs: the signed note on its name and manifest, and the keys that may sign.

Notes come with the list of workers, from whoever decides what is served; artifacts come from the blob store. Whoever can only write blobs
cannot make a worker run anything that was not registered.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

from flyball.errors import Corrupt, Refused
from flyball.records.base import Record
from flyball.serving.layout import Layout, read_json


class Proof(Record, frozen=True):
    """The signed note of one version (empty: it has none), and the public keys that this project takes signatures by."""

    note: str = ""
    keys: tuple[str, ...] = ()


Proofs: TypeAlias = Callable[[str], Proof]
"""A version (`model@1.2.0`) → its proof."""


def unproven(_ref: str) -> Proof:
    """No version has a proof: every worker refuses."""
    return Proof()


def shown(layout: Layout, ref: str, artifact: str) -> Proof:
    """The proof in this worker's entry of run/workers.json; an empty one where there is none."""
    listed = read_json(layout.wanted_workers)
    for one in listed if isinstance(listed, list) else ():
        if isinstance(one, dict) and (one.get("ref"), one.get("artifact")) == (ref, artifact):
            try:
                return msgspec.convert({name: one[name] for name in ("note", "keys") if name in one}, Proof)
            except msgspec.ValidationError:
                break
    return Proof()


def check(ref: str, artifact: str, proof: Proof) -> None:
    """Hold a proof against the version that is to be served. Raises Refused (no signature), Corrupt (one that does not hold)."""
    if not proof.note:
        raise Refused(
            f"{ref} is not signed",
            why="only a version whose name and manifest this project has signed is served",
            fix="flyball tick signs every registered version; then it is started again",
        )
    # it takes a while to import, and only here is it needed
    from flyball.ledger import note

    try:
        text = note.opened(proof.note.encode(), [note.Verifier(vkey) for vkey in proof.keys])
    except Corrupt as error:
        raise Corrupt(
            f"the signature of {ref} does not hold: {error.what}",
            why=error.why,
            fix="flyball audit verify says what was changed; restore it from a backup, or train the version again",
        ) from error
    if text != note.version_text(ref, artifact):
        raise Corrupt(
            f"the signature of {ref} is on another version or manifest",
            why=f"what is to be served is {ref} with manifest {artifact}",
            fix="flyball audit verify says what was changed",
        )
