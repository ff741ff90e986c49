"""What a run was made with and on, and whether it could be made again."""

from __future__ import annotations

from collections.abc import Mapping

from flyball.records.base import BlobHash, Record


class Environment(Record, frozen=True):
    """Where a run was made. `libraries` are those that its code imports, with flyball and what its artifact rests on; `lock` is the blob of all that
    was installed (`name==version` a line). `threads` are the caps on threads of numerical libraries, `processor` the processor's name.
    """

    python: str
    implementation: str
    system: str
    processor: str
    processors: int
    threads: dict[str, str]
    libraries: dict[str, str]
    lock: BlobHash = ""


class Reproduction(Record, frozen=True):
    """A run made again. `same`: its artifact is the very one, `expected`. If not, `learned_same` says whether what was learned is, and `differs` which
    inputs are not what they were, a sentence each.
    """

    run: str
    same: bool
    artifact: str
    expected: str
    learned_same: bool
    differs: tuple[str, ...] = ()


def changed(before: Mapping[str, str], now: Mapping[str, str | None]) -> tuple[str, ...]:
    """What of `before` is another version `now`, or is not there (None): "scikit-learn 1.7.0 → 1.8.0".

    >>> changed({"numpy": "2.0", "scipy": "1.1"}, {"numpy": "2.1", "scipy": None})
    ('numpy 2.0 → 2.1', 'scipy 1.1 → not installed')
    """
    return tuple(
        f"{name} {version} → {found if found is not None else 'not installed'}"
        for name, version in sorted(before.items())
        if (found := now.get(name)) != version
    )
