"""Searching hyperparameters: seeded TPE over what is declared, judged on an inner validation slice, never on the hold-out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from flyball.declare.training import Choice, Floats, Integers, Space
from flyball.training.calls import Parameters

Score = Callable[[Parameters], float]
"""Higher is better."""


def search(
    space: Mapping[str, Space],
    score: Score,
    *,
    trials: int,
    seed: int,
    first: Parameters,
    progress: Callable[[int, int, float], None],
) -> Parameters:
    """The best of `trials` points, the first of which is `first` (the defaults). Equal scores keep the earlier point.

    `progress(done, trials, best)` is called after each. An error of a fit ends the search: it would end the run as well.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    study.enqueue_trial({name: value for name, value in first.items() if name in space and _holds(space[name], value)}, skip_if_exists=True)
    best, best_score = {name: first[name] for name in space if name in first}, float("-inf")
    for done in range(1, trials + 1):
        trial = study.ask()
        point = {name: _suggest(trial, name, each) for name, each in space.items()}
        found = score(point)
        study.tell(trial, found)
        if found > best_score:
            best, best_score = point, found
        progress(done, trials, best_score)
    return best


def _suggest(trial: Any, name: str, space: Space) -> Any:
    if isinstance(space, Integers):
        return trial.suggest_int(name, space.low, space.high, log=space.log)
    if isinstance(space, Floats):
        return trial.suggest_float(name, space.low, space.high, log=space.log)
    return trial.suggest_categorical(name, list(space.options))


def _holds(space: Space, value: Any) -> bool:
    if isinstance(space, Choice):
        return value in space.options
    return isinstance(value, int | float) and space.low <= value <= space.high
