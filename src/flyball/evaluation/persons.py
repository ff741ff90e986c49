"""What a gate that asks for a person's yes comes to. Apart from the other gates, for deciding on it loads no statistics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from flyball.records.estimates import Estimate, Outcome, Verdict

NONE_GIVEN = "none given"
"""Why an approval is open that nobody has given yet."""


def of_card(verdict: Verdict) -> bool:
    """Whether nothing but the texts of the model card can make it pass."""
    return verdict.blanks is not None and " or " not in verdict.check


def of_price(verdict: Verdict) -> bool:
    """Whether it is open for want of a price, or of one in the currency of its bound."""
    nothing = verdict.estimate is None or verdict.estimate.value is None
    asks = any(part.startswith("train_cost ") for part in verdict.check.split(" or "))
    return asks and nothing and verdict.outcome is Outcome.INSUFFICIENT


def written(verdicts: Sequence[Verdict], blanks: Sequence[str]) -> tuple[Verdict, ...]:
    """The verdicts with what persons have written since: one on the card passes when no more of it is blank than its gate allows."""
    return tuple(_with_card(verdict, blanks) if verdict.blanks is not None else verdict for verdict in verdicts)


def _with_card(verdict: Verdict, blanks: Sequence[str]) -> Verdict:
    if verdict.outcome is not Outcome.INSUFFICIENT or verdict.blanks is None:
        return verdict
    if len(blanks) > verdict.blanks:
        # of alternatives, each says why it is open
        return msgspec.structs.replace(verdict, why=blank_text(blanks)) if of_card(verdict) else verdict
    why = f"the card is written but for {', '.join(blanks)}" if blanks else "the card is written"
    return msgspec.structs.replace(verdict, outcome=Outcome.PASS, estimate=Estimate(value=float(len(blanks))), why=why)


def blank_text(blanks: Sequence[str]) -> str:
    """What is missing on a card."""
    return f"not written: {', '.join(blanks)}"


class Approved(NamedTuple):
    """A person's yes, given with this role."""

    role: str
    actor: str


def of_persons(verdict: Verdict) -> bool:
    """Whether nothing but a person's yes can make it pass: newer rows cannot."""
    return bool(verdict.asks) and verdict.check == " or ".join(f"approval by {asked.count} {asked.role}" for asked in verdict.asks)


def approved(verdicts: Sequence[Verdict], approvals: Sequence[Approved]) -> tuple[Verdict, ...]:
    """The verdicts with what persons have said since: one that asks for a person's yes passes when enough different persons gave it."""
    return tuple(_with(verdict, approvals) if verdict.asks and verdict.outcome is Outcome.INSUFFICIENT else verdict for verdict in verdicts)


def _with(verdict: Verdict, approvals: Sequence[Approved]) -> Verdict:
    people = {asked: {given.actor for given in approvals if given.role == asked.role} for asked in verdict.asks}
    met = next((asked for asked in verdict.asks if len(people[asked]) >= asked.count), None)
    if met is not None:
        why = f"given by {', '.join(sorted(people[met]))} ({met.role})"
        return msgspec.structs.replace(verdict, outcome=Outcome.PASS, why=why)
    given = "; ".join(f"{len(people[asked])} of {asked.count} given ({asked.role})" for asked in verdict.asks if people[asked])
    return msgspec.structs.replace(verdict, why=given) if given else verdict
