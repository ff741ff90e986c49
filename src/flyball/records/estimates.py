"""Numbers with their uncertainty, and the verdicts that rest on them."""

from __future__ import annotations

from enum import StrEnum

from flyball.records.base import Record


class Estimate(Record, frozen=True):
    """A metric's value with a two-sided 95% interval. None where it is not defined; `why` then says the reason.

    Of one that is defined, `why` says what a reader should know of it, such as how many lists of a ranking were left out. `n`: rows, or lists.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    why: str = ""


class Outcome(StrEnum):
    """What a check came to. Too little data is its own verdict, never a pass."""

    PASS = "pass"  # noqa: S105 - a verdict, not a secret
    FAIL = "fail"
    INSUFFICIENT = "insufficient"
    WAIVED = "waived"


class Asked(Record, frozen=True):
    """`count` persons with this role or job are asked for their yes."""

    role: str
    count: int


class Verdict(Record, frozen=True):
    """One check's outcome, and why. `slice` is empty for the whole, else as in `day=6`. `asks`: whose yes makes it pass, any of these.

    `blanks`: it passes when so many blanks of the model card are left open, or fewer; None: it is not about the card.
    """

    check: str
    outcome: Outcome
    slice: str = ""
    estimate: Estimate | None = None
    reference: Estimate | None = None
    why: str = ""
    asks: tuple[Asked, ...] = ()
    blanks: int | None = None
