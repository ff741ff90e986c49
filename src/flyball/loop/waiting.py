"""What of a model waits or is broken, each with what ends it, for every face alike. A model costs a few looks, however many versions and runs it has. Pure."""

from __future__ import annotations

from typing import Literal

from flyball.errors import Corrupt
from flyball.evaluation.persons import NONE_GIVEN, of_card
from flyball.loop.lookup import active_rollout, last_not_cancelled, roles
from flyball.loop.requests import Signatures, never_released, never_text
from flyball.records.base import Record, State
from flyball.records.estimates import Outcome
from flyball.records.rollouts import RolloutRow, RolloutState
from flyball.records.training import RunState
from flyball.records.versions import VERSIONS, VersionRow, VersionState
from flyball.registry.mends import mends

_LONGEST = 160
"""Of a text that a user's code may have written."""


class Waiting(Record, frozen=True):
    """One thing of a model that waits (a held version, a rollout), is refused (a version) or is broken (a run). `what` says why, `step` is what ends it."""

    kind: Literal["held", "refused", "failed", "rollout", "unread"]
    model: str
    subject: str
    """The version, the run or the rollout; empty of a row that cannot be read."""
    what: str
    step: str


def waiting(state: State, model: str, *, up: bool, signatures: Signatures) -> tuple[Waiting, ...]:
    """What there is of a model: its newest version, its newest run and its rollout are looked at. `up`: whether a loop and gateways run; `signatures`:
    artifact → what it takes.

    A row of it that cannot be read keeps nobody from seeing the other models.
    """
    try:
        row = roles(state, model)
        version = state.get(VERSIONS, f"{model}/{row.newest}") if row.newest else None
        rollout = active_rollout(state, model) if row.rollout else None
        found = (version and stopped(state, version, signatures), _failed(state, model, row.last_run), rollout and _stands(rollout, up=up))
    except Corrupt as error:
        return (Waiting("unread", model, "", error.what, error.fix),)
    return tuple(each for each in found if each)


def stopped(state: State, row: VersionRow, signatures: Signatures) -> Waiting | None:
    """That a version cannot be released as it is, and what ends it; None for one that can, or that was. Where it takes other requests than the champion,
    nothing that persons or rows say of it helps.
    """
    if row.state not in (VersionState.HELD, VersionState.ELIGIBLE):
        return None
    never = never_released(state, row, signatures)
    text = never_text(never, row) if never is not None else ""
    if row.state is VersionState.HELD:
        return Waiting("held", row.model, row.version, "; ".join(filter(None, (held_text(row), text))), never.fix if never else mends(row))
    return Waiting("refused", row.model, row.version, text, never.fix) if never is not None else None


def _failed(state: State, model: str, last_run: str) -> Waiting | None:
    """That the newest run failed. One that was cancelled says nothing of it: the one before does."""
    run = last_not_cancelled(state, last_run)
    if run is None or run.state is not RunState.FAILED:
        return None
    whose = f"judging {run.judges} again: " if run.judges else ""
    return Waiting("failed", model, run.run, f"{whose}{_short(run.why) or 'no reason was left'}", f"flyball runs show {run.run}")


def _stands(row: RolloutRow, *, up: bool) -> Waiting | None:
    """A rollout that a person or something that was seen holds, or that needs processes which do not run."""
    shown, start = f"flyball rollouts show {row.rollout}", "flyball up"
    what, step = {
        RolloutState.PAUSED: (f"is paused: {_short(row.why)}", f"flyball rollouts resume {row.rollout}"),
        RolloutState.FROZEN: (f"is frozen: {_short(row.why)}", shown),
        RolloutState.PLANNED: ("is released, and waits: nothing is up", start),
        RolloutState.WARMING: ("is released, and waits: nothing is up", start),
        RolloutState.ROLLING_BACK: (f"goes back to {row.champion}, and waits: nothing is up", f"{start}, or flyball tick"),
    }.get(row.state, ("", ""))
    if row.state is RolloutState.ROLLING_BACK and up:
        what, step = f"goes back to {row.champion}, not in force everywhere yet", shown
    elif up and row.state in (RolloutState.PLANNED, RolloutState.WARMING):
        return None
    return Waiting("rollout", row.model, row.rollout, f"{row.version} {what}", step) if what else None


def asked_text(row: VersionRow) -> str:
    """What persons have to do about a held version: "approval by 1 risk-officer; its card has blanks: ethics"; empty for nothing."""
    if row.state is not VersionState.HELD:
        return ""
    open_ = [one for one in row.verdicts if one.outcome is Outcome.INSUFFICIENT]
    wanted = [f"{one.check}{'' if one.why == NONE_GIVEN else f', {one.why}'}" for one in open_ if one.asks]
    if row.blanks and any(of_card(one) for one in open_):
        wanted.append(f"its card has blanks: {', '.join(row.blanks)}")
    return "; ".join(wanted)


def held_text(row: VersionRow) -> str:
    """All that a held version waits for: what persons have to do, then the first gate that lacks data, and how many others do."""
    lacking = [one for one in row.verdicts if one.outcome is Outcome.INSUFFICIENT and not one.asks and not of_card(one)]
    others = len(lacking) + row.unlisted.get(Outcome.INSUFFICIENT.value, 0) - 1
    texts = [
        f"{one.check}{f' in {one.slice}' if one.slice else ''}: {_short(one.why) or 'too little data'}"
        + (f" (and {others} more)" if others else "")
        for one in lacking[:1]
    ]
    return "; ".join(filter(None, (asked_text(row), *texts)))


def _short(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
