"""What a person may ask of a run, whichever face they ask it by."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import cast

import msgspec
import pytest

import flyball as fb
from flyball.declare import codec
from flyball.declare.functions import Function
from flyball.declare.rules_fit import written_hyperparameters
from flyball.declare.training import floats
from flyball.errors import BadInput
from flyball.loop.ports import Ports
from flyball.loop.training import MOST_TRIALS, run_spec
from flyball.records.declarations import DECLARATIONS

from .test_due import DATA, DAY, World

SOURCE = """
import functools

def fit(X, y, weight=None, *, penalty: float = 1.0, depth=3, seed=0, **more):
    return X

@functools.cache
def wrapped(X, y, *, depth=3):
    return X

twice = lambda X, y, *, depth=3: X
"""
FILES = {"loops/m.py": SOURCE, "house/__init__.py": "def fit(X, y, *, leaves=9): ..."}


def declared_fit(X, y, *, penalty=1.0, depth=3):
    return X, y, penalty, depth


@pytest.fixture
def asked():
    """Asks for a run of a model whose fit takes `penalty`, which is searched, and `depth`, which is not."""
    world = World()
    row = world.state.get(DECLARATIONS, "m")
    assert row is not None
    world.state.put(DECLARATIONS, "m", msgspec.structs.replace(row, code="the code"))
    ports = cast("Ports", SimpleNamespace(library=world.library, before=None, blobs={"the code": json.dumps(FILES).encode()}))
    train = fb.Train(declared_fit, search={"penalty": floats(0.1, 1.0)}, trials=7)
    model = codec.decode(codec.encode(fb.Model("m", task="binary", data=DATA, label="y", train=train)))
    assert model.train is not None
    object.__setattr__(model.train, "fit", Function("loops.m", "fit", "d"))

    def ask(**what):
        return run_spec(ports, world.state, model, "manual", 20 * DAY, **what)

    return ask


def test_a_hyperparameter_that_nobody_searches_may_be_fixed(asked) -> None:
    assert asked(parameters={"depth": 4, "penalty": 2.0}).parameters == {"depth": 4, "penalty": 2.0}


@pytest.mark.parametrize(
    ("name", "fix"), [("depht", 'did you mean "depth"?'), ("Q", "penalty, depth"), ("X", "penalty, depth"), ("seed", "penalty, depth")]
)
def test_one_that_fit_has_not_is_refused_with_a_near_name(asked, name: str, fix: str) -> None:
    with pytest.raises(BadInput, match=f'fit of m has no hyperparameter "{name}"') as caught:
        asked(parameters={name: 1})
    assert caught.value.why == "it has penalty, depth"
    assert fix in caught.value.fix


@pytest.mark.parametrize("trials", [-1, MOST_TRIALS + 1, 10**12])
def test_a_number_of_trials_that_cannot_be_meant_is_refused(asked, trials: int) -> None:
    with pytest.raises(BadInput, match=f"{trials:,} trials") as caught:
        asked(trials=trials)
    assert "10,000" in caught.value.why


@pytest.mark.parametrize("trials", [0, MOST_TRIALS])
def test_any_other_is_taken(asked, trials: int) -> None:
    assert asked(trials=trials).trials == trials


@pytest.mark.parametrize(
    ("module", "name", "known"),
    [
        ("loops.m", "fit", ("penalty", "depth")),
        ("house", "fit", ("leaves",)),
        ("loops.m", "wrapped", None),
        ("loops.m", "<lambda>", None),
        ("sklearn.dummy", "fit", None),
    ],
)
def test_what_a_fit_takes_is_read_from_its_source_where_that_says_it(module: str, name: str, known: tuple[str, ...] | None) -> None:
    assert written_hyperparameters(Function(module, name, "d"), FILES) == known
