"""What a run that only follows the data takes over from the champion."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

import flyball as fb
from flyball.declare.training import floats
from flyball.loop.ports import Ports
from flyball.loop.training import run_spec
from flyball.records.declarations import DECLARATIONS
from flyball.records.training import Trigger

from .test_due import DATA, DAY, World


def _fit(X: Any, y: Any, *, penalty: float = 1.0) -> Any:
    return X, y, penalty


MODEL = fb.Model("m", task="binary", data=DATA, label="y", train=fb.Train(_fit, search={"penalty": floats(0.1, 1.0)}, trials=7))


@pytest.mark.parametrize("trigger", ["schedule", "monitor"])
def test_hyperparameters_come_from_a_champion_of_this_declaration_only(trigger: Trigger) -> None:
    world = World()
    ports = cast("Ports", SimpleNamespace(library=world.library, before=None))
    follows = run_spec(ports, world.state, MODEL, trigger, 20 * DAY)
    assert (follows.parameters, follows.trials) == ({"l2": 0.1}, 0)
    # l2 became penalty, and the version that this made was rejected: the champion is still the one that was declared before
    declared = world.state.get(DECLARATIONS, "m")
    assert declared is not None
    world.state.put(DECLARATIONS, "m", msgspec.structs.replace(declared, version_digest="w"))
    renamed = run_spec(ports, world.state, MODEL, trigger, 20 * DAY)
    assert (renamed.parameters, renamed.trials) == ({}, 7)
    assert renamed.champion_version == "1.0.0", "it is judged against it all the same"
