"""What came of computing served feature values again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

from flyball.clock import Instant
from flyball.records.base import Event, Record, Table


class Skew(StrEnum):
    """How a served value stands to the one that training would have had at its moment, exactly.

    - equal: the same.
    - missing: nothing was served where there is a value.
    - extra: a value was served where there is none.
    - stale: right for what the online side had taken up by then, which was behind.
    - wrong: neither.
    - unknown: it cannot be told yet, or any more: data of its moment is not in a version, or was erased.
    """

    EQUAL = "equal"
    MISSING = "missing"
    EXTRA = "extra"
    STALE = "stale"
    WRONG = "wrong"
    UNKNOWN = "unknown"


class FeatureSkew(Record, frozen=True):
    """Values of one feature of a view, by how they stood."""

    view: str
    feature: str
    equal: int = 0
    missing: int = 0
    extra: int = 0
    stale: int = 0
    wrong: int = 0
    unknown: int = 0

    @property
    def checked(self) -> int:
        """Values of which something can be said."""
        return self.equal + self.missing + self.extra + self.stale + self.wrong

    @property
    def skewed(self) -> int:
        """Values that are not what training would have had, nor merely late."""
        return self.missing + self.extra + self.wrong


def added(parts: Iterable[FeatureSkew]) -> list[FeatureSkew]:
    """The counts of the same features together, in order of first mention."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for part in parts:
        counts = found.setdefault((part.view, part.feature), Counter())
        counts.update({skew.value: getattr(part, skew.value) for skew in Skew})
    return [FeatureSkew(view=view, feature=feature, **counts) for (view, feature), counts in found.items()]


class SkewExample(Record, frozen=True):
    """One value that was not equal. `at` is its moment of prediction. `row` is the row's id, empty where a caller chose it.

    The values are empty text where they may say something of a person; else as JSON has them.
    """

    row: str
    at: Instant
    view: str
    feature: str
    skew: Skew
    served: str = ""
    offline: str = ""


class FeaturesVerified(Event, frozen=True, tag="features.verified"):
    """Feature values that a version was served were computed again from data set versions, and there is news of them.

    `rows` were looked at, in a sample of what was logged; `checked` is how many of their values something can be said of, and these are
    `equal`, `missing`, `extra`, `stale` or `wrong` (`Skew`). `features` are those with any that is not equal, or that had one the last time
    (`unlisted` more did not fit); `examples` shows some.
    """

    model: str
    version: str
    rows: int
    checked: int
    equal: int
    missing: int
    extra: int
    stale: int
    wrong: int
    unknown: int
    features: tuple[FeatureSkew, ...] = ()
    examples: tuple[SkewExample, ...] = ()
    unlisted: int = 0


class SkewRow(Record, frozen=True):
    """What was last said of the features that a version is served."""

    model: str
    version: str
    at: Instant
    rows: int
    checked: int
    features: tuple[FeatureSkew, ...] = ()
    examples: tuple[SkewExample, ...] = ()


SKEWS = Table("skew", SkewRow)
"""Keyed by `model/version`."""

EVENTS = (FeaturesVerified,)
