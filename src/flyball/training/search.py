"""Searching hyperparameters: seeded TPE over what is declared, judged on an inner validation slice, never on the hold-out.

Points are asked for in batches of one size, and a batch is told when all of it is there: how many trials run at once, or how fast each is, changes
no point and no verdict on one. For the same reason a trial is pruned by what trials of earlier batches had reported, and by nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from flyball.declare.training import Choice, Floats, Integers, Space
from flyball.errors import BadInput
from flyball.records.training import Trial
from flyball.training.calls import Parameters

BATCH = 4
"""Points that are asked for together."""

STARTUP = 5
"""Trials that came to their end before one is pruned: a median of fewer says little."""

COMPLETE, PRUNED, FAILED, STOPPED = "complete", "pruned", "failed", "stopped"


@dataclass(frozen=True)
class Asked:
    """A trial that is to be made: its number from 1 on, and its point."""

    number: int
    point: Parameters


Evaluate = Callable[[Sequence[Asked], "Former"], Iterable[Trial]]
"""Makes the trials of a batch, in any order. Their values and reports are turned so that higher is better."""


@dataclass(frozen=True)
class Former:
    """What trials of earlier batches, which came to their end, had reported by step; `trials`: how many they are."""

    trials: int = 0
    reports: Mapping[int, Sequence[float]] = field(default_factory=dict)

    def hopeless(self, step: int, best: float) -> bool:
        """Whether a trial whose best report so far is `best` is below the median of the others at this step (Optuna's median rule)."""
        others = self.reports.get(step, ())
        return self.trials >= STARTUP and bool(others) and not best >= float(np.median(others))


@dataclass(frozen=True)
class Searched:
    """What a search came to: the best point, every trial in order, and why it ended before its time (empty: it did not)."""

    best: Parameters
    trials: tuple[Trial, ...] = ()
    ended: str = ""


def search(
    space: Mapping[str, Space],
    evaluate: Evaluate,
    *,
    trials: int,
    seed: int,
    first: Parameters,
    tell: Callable[[int, float], None],
    ends: Callable[[Sequence[Trial]], str] = lambda _done: "",
) -> Searched:
    """The best of `trials` points, the first of which is `first` (the defaults). Equal values keep the earlier point.

    `tell(done, best)` is called after each trial that came to something. `ends` is asked before each batch, with what was done: its reason, if any,
    ends the search. A trial that fails is no end of it. Raises BadInput (code "no-trial") where none came to its end.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed), pruner=optuna.pruners.NopPruner())
    study.enqueue_trial({name: value for name, value in first.items() if name in space and holds(space[name], value)}, skip_if_exists=True)
    done: list[Trial] = []
    ended = ""
    while len(done) < trials and not (ended := ends(done)):
        asked = [study.ask() for _ in range(min(BATCH, trials - len(done)))]
        points = [
            Asked(len(done) + place, {name: _suggest(trial, name, each) for name, each in space.items()})
            for place, trial in enumerate(asked, start=1)
        ]
        made = []
        for trial in _each_once(points, done, evaluate):
            made.append(trial)
            tell(len(done) + len(made), _best_value([*done, *made]))
        made.sort(key=lambda trial: trial.number)
        for told, trial in zip(asked, made, strict=True):
            _tell(study, told, trial)
        done += made
    whole = [trial for trial in done if trial.state == COMPLETE]
    if done and not whole:
        raise _nothing(done)
    # of equal values the earlier one
    best = max(whole, key=lambda trial: (trial.value, -trial.number), default=None)
    found = {name: first[name] for name in space if name in first} if best is None else dict(best.parameters)
    return Searched(found, tuple(done), ended)


def _each_once(points: Sequence[Asked], done: Sequence[Trial], evaluate: Evaluate) -> Iterable[Trial]:
    """The trials of a batch; a point that was tried in an earlier one has its outcome, and no second fit."""
    known = {_key(trial.parameters): trial for trial in reversed(done) if trial.state != STOPPED}
    again = [each for each in points if _key(each.point) in known]
    for each in again:
        former = known[_key(each.point)]
        yield Trial(
            number=each.number, parameters=each.point, state=former.state, value=former.value, why=former.why, reports=former.reports
        )
    new = [each for each in points if _key(each.point) not in known]
    if new:
        yield from evaluate(new, _former(done))


def _former(done: Sequence[Trial]) -> Former:
    whole = [trial for trial in done if trial.state == COMPLETE]
    reports: dict[int, list[float]] = {}
    for trial in whole:
        for step, value in trial.reports.items():
            reports.setdefault(step, []).append(value)
    return Former(len(whole), reports)


def _tell(study: Any, told: Any, trial: Trial) -> None:
    from optuna.trial import TrialState

    for step, value in trial.reports.items():
        told.report(value, step)
    if trial.state == COMPLETE:
        study.tell(told, trial.value)
    else:
        study.tell(told, state=TrialState.PRUNED if trial.state == PRUNED else TrialState.FAIL)


def _best_value(trials: Sequence[Trial]) -> float:
    return max((trial.value for trial in trials if trial.value is not None and trial.state == COMPLETE), default=float("-inf"))


def _nothing(done: Sequence[Trial]) -> BadInput:
    """What is said where no trial came to its end: those that all fail alike say nothing of the hyperparameters."""
    whys = dict.fromkeys(trial.why or trial.state for trial in done)
    alike = len(whys) == 1 and len({_key(trial.parameters) for trial in done}) > 1
    return BadInput(
        f"none of the search's {len(done)} trials came to its end",
        why=f"{next(iter(whys))}{', whatever the hyperparameters' if alike else ''}",
        fix="correct fit, or what it is given; one fit alone, with the declared hyperparameters: --trials 0",
        code="no-trial",
    )


def failures(trials: Sequence[Trial]) -> str:
    """How many trials failed, and why the first did; empty where none did."""
    whys = [trial.why for trial in trials if trial.state == FAILED]
    return f"{len(whys)} of {len(trials)} trials of the search failed, the first: {whys[0]}" if whys else ""


def _key(point: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, repr(value)) for name, value in point.items()))


def _suggest(trial: Any, name: str, space: Space) -> Any:
    if isinstance(space, Integers):
        return trial.suggest_int(name, space.low, space.high, log=space.log)
    if isinstance(space, Floats):
        return trial.suggest_float(name, space.low, space.high, log=space.log)
    return trial.suggest_categorical(name, list(space.options))


def holds(space: Space, value: Any) -> bool:
    """Whether a search of this space could try the value."""
    if isinstance(space, Choice):
        return value in space.options
    kind = int if isinstance(space, Integers) else int | float
    return isinstance(value, kind) and not isinstance(value, bool) and space.low <= value <= space.high


def told(space: Space) -> str:
    """A space in a few words."""
    return " or ".join(str(option) for option in space.options) if isinstance(space, Choice) else f"{space.low} to {space.high}"
