"""What every record has in common: frozen, closed to unknown fields, and canonical JSON in and out."""

from __future__ import annotations

from typing import Annotated, ClassVar, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import msgspec

from flyball.clock import Instant

BlobHash: TypeAlias = Annotated[str, msgspec.Meta(extra={"blob": "bytes"})]
"""SHA-256 of a blob, in hex; empty text means none. In an event, `audit verify` looks for the blob and hashes it."""

ManifestHash: TypeAlias = Annotated[str, msgspec.Meta(extra={"blob": "manifest"})]
"""BlobHash of an artifact's `records.models.Manifest`, whose own files are looked for as well."""

ResultHash: TypeAlias = Annotated[str, msgspec.Meta(extra={"blob": "result"})]
"""BlobHash of a run's `records.training.RunResult`, whose evidence and reference are looked for as well."""

ContentHash: TypeAlias = Annotated[str, msgspec.Meta(extra={"blob": "content"})]
"""BlobHash of what holds rows: the `records.data.DatasetManifest` of a data set, whose chunks are looked for as well, or a segment's Parquet."""


Personal: TypeAlias = Annotated[str, msgspec.Meta(extra={"personal": True})]
"""Text about a person. In an event it lies as the salted hash of what was said; the text itself is kept apart, where it can be erased
(`ledger.personal`). Folds and proofs see the hash alone, so that erasing the text changes neither. Empty text stays empty.
"""


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False, gc=False):
    """A frozen value that stages exchange. It can be in no circle of references, so the garbage collector need not look at it."""


class Event(Record, frozen=True, tag_field="kind"):
    """Something that was decided or observed. A subclass names its kind with `tag=` and its meaning in its docstring.

    `version_of_kind` is that of its fields: a change that an old event does not decode with raises it (`vocabulary.UPCASTS`).
    """

    version_of_kind: ClassVar[int] = 1

    @property
    def kind(self) -> str:
        """The event's kind, such as `rollout.planned`."""
        return str(self.__struct_config__.tag)


class Recorded(NamedTuple):
    """An event in its place in the ledger. `at` never goes back; `command` is the id of the command that caused it."""

    seq: int
    at: Instant
    actor: str
    command: str
    event: Event


RowT = TypeVar("RowT", bound=Record)


class Table(Generic[RowT]):
    """A projection's name and the type of its rows. Keys are text; a compound key joins its parts with `/`."""

    __slots__ = ("name", "row")

    def __init__(self, name: str, row: type[RowT]) -> None:
        self.name = name
        self.row = row

    def __repr__(self) -> str:
        return f"Table({self.name!r})"


class State(Protocol):
    """Read-only view of the projections."""

    def get(self, table: Table[RowT], key: str) -> RowT | None:
        """The row under `key`, or None."""
        ...

    def scan(self, table: Table[RowT], prefix: str = "") -> list[tuple[str, RowT]]:
        """Every (key, row) whose key starts with `prefix`, in key order."""
        ...


class Projection(State, Protocol):
    """What a fold may touch: nothing but rows."""

    def put(self, table: Table[RowT], key: str, row: RowT) -> None:
        """Write a row, whether or not the key is there."""
        ...

    def delete(self, table: Table[RowT], key: str) -> None:
        """Remove a row; no row is no error."""
        ...


class Fold(Protocol):
    """How one kind of event changes the projections. Pure but for `projection`."""

    def __call__(self, projection: Projection, recorded: Recorded, /) -> None:
        """Apply the event."""
        ...


class Refusal(Record, frozen=True):
    """A decision not to act, as the caller is told it. `code` is the error's code (errors.py)."""

    code: str
    what: str
    why: str = ""
    fix: str = ""


class Receipt(Record, frozen=True):
    """What a command came to: the events it appended (first and last sequence number; 0 and 0 if none were needed)."""

    command: str
    first: int
    last: int
    repeated: bool = False
