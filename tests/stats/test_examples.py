"""The examples in the docstrings are tests."""

import doctest
import importlib

import pytest

MODULES = (
    "betting",
    "calibration",
    "cbpe",
    "clusters",
    "delong",
    "edetector",
    "errormodel",
    "intervals",
    "logspace",
    "multiplicity",
    "paired",
    "power",
    "ratio",
    "regression",
    "share",
)


@pytest.mark.parametrize("name", MODULES)
def test_every_method_has_an_example_that_runs(name):
    found = doctest.testmod(importlib.import_module(f"flyball.stats.{name}"))

    assert found.attempted > 0
    assert found.failed == 0
