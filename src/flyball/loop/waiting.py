"""What of a model waits or is broken, each with what ends it, for every face alike. A model costs a few looks, however many versions and runs it has. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from flyball.clock import Instant
from flyball.declare.live import grows
from flyball.errors import Corrupt
from flyball.evaluation.persons import NONE_GIVEN, of_card
from flyball.loop.lookup import active_rollout, last_not_cancelled, readable, roles
from flyball.loop.ports import Library
from flyball.loop.requests import never_released, never_text
from flyball.records.base import Record, State
from flyball.records.declarations import DECLARATIONS
from flyball.records.estimates import Outcome, Verdict
from flyball.records.rollouts import RolloutRow, RolloutState
from flyball.records.serving import ROUTES
from flyball.records.training import RunState
from flyball.records.versions import VERSIONS, VersionRow, VersionState
from flyball.registry.mends import mends
from flyball.rollout import rules

_LONGEST = 160
"""Of a text that a user's code may have written."""


class Waiting(Record, frozen=True):
    """One thing of a model that waits (a held version, a rollout), was rejected or is refused (a version) or is broken (a run). `what` says why, `step` is what ends it."""

    kind: Literal["held", "rejected", "refused", "failed", "rollout", "unread"]
    model: str
    subject: str
    """The version, the run or the rollout; empty of a row that cannot be read."""
    what: str
    step: str


def waiting(state: State, model: str, *, now: Instant, up: bool, library: Library) -> tuple[Waiting, ...]:
    """What there is of a model: its newest version, its newest run and its rollout are looked at. `up`: whether a loop and gateways run.

    A row of it that cannot be read keeps nobody from seeing the other models.
    """
    try:
        row = roles(state, model)
        version = state.get(VERSIONS, f"{model}/{row.newest}") if row.newest else None
        rollout = active_rollout(state, model) if row.rollout else None
        route = state.get(ROUTES, model) if rollout else None
        silent = route is not None and not route.route.arms
        shut = _shut(state, rollout, library, now) if rollout else ""
        stands = rollout and _stands(rollout, up=up, silent=silent, shut=shut)
        found = (version and _version(state, version, library), _failed(state, model, row.last_run), stands)
    except Corrupt as error:
        return (Waiting("unread", model, "", error.what, error.fix),)
    return tuple(each for each in found if each)


def _version(state: State, row: VersionRow, library: Library) -> Waiting | None:
    found = stopped(state, row, library)
    if found is None or found.kind != "rejected":
        return found
    # a version that failed has more to say than a line holds
    return Waiting(
        found.kind, found.model, found.subject, found.what, f"flyball models show {row.model}@{row.version} says more; {found.step}"
    )


def stopped(state: State, row: VersionRow, library: Library) -> Waiting | None:
    """That a version cannot be released as it is, and what ends it; None for one that can, or that was. All that stops it is told. Where it takes other
    requests than the champion, nothing that persons or rows say of it helps.
    """
    if row.state not in (VersionState.HELD, VersionState.REJECTED, VersionState.ELIGIBLE):
        return None
    never = never_released(state, row, library.signature)
    failed, open_ = _failed_text(row), _open_text(row)
    open_too = f"open as well: {open_}" if failed and open_ else open_
    texts = (failed, open_too, never_text(never, row) if never is not None else "")
    what = "; ".join(filter(None, texts))
    if row.state is VersionState.ELIGIBLE:
        return Waiting("refused", row.model, row.version, what, never.fix) if never is not None else None
    kind: Literal["held", "rejected"] = "held" if row.state is VersionState.HELD else "rejected"
    return Waiting(kind, row.model, row.version, what, never.fix if never is not None else mends(row, grows=_grows(state, row, library)))


def _grows(state: State, row: VersionRow, library: Library) -> bool:
    """Whether the rows that come judge a version again; taken for so where its declaration cannot be read, which others say."""
    declared = state.get(DECLARATIONS, row.model)
    model = readable(library, declared)[0] if declared is not None else None
    return model is None or grows(model)


def _failed(state: State, model: str, last_run: str) -> Waiting | None:
    """That the newest run failed. One that was cancelled says nothing of it: the one before does."""
    run = last_not_cancelled(state, last_run)
    if run is None or run.state is not RunState.FAILED:
        return None
    whose = f"judging {run.judges} again: " if run.judges else ""
    return Waiting("failed", model, run.run, f"{whose}{_short(run.why) or 'no reason was left'}", f"flyball runs show {run.run}")


def _shut(state: State, row: RolloutRow, library: Library, now: Instant) -> str:
    """That a rollout's change window is closed, and until when; empty where it is not, and where its declaration cannot be read, which others say."""
    declared = state.get(DECLARATIONS, row.model)
    model = readable(library, declared)[0] if declared is not None else None
    return rules.shut(row, model.rollout, now) if model is not None else ""


def _stands(row: RolloutRow, *, up: bool, silent: bool, shut: str) -> Waiting | None:
    """A rollout that a person, something that was seen, or its change window (`shut`) holds, or that needs processes which do not run. `silent`: nobody
    answers as long as it does.
    """
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
    elif up and shut and row.state is RolloutState.WARMING:
        what, step = f"is released, and waits: {shut}", f"it begins then; flyball rollouts abort {row.rollout} gives it up"
    elif silent and row.state is RolloutState.WARMING:
        what = "is released, and may not answer yet: its gates do not hold by now, it is advised against, or an incident freezes releases"
        step = f"flyball models show {row.model}@{row.version} says what stops it; flyball rollouts abort {row.rollout} gives it up"
    elif up and row.state in (RolloutState.PLANNED, RolloutState.WARMING):
        return None
    return Waiting("rollout", row.model, row.rollout, f"{row.version} {what}", step) if what else None


def asked_text(row: VersionRow) -> str:
    """What persons have to do about a held version: "approval by 1 risk-officer; its card has blanks: ethics"; empty for nothing."""
    return _asked_text(row) if row.state is VersionState.HELD else ""


def _asked_text(row: VersionRow) -> str:
    open_ = [one for one in row.verdicts if one.outcome is Outcome.INSUFFICIENT]
    wanted = [f"{one.check}{'' if one.why == NONE_GIVEN else f', {one.why}'}" for one in open_ if one.asks]
    if row.blanks and any(of_card(one) for one in open_):
        wanted.append(f"its card has blanks: {', '.join(row.blanks)}")
    return "; ".join(wanted)


def _open_text(row: VersionRow) -> str:
    """All that is open of a version: what persons have to do, then the first gate that lacks data, and how many others do."""
    lacking = [one for one in row.verdicts if one.outcome is Outcome.INSUFFICIENT and not one.asks and not of_card(one)]
    return "; ".join(filter(None, (_asked_text(row), _first(lacking, row.unlisted.get(Outcome.INSUFFICIENT.value, 0), "too little data"))))


def _failed_text(row: VersionRow) -> str:
    """The first gate that a version failed, and how many others."""
    failed = [one for one in row.verdicts if one.outcome is Outcome.FAIL]
    text = _first(failed, row.unlisted.get(Outcome.FAIL.value, 0), "it does not hold")
    return f"failed {text}" if text else ""


def _first(verdicts: Sequence[Verdict], unlisted: int, why: str) -> str:
    others = len(verdicts) + unlisted - 1
    texts = [
        f"{one.check}{f' in {one.slice}' if one.slice else ''}: {_short(one.why) or why}" + (f" (and {others} more)" if others else "")
        for one in verdicts[:1]
    ]
    return "".join(texts)


def _short(text: str) -> str:
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
