"""What `flyball monitor` says of business outcomes: what answers brought, how that goes with quality, and an effect where one may be claimed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flyball.cli.output import Output, ago, estimate, number, roughly
from flyball.clock import Instant
from flyball.records.estimates import Estimate
from flyball.records.outcomes import OutcomeEffect, OutcomeSeen

_PAD = "            "


def outcome_lines(out: Output, seen: Sequence[OutcomeSeen], now: Instant) -> Iterator[str]:
    """Some lines for each outcome."""
    for each in seen:
        yield f"  outcome   {each.outcome} {_value(each)}"
        if not each.known_at:
            continue
        yield _PAD + _coverage(each, now)
        yield from (f"{_PAD}{line}" for line in _relation(each))
        if each.no_effect:
            yield f"{_PAD}{out.paint('no effect is claimed', 'unsure')}: {each.no_effect}"
        yield from (f"{_PAD}{_effect(out, one)}" for one in each.effects)


def _value(each: OutcomeSeen) -> str:
    if not each.known_at:
        return "not counted yet"
    if each.value.value is None:
        return each.value.why
    return f"{estimate(each.value)} by {each.version}: the {each.how} of its rows within {each.within}, a mean over answers"


def _coverage(each: OutcomeSeen, now: Instant) -> str:
    told = f"{each.due:,} of {each.asked:,} answers are due (its data reach to {ago(each.known_at, now)} ago)"
    if each.coverage is not None:
        told += f"; {100 * each.coverage:.3g}% have a row"
        told += "" if each.lag_p50_s is None else f", half of them within {roughly(round(each.lag_p50_s * 1e6))}"
    return told + (f"; {each.unmatched:,} rows belong to no answer" if each.unmatched else "")


def _relation(each: OutcomeSeen) -> Iterator[str]:
    daily, apart = each.relation.daily, each.relation.difference
    if daily.value is not None:
        better = "lower mae" if each.relation.metric == "mae" else f"higher {each.relation.metric}"
        yield f"relation, no effect: days of {better} against days of more, rank correlation {estimate(daily)} days"
    if apart.value is not None:
        sides = f"{_short(each.relation.right)} where the model was right, {_short(each.relation.wrong)} where it was wrong"
        yield f"relation, no effect: {sides}, apart by {estimate(apart)}"
    if daily.value is None and apart.value is None:
        yield f"no relation to quality is told: {apart.why or daily.why}"


def _short(found: Estimate) -> str:
    return "–" if found.value is None else number(found.value)


def _effect(out: Output, one: OutcomeEffect) -> str:
    sides = f"{one.new} against {one.old}, dealt at random ({one.rollout})"
    if one.difference.value is None:
        return f"{out.paint('no effect is claimed', 'unsure')} of {sides}: {one.difference.why}"
    return f"effect    {sides}: {estimate(one.difference)} units" + (f"; {one.difference.why}" if one.difference.why else "")
