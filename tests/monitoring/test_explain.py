"""How much of a metric's change lies in a column: what moved between its values, and what changed within them."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flyball.monitoring.explain import explained
from flyball.records.estimates import Estimate

from .conftest import START, quality


def then(**values: tuple[int, float]) -> dict[str, dict[str, Estimate]]:
    return {f"who={name}": {"accuracy": Estimate(value=value, n=n)} for name, (n, value) in values.items()}


def now(**values: tuple[int, int]):
    return [quality(n, wrong, START, name=f"who={name}") for name, (n, wrong) in values.items()]


def test_rows_that_moved_to_a_worse_value_explain_the_whole_change():
    found = explained("who", "accuracy", then(a=(500, 0.9), b=(500, 0.7)), now(a=(100, 10), b=(900, 270)))
    assert found is not None
    assert (found.moved, found.within) == (pytest.approx(-0.08), pytest.approx(0.0))
    assert found.change == pytest.approx(-0.08)
    assert {part.value for part in found.parts} == {"a", "b"}
    assert sum(part.change for part in found.parts) == pytest.approx(found.change)


def test_a_value_that_does_worse_explains_it_within():
    found = explained("who", "accuracy", then(a=(500, 0.9), b=(500, 0.9)), now(a=(500, 50), b=(500, 150)))
    assert found is not None
    assert (found.moved, found.within) == (pytest.approx(0.0), pytest.approx(-0.1))
    assert found.parts[0].value == "b"


def test_a_value_that_is_new_has_only_moved():
    found = explained("who", "accuracy", then(a=(1_000, 0.9)), now(a=(500, 50), new=(500, 250)))
    assert found is not None
    assert found.within == pytest.approx(0.0)
    assert found.moved == pytest.approx(-0.2)
    assert (found.parts[0].value, found.parts[0].then, found.parts[0].now) == ("new", None, 0.5)


SHARE = st.integers(0, 100).map(lambda part: part / 100)


@given(st.lists(st.tuples(st.integers(1, 500), SHARE, st.integers(1, 500), SHARE), min_size=1, max_size=6))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_what_moved_and_what_changed_within_are_the_whole(groups):
    before = {f"who={i}": {"accuracy": Estimate(value=value, n=n)} for i, (n, value, _, _) in enumerate(groups)}
    after = [quality(n, round(share * n), START, name=f"who={i}") for i, (_, _, n, share) in enumerate(groups)]
    found = explained("who", "accuracy", before, after)
    assert found is not None
    was = sum(n * value for n, value, _, _ in groups) / sum(n for n, _, _, _ in groups)
    is_ = sum(part.correct for part in after) / sum(part.labelled for part in after)
    assert found.moved + found.within == pytest.approx(is_ - was, abs=1e-9)


def test_what_is_not_counted_by_value_is_not_guessed():
    assert explained("who", "accuracy", {}, now(a=(5, 1))) is None
    assert explained("who", "accuracy", then(a=(5, 0.5)), []) is None
    assert explained("who", "roc_auc", then(a=(5, 0.5)), now(a=(5, 1))) is None
    unlabelled = [msgspec.structs.replace(part, labelled=0) for part in now(a=(5, 1))]
    assert explained("who", "accuracy", then(a=(5, 0.5)), unlabelled) is None
