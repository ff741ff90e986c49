"""What an incident cost, from counts. Pure.

Wrong rows are those beyond the bound of the loss at release: what would have been wrong anyway is no part of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flyball.clock import Instant, to_second
from flyball.declare.metrics import CLASSES
from flyball.declare.units import Money
from flyball.records.evidence import Quality
from flyball.records.incidents import Impact


def impact(
    task: str,
    costs: Mapping[str, Money],
    quality: Quality | None,
    *,
    m0: float,
    requests: int,
    errors: int,
    since: Instant,
    until: Instant,
    made: bool = False,
) -> Impact:
    """What these counts come to. quality: of the labelled rows of all slices together; m0: the upper bound of the error rate at release; made: as in
    Impact.

    A number's error has no rows that are wrong, only costs by `costs=`, which no bound at release is known of: it has no money here.
    """
    counted = Impact(since=since, until=until, requests=requests, errors=errors, made=made)
    if quality is None or task not in CLASSES or not quality.labelled:
        return counted
    bad = quality.labelled - quality.correct
    wrong = max(0.0, bad - m0 * quality.labelled)
    price = _price(task, costs, quality)
    return Impact(
        since=since,
        until=until,
        requests=requests,
        errors=errors,
        labelled=quality.labelled,
        wrong=round(wrong, 1),
        money=None if price is None else round(wrong * price, 2),
        currency=next((each.currency for each in costs.values()), "") if price is not None else "",
        made=made,
    )


def together(before: Impact, then: Impact) -> Impact:
    """What an incident cost that opened again: both times together, and nothing of the time between them. Money is known where it was each time."""
    return Impact(
        since=before.since,
        until=max(before.until, then.until),
        requests=before.requests + then.requests,
        errors=before.errors + then.errors,
        labelled=before.labelled + then.labelled,
        wrong=round(before.wrong + then.wrong, 1),
        money=_sum([each.money for each in (before, then) if each.labelled]),
        currency=then.currency or before.currency,
        made=then.made,
    )


def _sum(money: Sequence[float | None]) -> float | None:
    known = [each for each in money if each is not None]
    return round(sum(known), 2) if known and len(known) == len(money) else None


def _price(task: str, costs: Mapping[str, Money], quality: Quality) -> float | None:
    """What one wrong row costs, by the mix of errors there was; None where nothing says."""
    if not costs:
        return None
    alarm, miss = (costs[kind].amount if kind in costs else 0.0 for kind in ("false_positive", "false_negative"))
    if task != "binary":
        return alarm
    bad = quality.fp + quality.fn
    return (quality.fp * alarm + quality.fn * miss) / bad if bad else 0.0


def words(found: Impact) -> str:
    """An impact as a sentence."""
    if found.made and not found.requests:
        return f"not known: no prediction that was made since {to_second(found.since)} has been sent"
    asked = (
        f"{_several(found.requests, 'prediction')} made since {to_second(found.since)}"
        if found.made
        else _several(found.requests, "request")
    )
    parts = [asked, _several(found.errors, "error")]
    if found.labelled:
        parts.append(f"about {found.wrong:,.0f} of {_several(found.labelled, 'labelled row')} wrong beyond the bound at release")
    if found.money is not None:
        parts.append(f"{found.money:,.2f} {found.currency}")
    return ", ".join(parts)


def _several(number: int, one: str) -> str:
    return f"{number:,} {one}{'' if number == 1 else 's'}"
