"""Inputs that are called as something that is kept beside them (value, score, y …) are inputs all the same, when it is learnt what is normal."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flyball.records.elsewhere import ReferenceMade

from .elsewhere_kit import LOOP_FILE, Watched, made

NAMES = ("value", "score", "request_id", "y", "known", "weight")
MORE = "".join(f'"{name}": float, ' for name in NAMES)
FILE = LOOP_FILE.replace("SOURCE", "push://").replace("MORE", MORE).replace('owner="risk"', 'owner="risk", slices=["purpose"]')


def named(day: float, n: int, **more: Any) -> list[dict[str, Any]]:
    """Predictions with inputs of these names, each about a mean of its own."""
    rng = np.random.default_rng(int(day * 100))
    rows = made(day, n, **more)
    for row in rows:
        row["row"] |= {name: float(rng.normal(100.0 * (place + 1), 1.0)) for place, name in enumerate(NAMES)}
    return rows


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    project = Watched(tmp_path / "p", file=FILE)
    yield project
    project.close()


def test_the_reference_of_an_input_is_of_its_own_values_whatever_it_is_called(watched: Watched) -> None:
    for day in range(9):
        rows = named(day, 400)
        watched.send(rows)
        watched.label(rows)
    watched.tick()
    watched.tick()
    reference = watched.events(ReferenceMade)[-1]
    bins = {each.column: each for each in watched.wired.ports.library.bins(reference.reference) if not each.slice}
    assert set(bins) == {"amount", "purpose", "prediction", *NAMES}
    for place, name in enumerate(NAMES):
        edges = bins[name].edges
        assert 100.0 * (place + 1) - 5 < min(edges) <= max(edges) < 100.0 * (place + 1) + 5, name
    assert reference.labels >= 500
    assert reference.metrics["accuracy"].value == pytest.approx(0.9, abs=0.03), "of the answers and their labels, and of no input"
    assert reference.by_slice["purpose=car"]["accuracy"].value == pytest.approx(0.9, abs=0.06)
    for day in (9, 9.4, 9.7, 10):
        watched.send(named(day, 1_000, seed=1))
        watched.tick()
    assert watched.incidents == [], "nothing has changed"
