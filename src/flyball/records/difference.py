"""What two versions of a data set do not have in common, as it is told."""

from __future__ import annotations

from flyball.records.base import Record

Value = bool | int | float | str | None


class Retyped(Record, frozen=True):
    """A column that changed its type."""

    column: str
    before: str
    after: str


class SchemaDifference(Record, frozen=True):
    """Columns that came, went, or changed their type."""

    came: tuple[str, ...]
    went: tuple[str, ...]
    retyped: tuple[Retyped, ...]


class RowDifference(Record, frozen=True):
    """Rows by all columns that both versions have: a changed one went and came. Examples have no column that says who a row is of."""

    before: int
    after: int
    added: int
    removed: int
    added_examples: tuple[dict[str, Value], ...]
    removed_examples: tuple[dict[str, Value], ...]
    chunks_shared: int
    chunks_before: int
    chunks_after: int


class ColumnDifference(Record, frozen=True):
    """One column in both versions: missing values, means of numbers, and how far the distributions are apart.

    `measure` is "psi" or "tv" (total variation distance, 0 to 1), or empty where values are not compared. `came` and `went` are values of
    columns with few enough to be known; beyond some they are counted in `more_came` and `more_went`.
    """

    column: str
    nulls_before: int
    nulls_after: int
    distinct_before: int
    distinct_after: int
    mean_before: float | None = None
    mean_after: float | None = None
    measure: str = ""
    distance: float | None = None
    came: tuple[str, ...] = ()
    went: tuple[str, ...] = ()
    more_came: int = 0
    more_went: int = 0


class Difference(Record, frozen=True):
    """Everything that two versions do not have in common."""

    schema: SchemaDifference
    rows: RowDifference
    columns: tuple[ColumnDifference, ...]
