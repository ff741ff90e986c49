"""flyball: declare a model once, and flyball keeps it true in production, with proof.

The names of a loop file, loaded on first use: the gateway, the guardian and the supervisor import this package too, and need none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flyball.declare.checks import approval as approval
    from flyball.declare.checks import at_release as at_release
    from flyball.declare.checks import baseline as baseline
    from flyball.declare.checks import champion as champion
    from flyball.declare.checks import drift as drift
    from flyball.declare.checks import metric as metric
    from flyball.declare.columns import column as column
    from flyball.declare.data import Dataset as Dataset
    from flyball.declare.data import secret as secret
    from flyball.declare.data import sql as sql
    from flyball.declare.model import Framing as Framing
    from flyball.declare.model import Label as Label
    from flyball.declare.model import Model as Model
    from flyball.declare.model import Outcome as Outcome
    from flyball.declare.model import suite as suite
    from flyball.declare.policy import Batch as Batch
    from flyball.declare.policy import Objective as Objective
    from flyball.declare.policy import Playbook as Playbook
    from flyball.declare.policy import Retrain as Retrain
    from flyball.declare.policy import Rollout as Rollout
    from flyball.declare.training import Run as Run
    from flyball.declare.training import Train as Train
    from flyball.declare.training import choice as choice
    from flyball.declare.training import floats as floats
    from flyball.declare.training import integers as integers
    from flyball.declare.views import FeatureView as FeatureView
    from flyball.declare.views import window as window

_HOMES = {
    "checks": ("approval", "at_release", "baseline", "champion", "drift", "metric"),
    "columns": ("column",),
    "data": ("Dataset", "secret", "sql"),
    "model": ("Framing", "Label", "Model", "Outcome", "suite"),
    "policy": ("Batch", "Objective", "Playbook", "Retrain", "Rollout"),
    "training": ("Run", "Train", "choice", "floats", "integers"),
    "views": ("FeatureView", "window"),
}
_NAMES = {name: f"flyball.declare.{home}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Load one of the names of a loop file."""
    if name in _NAMES:
        value = getattr(import_module(_NAMES[name]), name)
        globals()[name] = value
        return value
    if name.startswith("__"):
        raise AttributeError(f"module 'flyball' has no attribute {name!r}")
    import difflib

    close = difflib.get_close_matches(name, _NAMES, n=1)
    hint = f'; did you mean "{close[0]}"?' if close else f"; it has {', '.join(sorted(_NAMES))}"
    raise AttributeError(f'flyball has no "{name}"{hint}')


def __dir__() -> list[str]:
    """The names of a loop file."""
    return sorted(_NAMES)
