"""Versions of a data set, found by what a person calls them, and compared. It records nothing."""

from __future__ import annotations

from typing import NamedTuple

from flyball.clock import rfc3339
from flyball.data import manifest
from flyball.data.commit import baseline_of, statistics
from flyball.data.difference import Version, difference
from flyball.data.erasures import present
from flyball.errors import BadInput, Corrupt, NotFound
from flyball.loop import erasing
from flyball.loop.lookup import missing
from flyball.loop.ports import Library
from flyball.records.base import State
from flyball.records.data import COLLECTED, DATASET_VERSIONS, DATASETS, DatasetVersion, erasure_key
from flyball.records.difference import Difference
from flyball.store.blobs import Blobs


class Compared(NamedTuple):
    """Two versions, and what they do not have in common."""

    before: DatasetVersion
    after: DatasetVersion
    found: Difference


class Stored(NamedTuple):
    """A version and how it is stored: chunks, and of these how many its parent has as well; None where its rows are not held."""

    version: DatasetVersion
    content: str
    collected_at: int | None
    chunks: int | None
    shared: int | None


def versions(state: State, name: str) -> list[DatasetVersion]:
    """Every version of a data set, the oldest first."""
    found = [version for _, version in state.scan(DATASET_VERSIONS, f"{name}/") if version.name == name]
    return sorted(found, key=lambda version: tuple(int(part) for part in version.version.split(".")))


def meant(state: State, name: str, text: str) -> DatasetVersion:
    """The version of a data set with this number, or with a content that begins so; empty: the head. Raises NotFound, BadInput."""
    known = versions(state, name)
    if not text:
        row = state.get(DATASETS, name)
        if row is None or row.head is None:
            raise NotFound(f'data set "{name}" has no version in use', fix=f"name a version: flyball data show {name} lists them")
        return row.head
    found = [version for version in known if version.version == text]
    if not found and len(text) >= 4:
        found = [version for version in known if version.content.startswith(text)]
    if not found:
        raise missing("version", text, [version.version for version in known])
    if len(found) > 1:
        contents = ", ".join(version.content[:12] for version in found)
        raise BadInput(f'"{text}" is {len(found)} versions of {name}', why=f"their contents are {contents}", fix="name one by its content")
    return found[0]


def held(state: State, version: DatasetVersion) -> str:
    """The content under which the rows of a version lie. Raises NotFound where it was let go."""
    row = state.get(COLLECTED, erasure_key(version.name, version.content))
    if row is not None:
        raise NotFound(
            f"the rows of {version.name}@{version.version} are not held any more",
            why=f"nothing was made from it, and keep= let it go: flyball gc removed it on {rfc3339(row.at)[:10]}",
            fix=f"flyball data show {version.name} lists the versions that are held",
        )
    return present(state, version.name, version.content)


def compare(state: State, library: Library, blobs: Blobs, name: str, before: str, after: str) -> Compared:
    """Compare two versions of a data set, as they lie now. Raises NotFound, BadInput, Corrupt."""
    old, new = meant(state, name, before), meant(state, name, after)
    declared = erasing.datasets(erasing.declared_models(state, library)).get(name)
    hidden = frozenset((*(declared.identifying if declared is not None else ()), old.subject, new.subject)) - {""}
    return Compared(old, new, difference(_version(state, old, blobs), _version(state, new, blobs), hidden, blobs))


def _version(state: State, version: DatasetVersion, blobs: Blobs) -> Version:
    found = manifest.manifest(held(state, version), blobs)
    return Version(manifest=found, stats=statistics(version, blobs), baseline=baseline_of(version, blobs))


def stored(state: State, name: str, blobs: Blobs) -> list[Stored]:
    """Every version of a data set and how it is stored, the oldest first."""
    found: list[Stored] = []
    chunks: dict[str, frozenset[str] | None] = {}
    for version in versions(state, name):
        gone, content = state.get(COLLECTED, erasure_key(name, version.content)), present(state, name, version.content)
        own = chunks[version.content] = _chunks(content, blobs) if gone is None else None
        parents = [each for parent in version.parents if (each := chunks.get(parent)) is not None]
        shared = len(own & frozenset[str]().union(*parents)) if own is not None and parents else None
        found.append(Stored(version, content, gone.at if gone is not None else None, None if own is None else len(own), shared))
    return found


def _chunks(content: str, blobs: Blobs) -> frozenset[str] | None:
    try:
        return frozenset(chunk.content for chunk in manifest.manifest(content, blobs).chunks)
    except (NotFound, Corrupt):
        return None
